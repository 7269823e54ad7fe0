"""Nearest neighbours by a distance between samples.

Shapes: n training samples, q samples to predict, k neighbours, K outputs, P candidates.
"""

import numpy as np

from aam.baselines.features import Floats
from aam.baselines.given import Given, Rows
from aam.baselines.inner import best_candidate, inner_folds, out_of_fold

NUM_NEIGHBOURS = (1, 3, 5, 9, 15, 25)
CANDIDATES = tuple(
    (number, by_distance) for number in NUM_NEIGHBOURS for by_distance in (False, True)
)


class NearestNeighbours:
    """Mean of the nearest training samples: how many, and whether weighted by 1 / distance, chosen.

    The same mean serves classes, whose frequencies it is. Of equally distant neighbours the first
    sample id counts. Neighbours at distance 0 outweigh all others, as in scikit-learn.
    """

    def __init__(self, given: Given, metric: str) -> None:
        self.given = given
        self.metric = metric

    def fit(self, rows: Rows) -> None:
        """Choose among ``CANDIDATES``."""
        self.rows = rows
        self.distances_NN = self.given.distances(self.metric)
        self.choice = len(CANDIDATES) // 2
        if folds := inner_folds(self.given, rows):
            outputs_PnK = out_of_fold(
                folds, lambda fit, held: self._outputs(rows[fit], rows[held]), len(rows)
            )
            values_nK = self.given.values[rows]
            self.choice = best_candidate(outputs_PnK, values_nK, self.given.is_classification)

    def predict(self, rows: Rows) -> Floats:
        """Mean of the neighbours, by the candidate that was chosen."""
        outputs_qK: Floats = self._outputs(self.rows, rows)[self.choice]
        return outputs_qK

    def _outputs(self, fit: Rows, held: Rows) -> Floats:
        """Outputs of all candidates ``[P, q, K]``."""
        distances_qn = self.distances_NN[np.ix_(held, fit)]
        nearest_qk = np.argsort(distances_qn, axis=1, kind="stable")[:, : max(NUM_NEIGHBOURS)]
        distances_qk = np.take_along_axis(distances_qn, nearest_qk, axis=1)
        values_qkK = self.given.values[fit][nearest_qk]
        outputs_PqK = []
        for number, by_distance in CANDIDATES:
            weights_qk = _weights(distances_qk[:, :number], by_distance)
            outputs_PqK.append(np.einsum("qk,qkK->qK", weights_qk, values_qkK[:, :number]))
        return np.stack(outputs_PqK)


def _weights(distances_qk: Floats, by_distance: bool) -> Floats:
    """Weights that sum to 1."""
    weights_qk = np.ones_like(distances_qk)
    if by_distance:
        is_same_qk = distances_qk == 0
        np.divide(1, distances_qk, out=weights_qk, where=~is_same_qk)
        weights_qk = np.where(is_same_qk.any(axis=1, keepdims=True), is_same_qk, weights_qk)
    scaled_qk: Floats = weights_qk / weights_qk.sum(axis=1, keepdims=True)
    return scaled_qk
