"""UniFrac distances and Faith's PD of the samples at hand, exact and without an N x N matrix.

The tree is sheared to the ASVs that the rows hold. Their counts, laid out in leaf order and summed
cumulatively as integers, give the count under any edge as a difference of two rows, so that
presence is exact at any depth.

Shapes: B samples (rows given), U distinct ASVs in them, E edges of the sheared tree.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from aam.config import one_of
from aam.errors import UserError
from aam.phylogeny.tree import Tree

METRICS = ("unweighted", "weighted", "generalized")
# How many edges are worked on at a time. 2048 edges of 32 samples fill half a MiB, which stays in
# cache: up to four times faster than all edges at once.
BLOCK_EDGES = 2048

Floats = NDArray[np.float64]


class UniFrac:
    """Distances between the samples of a batch, in [0, 1] and never NaN.

    ``unweighted``
        the share of the observed branch length that only one of two samples holds (Lozupone and
        Knight 2005).
    ``weighted``
        normalized weighted UniFrac (Lozupone et al. 2007).
    ``generalized``
        Chen et al. 2012: ``sum l (p + q)^(alpha - 1) |p - q| / sum l (p + q)^alpha`` over the edges
        with p + q > 0; alpha = 1 is the weighted one.

    The first two equal scikit-bio's, the root's own branch and the path to it included; it has no
    generalized UniFrac. Two samples that share no observed branch length, as two empty ones, are at
    distance 0.
    """

    def __init__(self, tree: Tree, metric: str = "unweighted", alpha: float = 1.0) -> None:
        one_of("data.unifrac", metric, METRICS)
        if not 0 <= alpha <= 1:
            raise UserError(f"data.unifrac_alpha={alpha} must lie between 0 and 1")
        self.tree = tree
        self.metric = metric
        self.alpha = alpha if metric == "generalized" else 1.0

    def distances(self, counts: csr_matrix) -> Floats:
        """Distances ``[B, B]`` between the rows of ``counts`` (integers, ``[B, A]``)."""
        tree, cumulative = _shear(self.tree, counts)
        if self.metric == "unweighted":
            unshared, held = _unweighted(tree, cumulative)
        elif self.alpha == 1.0:
            unshared, held = _weighted(tree, cumulative)
        else:
            unshared, held = _generalized(tree, cumulative, self.alpha)
        distances = np.divide(unshared, held, out=np.zeros_like(held), where=held > 0)
        np.fill_diagonal(distances, 0.0)
        # Both parts are differences of sums, so that rounding may leave the range by 1e-16.
        return np.clip(distances, 0.0, 1.0)

    def faith_pd(self, counts: csr_matrix) -> Floats:
        """Faith's PD ``[B]`` of the rows, up to the root, in units of branch length (1992).

        Going through a sample's ASVs in leaf order, each adds its path up to where it leaves those
        before it. That is the highest of the forks that it and the absent leaves before it have.
        """
        counts = _checked(self.tree, counts)
        tip_A, fork_A = self._heights
        values = np.zeros(counts.shape[0])
        for row in range(counts.shape[0]):
            cells = slice(*counts.indptr[row : row + 2])
            held = counts.indices[cells][counts.data[cells] > 0]
            if len(held):
                leaves = np.sort(self.tree.tip_order[held])
                after_last = np.append(0, leaves[:-1] + 1)
                shared = np.minimum.reduceat(fork_A[: leaves[-1] + 1], after_last)
                values[row] = (tip_A[leaves] - shared).sum()
        return values

    @cached_property
    def _heights(self) -> tuple[Floats, Floats]:
        """By leaf ``[A]``: how far from the root it is, and where its path leaves the leaf before.

        The first leaf leaves none, and its path counts from the root.
        """
        tip_A, fork_A = np.zeros((2, len(self.tree.tip_order)))
        above: list[tuple[int, float]] = []  # edges that lead here: where they end, how far down
        newest = -1
        edges = (self.tree.start, self.tree.stop, self.tree.length)
        for start, stop, length in zip(*(part.tolist() for part in edges), strict=True):
            while above and above[-1][0] <= start:
                above.pop()
            fork = above[-1][1] if above else 0.0
            if start > newest:
                newest, fork_A[start] = start, fork
            tip_A[start] = fork + length  # the last edge that starts here is the leaf's own
            above.append((stop, fork + length))
        return tip_A, fork_A


def _shear(tree: Tree, counts: csr_matrix) -> tuple[Tree, NDArray[np.int64]]:
    """The tree of the ASVs in these rows, and their cumulative counts by leaf ``[U + 1, B]``."""
    counts = _checked(tree, counts)
    columns, index = np.unique(counts.indices, return_inverse=True)
    sheared = tree.shear(columns)
    cumulative = np.zeros((len(columns) + 1, counts.shape[0]), dtype=np.int64)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    cumulative[sheared.tip_order[index] + 1, rows] = counts.data
    np.cumsum(cumulative, axis=0, out=cumulative)
    return sheared, cumulative


def _checked(tree: Tree, counts: csr_matrix) -> csr_matrix:
    """The rows as they are, but every column at most once in each."""
    if counts.dtype.kind not in "biu" or counts.shape[1] != len(tree.tip_order):
        raise ValueError(f"counts must be integers of {len(tree.tip_order)} columns: {counts!r}")
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    return counts


def _blocks(
    tree: Tree, cumulative: NDArray[np.int64]
) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """Blocks of edges: their lengths ``[e]`` and the counts under them ``[e, B]``."""
    for first in range(0, len(tree.length), BLOCK_EDGES):
        edges = slice(first, first + BLOCK_EDGES)
        yield tree.length[edges], cumulative[tree.stop[edges]] - cumulative[tree.start[edges]]


def _unweighted(tree: Tree, cumulative: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Branch length held by one of two samples only, and by either of them: both ``[B, B]``."""
    num_samples = cumulative.shape[1]
    both = np.zeros((num_samples, num_samples))
    for length, under in _blocks(tree, cumulative):
        present = (under > 0).astype(np.float64)
        both += (length[:, None] * present).T @ present
    both = (both + both.T) / 2  # the product is symmetric up to rounding only
    own = np.diagonal(both)
    either = own[:, None] + own - both
    return either - both, either


