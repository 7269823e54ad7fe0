"""What pretraining has to reproduce: the distances and Faith's PD of the samples at hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aam.config import DataConfig
from aam.data.study import Study
from aam.errors import UserError
from aam.phylogeny.distances import TOLERANCE, PrecomputedDistances, read_distances
from aam.phylogeny.unifrac import UniFrac


class UnifracTargets:
    """Targets from the tree for the rows at hand, or from a given matrix by sample id."""

    def __init__(self, study: Study, data: DataConfig) -> None:
        self._given: PrecomputedDistances | None = None
        self._unifrac: UniFrac | None = None
        if study.tree is not None:
            self._unifrac = UniFrac(study.tree, data.unifrac, data.unifrac_alpha)
        if data.distances is not None:
            self._given = read_distances(Path(data.distances).expanduser())
            farthest = self._given.for_samples(study.sample_ids).max()
            if farthest > 1 + TOLERANCE:
                raise UserError(
                    f"data.distances={data.distances} holds distances up to {farthest:.3g}, but"
                    " those of the model lie in [0, 1] as UniFrac's do; give such a matrix, or"
                    " divide this one by its largest value"
                )

    def distances(self, rows: sparse.csr_matrix, ids: Sequence[str]) -> NDArray[np.float64]:
        """Distances [B, B] of these (rarefied) rows."""
        if self._given is not None:
            return self._given.for_samples(ids)
        if self._unifrac is None:
            raise UserError("distances need a tree; set data.tree= or data.distances=")
        return self._unifrac.distances(rows)

    def faith_pd(self, rows: sparse.csr_matrix) -> NDArray[np.float64]:
        """Faith's PD [B] of these rows."""
        if self._unifrac is None:
            raise UserError("loop.faith_pd_weight needs a tree; set data.tree= or the weight to 0")
        return self._unifrac.faith_pd(rows)
