"""Baselines that look at no sequence: how far one gets without the microbes.

Shapes: N samples of the study, n rows, K outputs, c classes trained on.
"""

from collections.abc import Sequence

import numpy as np

from aam.baselines.features import Floats
from aam.baselines.forest import spread_classes
from aam.baselines.given import CannotFitError, Given, Rows


class Mean:
    """The mean of the training part; of classes, their frequencies."""

    def __init__(self, given: Given) -> None:
        self.values_NK = given.values

    def fit(self, rows: Rows) -> None:
        """Take the mean."""
        self.mean_K = self.values_NK[rows].mean(axis=0)

    def predict(self, rows: Rows) -> Floats:
        """The same for every sample."""
        return np.tile(self.mean_K, (len(rows), 1))


class BatchMean:
    """The mean of the training samples of the same batch: how far the confounder alone gets.

    The mean of all where the batch is missing or was not trained on.
    """

    def __init__(self, given: Given) -> None:
        self.overall = Mean(given)
        self.values_NK = given.values
        self.batches: Sequence[str | None] = given.batches or ()

    def fit(self, rows: Rows) -> None:
        """Take the mean of each batch, and of all."""
        self.overall.fit(rows)
        members: dict[str, list[int]] = {}
        for row in rows:
            if (batch := self.batches[row]) is not None:
                members.setdefault(batch, []).append(row)
        self.mean_of = {batch: self.values_NK[own].mean(axis=0) for batch, own in members.items()}

    def predict(self, rows: Rows) -> Floats:
        """The mean of each sample's batch."""
        outputs_nK = self.overall.predict(rows)
        for output_K, row in zip(outputs_nK, rows, strict=True):
            batch = self.batches[row]
            if batch is not None and batch in self.mean_of:
                output_K[:] = self.mean_of[batch]
        return outputs_nK


class ReadDepth:
    """A curve of the number of reads alone (its logarithm and the square of that).

    Where it comes near the model, groups were sequenced to different depths, and presence or
    log-ratios of counts can tell them apart for that: rarefy (``data.rarefaction_depth``).
    """

    def __init__(self, given: Given) -> None:
        self.given = given
        log_N = np.log(np.maximum(np.asarray(given.study.counts.sum(axis=1)).ravel(), 1.0))
        self.features_N2 = np.stack([log_N, log_N**2], axis=1)

    def fit(self, rows: Rows) -> None:
        """Ridge or logistic regression, its strength left at scikit-learn's."""
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = LogisticRegression() if self.given.is_classification else Ridge()
        self.model = make_pipeline(StandardScaler(), model)
        target = self.given.target.values[rows]
        if self.given.is_classification and len(np.unique(target)) < 2:
            raise CannotFitError("the training part has one class only")
        self.model.fit(self.features_N2[rows], target)

    def predict(self, rows: Rows) -> Floats:
        """Values or probabilities."""
        features_n2 = self.features_N2[rows]
        if not self.given.is_classification:
            outputs: Floats = self.model.predict(features_n2)
            return outputs.reshape(len(rows), -1)
        outputs_nc = self.model.predict_proba(features_n2)
        num_classes = len(self.given.target.classes)
        return spread_classes(outputs_nc, self.model.classes_, num_classes, absent=0.0)
