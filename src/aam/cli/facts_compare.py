"""``aam-facts compare``: which setting of a sweep is best, and how sure that is."""

from collections.abc import Sequence
from pathlib import Path

from aam.cli.printing import show, show_json, written_to
from aam.cli.words import read_words
from aam.errors import UserError

HELP = """\
aam-facts compare RUN… | SWEEP [metric=NAME] [by=val|test] [output=FOLDER] [--json]: rank settings.

  aam-train --multirun optimizer.lr=1e-3,1e-4 trainer.seed=0,1,2
  aam-facts compare outputs/multiruns/exp_…

Each row is a setting: only what differs is a column. Runs that differ in trainer.seed, split.seed
or split.fold alone are one row, mean ± sd. Runs of another loop, target, kind of split, or other
data (by SHA-256) are ranked in tables of their own. Runs that are not finished are listed below.

  metric=NAME     rank by this metric of each run's best epoch (default: by what the runs watched,
                  early_stopping.best_metric)
  by=val|test     the samples that rank (default: val). The test stands beside; ranked by it, the
                  best of many looks better than it is
  output=FOLDER   write leaderboard.tsv, and the validation curves as curves.png (of several tables
                  curves-1.png, curves-2.png …); nothing is written without it

The difference of the first two rows is judged over what they share: over splits by the corrected
interval of aam-facts cv, over the seeds of one split by the paired one."""


def compare(words: Sequence[str]) -> None:
    """Print the leaderboards, and write them where ``output=`` says.

    Raises
    ------
    UserError
        If a word is wrong, nothing is found, no run has the metric that was asked for, or what
        ``output=`` names cannot be written.
    """
    keys = {"metric": "NAME", "by": "val|test", "output": "FOLDER"}
    given = read_words("compare", words, named="RUN … or SWEEP", keys=keys)
    if not given.named:
        raise UserError("aam-facts compare needs a SWEEP such as outputs/multiruns/exp_…, or runs")
    from aam.monitoring.runs.boards import read_boards
    from aam.monitoring.runs.documents import as_document, write_boards
    from aam.monitoring.runs.report import report

    metric, by = given.values.get("metric"), given.choice("by", ("val", "test"), "val")
    boards, unstarted = read_boards(given.named, metric=metric, by=by)
    written = []
    if "output" in given.values:
        output = Path(given.values["output"]).expanduser()
        with written_to(output):
            written = write_boards(output, boards)
    if given.is_json:
        show_json(as_document(boards, unstarted))
        return
    listed = ["", "Written:", *(f"  {path}" for path in written)] if written else []
    show("\n".join([report(boards, unstarted), *listed]))
