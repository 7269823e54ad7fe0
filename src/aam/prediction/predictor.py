"""Predictions as a table: a row for every sample, with what is known of how sure it is.

Shapes: n samples that are predicted, O outputs, K clades.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from aam.data.batches import Batch, BatchMaker
from aam.data.predictions import predicted_columns
from aam.data.recipe import Recipe
from aam.prediction.calibration import COVERAGE, NOVEL, Calibration, Distances
from aam.prediction.forward import encode_asvs, pass_through
from aam.prediction.samples import Samples

if TYPE_CHECKING:
    from aam.prediction.trained import Trained  # which tries its model out by predicting

BATCH = 64
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Predictions:
    """What a model says of the samples of a table."""

    columns: Columns
    """``sample-id``; ``predicted``, ``lower_90``, ``upper_90`` (``_NAME`` added where there are
    several) or ``predicted``, ``probability_CLASS``, ``set_90``; ``nearest_distance``,
    ``novelty_p``, ``out_of_distribution``; ``reason``. In the order of the ids, a row for every
    sample of the table; what is not known is None."""
    embeddings: Columns
    """``sample-id`` and ``clade_1`` …, of the samples that are predicted."""

    @property
    def num_flagged(self) -> int:
        """Samples unlike those that the model was trained on."""
        return self.columns["out_of_distribution"].count("yes")


def predict(trained: "Trained", samples: Samples, batch_size: int = BATCH) -> Predictions:
    """Predict every sample that can be.

    Raises
    ------
    UserError
        If a sequence is longer than the model reads.
    """
    study, recipe = samples.study, trained.recipe
    raw_nO = np.zeros((0, len(recipe.classes) or len(recipe.names)))
    clades_nK = torch.zeros(0, trained.model.encoder.unifrac.log_scale.numel())
    if study.sample_ids:
        asv_AD = encode_asvs(trained.model, study, trained.device)
        batches = batches_of(trained, samples, batch_size)
        passed = pass_through(trained.model, batches, asv_AD, samples.covariates_nV)
        raw_nO, clades_nK = passed.raw_NO, passed.clades_NK
    columns = {
        "sample-id": list(study.sample_ids),
        **_outputs(recipe, raw_nO, trained.calibration),
        **_novelty(clades_nK, trained.calibration, trained.model.encoder.unifrac.distances),
    }
    return Predictions(_with_reasons(columns, samples), _embeddings(study.sample_ids, clades_nK))


def batches_of(trained: "Trained", samples: Samples, batch_size: int) -> Iterator[Batch]:
    """The samples as the run's own evaluations would have drawn them."""
    maker = BatchMaker(
        samples.study,
        rarefaction_depth=trained.data.rarefaction_depth,
        token_limit=trained.data.token_limit,
        random_tokens=False,
    )
    rows = np.arange(len(samples.study.sample_ids))
    return maker.fixed_batches(rows, batch_size, trained.seed)


def _outputs(recipe: Recipe, raw_nO: np.ndarray, calibration: Calibration | None) -> Columns:
    """Predicted values with their intervals, or classes with their sets."""
    outputs = recipe.finish(raw_nO)
    predicted = predicted_columns(recipe.names, recipe.classes, outputs)
    unknown: list[Any] = [None] * len(outputs)
    if recipe.classes:
        sets = calibration.class_sets(outputs, recipe.classes) if calibration else None
        joined = unknown if sets is None else ["|".join(held) for held in sets]
        return predicted | {f"set_{COVERAGE}": joined}
    ends = calibration.interval(outputs) if calibration else None
    columns: Columns = {}
    for k, (name, values) in enumerate(predicted.items()):
        suffix = name.removeprefix("predicted")
        columns[name] = values
        columns[f"lower_{COVERAGE}{suffix}"] = ends[0][:, k].tolist() if ends else unknown
        columns[f"upper_{COVERAGE}{suffix}"] = ends[1][:, k].tolist() if ends else unknown
    return columns


def _novelty(clades_nK: Tensor, calibration: Calibration | None, distances: Distances) -> Columns:
    unknown: list[Any] = [None] * len(clades_nK)
    nearest, p_values, flags = unknown, unknown, unknown
    if calibration is not None and len(clades_nK):
        nearest_n, p_n = calibration.novelty(clades_nK, distances)
        nearest = nearest_n.tolist()
        if p_n is not None:
            p_values, flags = p_n.tolist(), ["yes" if p <= NOVEL else "no" for p in p_n]
    return {"nearest_distance": nearest, "novelty_p": p_values, "out_of_distribution": flags}


def _with_reasons(columns: Columns, samples: Samples) -> Columns:
    """A row for each sample of the table, in the order of the ids."""
    ids = sorted([*columns["sample-id"], *samples.reasons])
    row_of = {name: row for row, name in enumerate(columns["sample-id"])}
    rows = [row_of.get(name) for name in ids]
    spread = {
        name: [None if row is None else values[row] for row in rows]
        for name, values in columns.items()
    }
    reasons = [samples.reasons.get(name) for name in ids]
    return {**spread, "sample-id": ids, "reason": reasons}


def _embeddings(sample_ids: tuple[str, ...], clades_nK: Tensor) -> Columns:
    columns: Columns = {"sample-id": list(sample_ids)}
    return columns | {f"clade_{k}": one.tolist() for k, one in enumerate(clades_nK.T, start=1)}
