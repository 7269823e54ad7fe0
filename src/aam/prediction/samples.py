"""The samples to predict: read from a table, and a reason for each that cannot be.

Shapes: n samples that can be predicted, V covariate values.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aam.config import DataConfig
from aam.data.covariates import Covariate, encode_all
from aam.data.metadata import Column
from aam.data.recipe import Recipe
from aam.data.study import Study, load_study
from aam.data.table import read_table
from aam.errors import UserError, shown

_log = logging.getLogger(__name__)
_FEW = 0.2  # share of ASVs that may be of uncommon length; 0.1 of those trained on are


@dataclass(frozen=True)
class Samples:
    """What a table holds for a trained model."""

    study: Study
    """Samples that can be predicted; it may have none."""
    covariates_nV: NDArray[np.float32] | None
    reasons: Mapping[str, str]
    """Why each other sample of the table is not predicted, by id."""


def read_samples(
    run: DataConfig,
    recipe: Recipe,
    *,
    table: str,
    rep_seqs: str | None = None,
    metadata: str | None = None,
) -> Samples:
    """Read the files as a run read its own; metadata are read where the model has covariates.

    What the run's ``data.min_sample_depth`` and ``data.rarefaction_depth`` left out is left out
    here too. Prevalence filters nothing: a prediction must not depend on the samples beside it.
    Logs what the model has not met: reads of other lengths, unknown values of covariates.

    Raises
    ------
    UserError
        As ``load_study``; or covariates are needed and the metadata or a column is absent.
    """
    metadata = _metadata_needed(recipe, metadata)
    study = load_study(
        DataConfig(name="biom", table=table, rep_seqs=rep_seqs, metadata=metadata),
        needs_tree=False,
    )
    reasons = _reasons_of_dropped(study) | _too_shallow(study, run)
    rows = [row for row, name in enumerate(study.sample_ids) if name not in reasons]
    study = study.take(np.array(rows, dtype=np.int64))
    if run.min_prevalence > 1:
        _log.warning(
            "the run left out ASVs in fewer than data.min_prevalence=%d of its samples; here all "
            "are read, and predictions of the run's own samples may differ a little",
            run.min_prevalence,
        )
    _warn_of_lengths(study, recipe)
    return Samples(study, _covariates(study, recipe), reasons)


def _metadata_needed(recipe: Recipe, metadata: str | None) -> str | None:
    """The metadata's path if they are read at all."""
    names = [one.name for one in recipe.covariates]
    if names and metadata is None:
        raise UserError(
            f"the model reads {shown(names, 10)} beside the microbes: set metadata= to a file that "
            "has these columns"
        )
    if metadata is not None and not names:
        _log.warning("the model has no covariates: metadata=%s is not read", metadata)
        return None
    return metadata


def _reasons_of_dropped(study: Study) -> dict[str, str]:
    """Samples of the table that ``load_study`` left out."""
    table = read_table(study.files["table"])
    kept = frozenset(study.sample_ids)
    depths = np.asarray(table.counts.sum(axis=1)).ravel()
    return {
        name: "absent from the metadata" if depth else "no reads"
        for name, depth in zip(table.sample_ids, depths, strict=True)
        if name not in kept
    }


def _too_shallow(study: Study, run: DataConfig) -> dict[str, str]:
    """Samples that the run would not have read."""
    depths = np.asarray(study.counts.sum(axis=1)).ravel()
    limits = {
        "data.min_sample_depth": run.min_sample_depth,
        "data.rarefaction_depth": run.rarefaction_depth or 0,
    }
    key = max(limits, key=limits.__getitem__)
    return {
        name: f"{depth} reads, fewer than the run's {key}={limits[key]}"
        for name, depth in zip(study.sample_ids, depths, strict=True)
        if depth < limits[key]
    }


def _warn_of_lengths(study: Study, recipe: Recipe) -> None:
    columns = np.unique(study.counts.indices)
    if recipe.read_lengths is None or not len(columns):
        return
    low, high = recipe.read_lengths
    lengths = np.array([len(study.sequences[column]) for column in columns])
    num_other = int(((lengths < low) | (lengths > high)).sum())
    if num_other > _FEW * len(columns):
        _log.warning(
            "%d of %d ASVs are not of the length that the model was trained on: they have %s, "
            "those had %s; if the reads were trimmed otherwise, trim them alike",
            num_other, len(columns), _bases(lengths.min(), lengths.max()), _bases(low, high),
        )  # fmt: skip


def _bases(low: int, high: int) -> str:
    return f"{low} bases" if low == high else f"{low} to {high} bases"


def _covariates(study: Study, recipe: Recipe) -> NDArray[np.float32] | None:
    """``[n, V]``, having named what is missing or unknown."""
    if not recipe.covariates:
        return None
    columns = {one.name: study.column("data.covariates", one.name) for one in recipe.covariates}
    for one in recipe.covariates:
        _warn_of_unknown(one, columns[one.name])
    return encode_all(recipe.covariates, columns)


def _warn_of_unknown(covariate: Covariate, column: Column) -> None:
    known = covariate.categories
    wrong = [v for v in column.values if v is None or (known and v not in known)]
    if wrong:
        _log.warning(
            "%d of %d samples have no known value of the covariate %s (%s): the model is given %s",
            len(wrong), len(column.values), covariate.name,
            shown(dict.fromkeys("empty" if v is None else repr(v) for v in wrong)),
            "none of the categories that it knows" if known else "the mean that it was trained on",
        )  # fmt: skip
