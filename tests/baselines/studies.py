"""Small studies of random counts, with a tree."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from aam.baselines.run import Given
from aam.data.splits import Split
from aam.data.study import Study
from aam.data.targets import Target
from aam.phylogeny.newick import parse_newick
from aam.phylogeny.tree import Tree

NUM_ASVS = 24
KINDS = [{"num_columns": 1}, {"num_columns": 2}, {"num_classes": 2}, {"num_classes": 3}]


def caterpillar(num_tips: int) -> Tree:
    """Each tip joins the one before; branch lengths all different."""
    text = "t0:0.13"
    for tip in range(1, num_tips):
        text = f"({text},t{tip}:{0.3 + 0.071 * tip:.3f}):{0.2 + 0.013 * tip:.3f}"
    newick = parse_newick(text + ";")
    whole = Tree(np.arange(num_tips), newick.start, newick.stop, newick.length)
    place = {name: k for k, name in enumerate(newick.tip_names)}
    return whole.shear(np.array([place[f"t{tip}"] for tip in range(num_tips)]))


def random_given(
    num_columns: int = 1, num_classes: int = 0, num_samples: int = 60, **changes: Any
) -> Given:
    """Samples whose target follows a few ASVs: 40 to train, the others to validate and test."""
    random = np.random.default_rng(num_columns + 10 * num_classes)
    state = random.random((num_samples, max(num_columns, 1)))
    rate = 0.3 + 6 * random.random(NUM_ASVS) * (random.random((num_samples, NUM_ASVS)) < 0.5)
    rate[:, :6] += 25 * state[:, [k % state.shape[1] for k in range(6)]]
    counts = csr_matrix(random.poisson(rate).astype(np.int64))
    study = Study(
        sample_ids=tuple(f"s{k:03d}" for k in range(num_samples)),
        counts=counts,
        sequences=tuple(f"A{k:03d}" for k in range(NUM_ASVS)),
        tokens=np.zeros((NUM_ASVS, 5), dtype=np.uint8),
        tree=caterpillar(NUM_ASVS),
        metadata=None,
        files={},
    )
    if num_classes:
        noisy = state[:, 0] + 0.3 * random.random(num_samples)
        index = np.searchsorted(np.quantile(noisy, np.arange(1, num_classes) / num_classes), noisy)
        target = Target(("site",), index.astype(np.int64), tuple("abcdef"[:num_classes]))
    else:
        target = Target(tuple(f"y{k}" for k in range(num_columns)), 100 * state)
    rows = np.sort(random.permutation(num_samples)[:40]).astype(np.int64)
    others = np.setdiff1d(np.arange(num_samples), rows)
    given = Given(study, target, Split(rows, others[:10], others[10:]), None, None, 7, 0)
    return replace(given, **changes)


def with_counts(given: Given, counts_NA: NDArray[np.int64]) -> Given:
    """The same study with other counts."""
    return replace(given, study=replace(given.study, counts=csr_matrix(counts_NA)))


def reordered(given: Given, order: NDArray[np.int64]) -> Given:
    """The same study, its rows in another order; those to predict are asked for in the old one."""
    place = np.argsort(order)
    old = given.split
    study = replace(
        given.study,
        sample_ids=tuple(given.study.sample_ids[row] for row in order),
        counts=given.study.counts[order],
    )
    split = Split(np.sort(place[old.train]), place[old.val], place[old.test])
    return replace(
        given,
        study=study,
        target=replace(given.target, values=given.target.values[order]),
        split=split,
        groups=_taken(given.groups, order),
        batches=_taken(given.batches, order),
    )


def mixed(num_samples: int = 60) -> tuple[str | None, ...]:
    """Ten groups or batches, and some samples without one."""
    return tuple(None if k % 13 == 5 else f"g{k % 10}" for k in range(num_samples))


def _taken(
    names: Sequence[str | None] | None, order: NDArray[np.int64]
) -> tuple[str | None, ...] | None:
    return None if names is None else tuple(names[row] for row in order)
