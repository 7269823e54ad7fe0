"""``aam-facts cv``: join the runs of one cross-validation from their facts."""

from collections.abc import Sequence
from pathlib import Path

from aam.cli.printing import show
from aam.cli.words import read_words
from aam.errors import UserError

HELP = """\
aam-facts cv FOLDER [FOLDER …] [output=FOLDER]: join the folds of a cross-validation.

  aam-train --multirun split=kfold split.fold=0,1,2,3,4 loop=finetune data.target=COLUMN …
  aam-facts cv outputs/multiruns/exp_…

FOLDER is the folder of a multirun, or of one of several runs. The runs must have one loop, target,
split and input files; runs with other settings, such as loop.head=linear,mlp in the sweep, are told
apart and compared on the same folds. Folds that are missing are named and left out.

Written to output=FOLDER (default: the first FOLDER):
  cross_validation.tsv   mean, sd (n - 1) and each fold's value, of the model and every baseline
  out_of_fold.tsv        the model's test predictions of all folds; fold counts as split.fold does
  cross_validation.png   each predictor's folds and their mean in the metric to judge by

The verdict is "beyond the spread of the folds" if the 95 % interval of the mean difference to the
best baseline excludes zero; the interval is corrected for the training samples that folds share
(Nadeau and Bengio 2003)."""


def cross_validate(words: Sequence[str]) -> None:
    """Print the table and the verdict, and write the three files.

    Raises
    ------
    UserError
        If a word is neither a folder nor ``output=``, or the runs do not belong together.
    """
    given = read_words("cv", words, named="FOLDER …", keys={"output": "FOLDER"}, has_json=False)
    if not given.named:
        raise UserError("aam-facts cv needs the folder of a multirun, or of several runs")
    folders = [Path(one).expanduser() for one in given.named]
    output = Path(given.values.get("output", folders[0])).expanduser()
    from aam.facts.tables import write_tsv
    from aam.monitoring.folds.figure import write_figure
    from aam.monitoring.folds.groups import cross_validations
    from aam.monitoring.folds.numbers import out_of_fold_columns, summary_columns
    from aam.monitoring.folds.report import report
    from aam.monitoring.folds.runs import read_runs

    parts = cross_validations(read_runs(folders))
    paths = [
        output / name
        for name in ("cross_validation.tsv", "out_of_fold.tsv", "cross_validation.png")
    ]
    write_tsv(paths[0], summary_columns(parts))
    write_tsv(paths[1], out_of_fold_columns(parts))
    write_figure(paths[2], parts)
    show("\n".join([report(parts), "", "Written:", *(f"  {path}" for path in paths)]))
