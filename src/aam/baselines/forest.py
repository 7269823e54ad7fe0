"""A random forest on relative abundances.

Shapes: n rows, A ASVs, K outputs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aam.baselines.features import Floats
from aam.baselines.given import Given, Rows

# The share of ASVs tried at each node: what the published forests of this field use in regression.
SHARE_OF_ASVS = 0.2


def spread_classes(outputs_nc: Floats, classes_c: Rows, num_classes: int, absent: float) -> Floats:
    """Columns of the classes that were trained on, put among those of all classes."""
    outputs_nK = np.full((len(outputs_nc), num_classes), absent)
    outputs_nK[:, classes_c] = outputs_nc
    return outputs_nK


class RandomForest:
    """Breiman's forest (2001), scikit-learn's settings but for the features tried in regression.

    It is given the ASVs of the training part only: others could only thin out the features tried.
    """

    def __init__(self, given: Given) -> None:
        self.given = given

    def fit(self, rows: Rows) -> None:
        """Grow the trees."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        common: dict[str, Any] = {
            "n_estimators": self.given.num_trees,
            "random_state": self.given.seed,
            "n_jobs": self.given.num_jobs,
        }
        target = self.given.target.values[rows]
        if self.given.is_classification:
            self.forest = RandomForestClassifier(**common)
        else:
            self.forest = RandomForestRegressor(max_features=SHARE_OF_ASVS, **common)
            target = target[:, 0] if target.shape[1] == 1 else target
        self.asvs = self.given.seen_asvs(rows)
        self.forest.fit(self._features(rows), target)

    def predict(self, rows: Rows) -> Floats:
        """Mean of the trees."""
        features_nA = self._features(rows)
        if self.given.is_classification:
            outputs_nc = self.forest.predict_proba(features_nA)
            return spread_classes(
                outputs_nc, self.forest.classes_, len(self.given.target.classes), absent=0.0
            )
        outputs: Floats = self.forest.predict(features_nA)
        return outputs.reshape(len(rows), -1)

    def _features(self, rows: Rows) -> NDArray[np.float32]:
        """In the precision that trees are grown in: scikit-learn makes no copy of these."""
        features_nA: NDArray[np.float32] = (
            self.given.relative[rows][:, self.asvs].astype(np.float32).toarray()
        )
        return features_nA
