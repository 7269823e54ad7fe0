"""``aam-facts export``: the numbers of runs as one tidy table."""

import logging
from collections.abc import Sequence
from pathlib import Path

from aam.cli.printing import show, written_to
from aam.cli.words import read_words
from aam.errors import UserError, shown

HELP = """\
aam-facts export [FOLDER… | RUN…] output=FILE.csv|.tsv|.parquet: one tidy table of all runs.

  aam-facts export output=runs.csv                  all runs below $AAM_OUTPUTS (default: outputs)
  aam-facts export outputs/multiruns/exp_… output=sweep.parquet

A row is one epoch of one run on one part of the samples (split: train, val, test):

  run, run_dir, run_id, loop, data, state   which run, and where it stands
  KEY …                                     each setting that is not the same in all runs
  epoch, is_best                            from 0, as in the facts; the test's is that of the best
  split, predictor                          model, or the name of a baseline (which has no epoch)
  loss, step, lr, METRIC …                  the numbers; what is missing is empty
  epoch_time_s, total_time_s, throughput, max_memory_mib   in the rows of the training alone

Epochs that a resume has done again count once. Parquet needs pip install 'aam[parquet]'."""
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
_log = logging.getLogger(__name__)


def export(words: Sequence[str]) -> None:
    """Write the table.

    Raises
    ------
    UserError
        If a word is wrong, nothing is found, or the file cannot be of that kind or not be written.
    """
    given = read_words("export", words, named="FOLDER …", keys={"output": "FILE"}, has_json=False)
    kinds = shown([*_DELIMITERS, _PARQUET])
    if "output" not in given.values:
        raise UserError(f"aam-facts export needs output=FILE, which ends in one of {kinds}")
    path = Path(given.values["output"]).expanduser()
    if path.suffix not in (*_DELIMITERS, _PARQUET):
        raise UserError(f"output={path} must end in one of {kinds}, which say what it will be")
    from aam.facts.finding import find_all
    from aam.monitoring.runs.exporting import collect, write_parquet, write_text
    from aam.monitoring.spread import count

    table = collect(find_all(given.named))
    if table.without_rows:
        names = table.without_rows
        _log.warning(
            "%s without any number (yet) and so without a row: %s",
            count(len(names), "run"),
            shown(names),
        )
    with written_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == _PARQUET:
            write_parquet(path, table)
        else:
            write_text(path, table, _DELIMITERS[path.suffix])
    show(f"Written: {path} ({count(table.num_rows, 'row')} of {count(len(table.runs), 'run')})")
