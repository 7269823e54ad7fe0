"""``aam-facts best``: the run folder of the best run alone, for other commands."""

import logging
from collections.abc import Sequence

from aam.cli.printing import show, show_json
from aam.cli.words import read_words
from aam.errors import UserError

HELP = """\
aam-facts best SWEEP | RUN… [metric=NAME] [--json]: print the run folder of the best run.

  aam-predict model="$(aam-facts best outputs/multiruns/exp_…)" table=new.biom output=ages.tsv

The setting is chosen as aam-facts compare does, by the mean of its finished runs in validation; of
these runs the best one is named. Folder and nothing else goes to standard output, notices to
standard error.

  metric=NAME   choose by this metric (default: by what the runs watched)
  --json        metric, value, run_dir, checkpoint, best epoch (from 0) and setting

Exit code 2 where no run is finished, or the runs are not of one kind."""
_log = logging.getLogger(__name__)


def best(words: Sequence[str]) -> None:
    """Print the folder.

    Raises
    ------
    UserError
        If a word is wrong, nothing is found, nothing is finished, or there are several kinds.
    """
    given = read_words("best", words, named="SWEEP or RUN …", keys={"metric": "NAME"})
    if not given.named:
        raise UserError("aam-facts best needs a SWEEP such as outputs/multiruns/exp_…, or runs")
    from aam.monitoring.runs.boards import best_of_all, checkpoint_of, read_boards

    boards, unstarted = read_boards(given.named, metric=given.values.get("metric"))
    board, run = best_of_all(boards, given.named)
    others = [one for row in board.table.rows for one in row.unfinished]
    if others or unstarted:
        _log.warning(
            "%d of %d runs are not finished and had no part in the choice",
            len(others) + len(unstarted), len(board.table.runs) + len(unstarted),
        )  # fmt: skip
    splits = {one.split_key for one in board.rows[0].finished}
    if len(splits) > 1:
        _log.warning(
            "the best setting was run on %d splits; of them %s has the best validation value, "
            "which may be owed to its split",
            len(splits), run.folder.name,
        )  # fmt: skip
    checkpoint = checkpoint_of(run)
    if checkpoint is None:
        _log.warning("%s holds no model.pt: there is nothing to predict with", run.folder)
    if not given.is_json:
        show(str(run.folder))
        return
    assert run.best is not None
    show_json(
        {
            "run_dir": run.folder,
            "checkpoint": checkpoint,
            "metric": board.metric,
            "value": run.value(board.by, board.metric),
            "epoch": run.best["epoch"],
            "setting": board.rows[0].setting,
            "num_runs": len(board.rows[0].finished),
        }
    )