def _weighted(tree: Tree, cumulative: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """``sum l |p - q|`` and ``sum l (p + q)``, both ``[B, B]``.

    ``|p - q| = p + q - 2 min(p, q)``, and the minimum is 0 wherever the first sample holds nothing:
    only its own edges are looked at.
    """
    num_samples = cumulative.shape[1]
    total = np.maximum(cumulative[-1], 1)
    own = np.zeros(num_samples)
    least = np.zeros((num_samples, num_samples))
    for length, under in _blocks(tree, cumulative):
        share = under / total
        own += length @ share
        for first in range(num_samples - 1):
            held = np.flatnonzero(share[:, first])
            p, q = share[held, first, None], share[held, first + 1 :]
            least[first, first + 1 :] += length[held] @ np.minimum(p, q)
    held_by_two = own[:, None] + own
    return held_by_two - 2 * (least + least.T), held_by_two


def _generalized(tree: Tree, cumulative: NDArray[np.int64], alpha: float) -> tuple[Floats, Floats]:
    """Numerator and denominator of generalized UniFrac, both ``[B, B]``.

    Where only one sample holds an edge, both terms are ``l p^alpha``: a matrix product gives their
    sum for all pairs, and powers are taken over the shared edges only. An edge that neither holds
    counts nothing, which ``0**0`` at alpha = 0 would get wrong.
    """
    num_samples = cumulative.shape[1]
    total = np.maximum(cumulative[-1], 1)
    unshared = np.zeros((num_samples, num_samples))
    held = np.zeros((num_samples, num_samples))
    alone = np.zeros((num_samples, num_samples))
    for length, under in _blocks(tree, cumulative):
        share = under / total
        present = under > 0
        powered = np.power(share, alpha, out=np.zeros_like(share), where=present)
        powered *= length[:, None]
        alone += powered.sum(axis=0)[:, None] - powered.T @ present.astype(np.float64)
        for first in range(num_samples - 1):
            edges = np.flatnonzero(present[:, first])
            others = share[edges, first + 1 :]
            edge, other = np.nonzero(others)
            p, q = share[edges[edge], first], others[edge, other]
            both = p + q
            scale = length[edges[edge]] * both ** (alpha - 1)
            width = others.shape[1]
            unshared[first, first + 1 :] += np.bincount(other, scale * np.abs(p - q), width)
            held[first, first + 1 :] += np.bincount(other, scale * both, width)
    alone += alone.T
    return unshared + unshared.T + alone, held + held.T + alone
