"""``aam-predict``: from a run and a table to predictions. Imports nothing heavy before it must."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aam.cli.command import run_command

HELP = """\
aam-predict: predict the samples of a table by a trained model.

  aam-predict model=RUN table=FILE [KEY=VALUE …]

Reads
  model=RUN         folder of a run of loop=finetune or loop=probe, or a checkpoint of it;
                    the files that it was trained on are not needed
  table=FILE        feature table: BIOM, TSV or .qza; ASVs that the model never met are fine
  rep_seqs=FILE     FASTA or .qza with the sequences, where the ids of the ASVs are not sequences
  metadata=FILE     needed only by a model with covariates
  tree=FILE         may be given, and is not read: the model reads sequences

Writes (TSV, whole or not at all; a file of that name is replaced)
  output=FILE             default predictions.tsv: a row for every sample of the table
  output_embeddings=FILE  the vector of each sample; UniFrac is a distance between them
  attributions=FILE       which ASVs carried the predictions (integrated gradients)

Columns of output
  predicted         in the target's own unit, or the most probable class;
                    predicted_NAME … where several columns are predicted
  lower_90 upper_90 holds the true value in 90 % of samples like those of the run
  probability_CLASS, set_90   of each class, and the classes that hold the true one in 90 %
  nearest_distance  UniFrac distance to the nearest training sample, as the model estimates it
  novelty_p         share of the run's validation samples that lie as far from them
  out_of_distribution   yes where novelty_p is 0.05 or less: do not rely on that prediction
  reason            why a sample has no prediction
A cell is empty where the run had too few validation samples to know.

Columns of attributions, one row for each ASV
  num_samples       samples that it was read in; the means are over these
  mean_attribution  how much it moved the prediction, from a sample of average ASVs: of the
                    first column in the target's unit (of log(1 + value) if it was trained so), or
                    of the logit of the predicted class against the mean of all logits
  mean_absolute_attribution   the same without its sign; rows are sorted by it

Exit codes
  0 done   1 failed   2 the input is wrong   130 interrupted"""

_log = logging.getLogger(__name__)
NEEDED = ("model", "table")
READ = (*NEEDED, "rep_seqs", "metadata")
WRITTEN = ("output", "output_embeddings", "attributions")


def main() -> int:
    """Run the command line; returns its exit code."""
    return run_command(HELP, _do)


def _do(arguments: Sequence[str]) -> None:
    import re

    from aam.errors import UserError

    given = _read(arguments)
    try:
        _predict(given)
    except UserError as error:
        # The readers speak of the keys of aam-train.
        said = re.sub(r"\bdata\.(rep_seqs|metadata)\b", r"\1", str(error))
        raise UserError(re.sub(r"set model\.max_length=\d+ or ", "", said)) from None


def _read(arguments: Sequence[str]) -> dict[str, str]:
    """Keys and values, all known; ``UserError`` for anything else."""
    from aam.errors import UserError

    given: dict[str, str] = {}
    for argument in arguments:
        key, mark, value = argument.partition("=")
        if not mark:
            raise UserError(f"{argument!r} cannot be read: write KEY=VALUE")
        if key == "tree":
            _log.warning("tree=%s is not read: the model reads the sequences alone", value)
            continue
        if key not in (*READ, *WRITTEN):
            raise UserError(_unknown(key))
        if key in given:
            raise UserError(f"{key}= is given twice: give it once")
        if not value:
            raise UserError(f"{key}= is empty: give a path, or leave it out")
        given[key] = value
    missing = [f"{key}=" for key in NEEDED if key not in given]
    if missing:
        raise UserError(
            f"aam-predict needs {' and '.join(missing)}: the run folder of a model and a feature "
            "table, as in aam-predict model=RUN table=table.biom"
        )
    given.setdefault("output", "predictions.tsv")
    _refuse_shared(given)
    return given


def _unknown(key: str) -> str:
    from aam.composing.keys import nearest

    near = nearest(key.removeprefix("data."), (*READ, *WRITTEN))
    hint = f"did you mean {near}=?" if near else "aam-predict --help lists all"
    return f"there is no argument {key}=; {hint}"


def _refuse_shared(given: Mapping[str, str]) -> None:
    """No output takes the place of another file that the command names."""
    from aam.errors import UserError

    key_of: dict[Path, str] = {}
    for key, value in given.items():
        path = Path(value).expanduser().resolve()
        if key in WRITTEN and path.is_dir():
            raise UserError(f"{key}={value} is a folder: give a file")
        other = key_of.setdefault(path, key)
        if other != key and {key, other} & set(WRITTEN):
            raise UserError(f"{other}= and {key}= are the same file, {value}: give another")


def _predict(given: Mapping[str, str]) -> None:
    from aam.cli.printing import show
    from aam.facts.tables import write_tsv
    from aam.prediction.attributions import attribute
    from aam.prediction.predictor import predict
    from aam.prediction.samples import read_samples
    from aam.prediction.trained import load_trained

    trained = load_trained(given["model"])
    samples = read_samples(
        trained.data,
        trained.recipe,
        table=given["table"],
        rep_seqs=given.get("rep_seqs"),
        metadata=given.get("metadata"),
    )
    predictions = predict(trained, samples)
    tables = {"output": predictions.columns}
    if "output_embeddings" in given:
        tables["output_embeddings"] = predictions.embeddings
    if "attributions" in given:
        tables["attributions"] = attribute(trained, samples)
    for key, columns in tables.items():
        write_tsv(Path(given[key]).expanduser(), columns)
    lines = [f"{len(samples.study.sample_ids)} samples predicted"]
    if predictions.num_flagged:
        lines.append(f"{predictions.num_flagged} of them flagged as unlike those trained on")
    lines += _unpredicted(samples.reasons)
    show("\n".join([*lines, "Written:", *(f"  {given[key]}" for key in tables)]))


def _unpredicted(reasons: Mapping[str, str]) -> list[str]:
    """How many have no prediction, by reason; numbers of reads are left to the table."""
    from collections import Counter

    counted = Counter(why.partition(", ")[2] or why for why in reasons.values())
    return [f"{number} not predicted: {why}" for why, number in counted.most_common()]


if __name__ == "__main__":
    sys.exit(main())
