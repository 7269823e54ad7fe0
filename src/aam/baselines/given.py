"""What every baseline is given, and what is derived of it once for all of them.

Shapes: N samples, A ASVs, K outputs (the columns of a regression, or the classes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from aam.baselines.features import Floats, bray_curtis, relative_abundances
from aam.data.splits import Split
from aam.data.study import Study
from aam.data.targets import CLASSIFICATION, Target
from aam.phylogeny.unifrac import UniFrac

MAX_SAMPLES_OF_DISTANCES = 3000  # a kernel of more would take minutes to choose
DECIMALS = 10  # so that equal distances are equal, in whatever order their terms were added

Rows = NDArray[np.int64]


class CannotFitError(Exception):
    """A baseline does not suit the data; the text says why."""


class Baseline(Protocol):
    """Learns from some rows of the study, and predicts others."""

    def fit(self, rows: Rows) -> None:
        """Learn; raises ``CannotFitError`` where these rows do not suffice."""

    def predict(self, rows: Rows) -> Floats:
        """Outputs ``[n, K]``: in the target's own units, or probabilities of all its classes."""


@dataclass(frozen=True, eq=False)
class Given:
    """The data of a run. Everything is aligned to the rows of ``study``."""

    study: Study
    target: Target
    split: Split
    groups: Sequence[str | None] | None
    """Kept together when hyper-parameters are chosen; a sample without one stands by itself."""
    batches: Sequence[str | None] | None
    num_trees: int
    seed: int
    num_jobs: int = 1
    """Threads of the forest."""

    @property
    def train(self) -> Rows:
        """Rows of the training part by sample id, so that the order of the study is no matter."""
        ids = self.study.sample_ids
        return np.array(sorted(self.split.train, key=lambda row: ids[row]), dtype=np.int64)

    @property
    def is_classification(self) -> bool:
        """Whether the outputs are probabilities."""
        return self.target.task == CLASSIFICATION

    @property
    def classes(self) -> Rows:
        """Index of each sample's class ``[N]``."""
        return self.target.values.astype(np.int64)

    @cached_property
    def values(self) -> Floats:
        """The target's values ``[N, K]``; of classes, 1 for its own and 0 for others."""
        if self.is_classification:
            return np.eye(len(self.target.classes))[self.classes]
        return self.target.values.astype(np.float64)

    @cached_property
    def relative(self) -> csr_matrix:
        """Relative abundances ``[N, A]``."""
        return relative_abundances(self.study.counts)

    def seen_asvs(self, rows: Rows, least: int = 1) -> Rows:
        """Columns of the ASVs that at least so many of these rows hold."""
        prevalence_A = self.study.counts[rows].getnnz(axis=0)
        return np.flatnonzero(prevalence_A >= least)

    def distances(self, metric: str) -> Floats:
        """Distances ``[N, N]``: ``bray_curtis`` or (unweighted) ``unifrac``."""
        num_samples = len(self.study.sample_ids)
        if num_samples > MAX_SAMPLES_OF_DISTANCES:
            raise CannotFitError(
                f"distances are computed between {MAX_SAMPLES_OF_DISTANCES} samples at most, and "
                f"there are {num_samples}"
            )
        return self._bray_curtis if metric == "bray_curtis" else self._unifrac

    @cached_property
    def _bray_curtis(self) -> Floats:
        shares_NA = self.relative.toarray()
        return np.round(bray_curtis(shares_NA, shares_NA), DECIMALS)

    @cached_property
    def _unifrac(self) -> Floats:
        if self.study.tree is None:
            raise CannotFitError("UniFrac needs a tree (data.tree)")
        return np.round(UniFrac(self.study.tree).distances(self.study.counts), DECIMALS)
