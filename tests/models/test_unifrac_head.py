"""The head's distances: those of UniFrac where the clades are the tree's edges, sane elsewhere."""

from typing import Any

import numpy as np
import pytest
import torch
from skbio import TreeNode
from skbio.diversity import beta_diversity

from aam.data.demo import write_demo
from aam.data.study import Study
from aam.models.unifrac_head import UnifracHead
from aam.phylogeny.unifrac import UniFrac

from .studies import SAMPLES

METRICS = [("unweighted", 1.0), ("weighted", 1.0), ("generalized", 0.5)]


def head(metric: str, alpha: float = 1.0, dim: int = 8, num_clades: int = 16) -> UnifracHead:
    torch.manual_seed(0)
    return UnifracHead(dim=dim, num_clades=num_clades, metric=metric, alpha=alpha)


def shares_under_edges(study: Study, counts: np.ndarray) -> np.ndarray:
    """Share of each sample's reads under each edge [B, E]."""
    tree = study.tree
    in_leaf_order = np.zeros_like(counts)
    in_leaf_order[:, tree.tip_order] = counts
    summed = np.pad(in_leaf_order.cumsum(1), ((0, 0), (1, 0)))
    return (summed[:, tree.stop] - summed[:, tree.start]) / counts.sum(1, keepdims=True)


def test_clades_that_are_edges_give_unifrac(
    demo: Study, tmp_path_factory: pytest.TempPathFactory
) -> None:
    counts = demo.counts[SAMPLES].toarray()
    shares, length = shares_under_edges(demo, counts), demo.tree.length

    def distances(metric: str, alpha: float, clades: np.ndarray) -> np.ndarray:
        # A common factor cancels; a large one lets the constant against 0 / 0 drown.
        return head(metric, alpha).distances(torch.tensor(1e5 * clades).float()).numpy()

    tree = write_demo(tmp_path_factory.mktemp("tree") / "seed1", 1).tree
    expected = beta_diversity(
        "unweighted_unifrac",
        counts,
        taxa=list(demo.sequences),
        tree=TreeNode.read(str(tree), format="newick", convert_underscores=False),
    )
    found = distances("unweighted", 1.0, (shares > 0) * np.sqrt(length))
    pairs = np.triu_indices(len(SAMPLES), 1)
    np.testing.assert_allclose(found[pairs], expected.data[pairs], atol=1e-6)

    for metric, alpha in METRICS[1:]:
        # (p + q)^alpha l is the power of what two samples hold of a clade if l^(1/alpha) scales it.
        found = distances(metric, alpha, shares * length ** (1 / alpha))
        exact = UniFrac(demo.tree, metric, alpha).distances(demo.counts[SAMPLES])
        np.testing.assert_allclose(found, exact, atol=1e-6 if alpha == 1 else 1e-5)


@pytest.mark.parametrize(("metric", "alpha"), [*METRICS, ("generalized", 0.0)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_distances_are_distances(metric: str, alpha: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    clades = rng.random((12, 16)) * (rng.random((12, 16)) < 0.6) * scale
    clades[3], clades[4] = 0, clades[5]  # one sample that holds nothing, two that are equal
    clades = torch.tensor(clades).float()
    some = head(metric, alpha)
    found = some.distances(clades)
    torch.testing.assert_close(found, found.T, atol=1e-6, rtol=0)
    assert found.diagonal().abs().max() < 1e-5
    assert found[4, 5].abs() < 1e-5
    assert found.min() > -1e-5
    assert found.max() < 1 + 1e-5
    torch.testing.assert_close(some.distances(clades[:5], clades), found[:5], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("metric", "alpha"), METRICS)
@pytest.mark.parametrize("shape", [(8, 128), (4096, 128), (64, 8), (64, 4096)])
def test_no_width_saturates_the_start(metric: str, alpha: float, shape: tuple[int, int]) -> None:
    """At the start samples differ, are not all as far apart as can be, and clades can learn."""
    dim, num_clades = shape
    some = head(metric, alpha, dim, num_clades)
    rng = np.random.default_rng(0)
    # ASV embeddings have a large part in common, which is what the head's start counts on.
    asvs = torch.randn(dim) + 0.5 * torch.randn(300, dim)
    batch = sampled(rng, num_samples=12, num_asvs=300)
    distances = some.distances(some(asvs, **batch, pooled_BD=torch.zeros(12, dim)))
    pairs = distances[np.triu_indices(12, 1)]
    assert pairs.max() < 0.9
    assert pairs.std() > 1e-4
    (pairs - 0.5).square().mean().backward()
    reached = some.propensity.weight.grad.abs().amax(1) > 1e-7
    assert reached.float().mean() > 0.2


def sampled(rng: np.random.Generator, num_samples: int, num_asvs: int) -> dict[str, Any]:
    richness = rng.integers(20, 200, num_samples)
    mask = np.arange(200) < richness[:, None]
    index = np.stack([rng.permutation(num_asvs)[:200] for _ in range(num_samples)])
    counts = rng.lognormal(2, 1.5, mask.shape).round() + 1
    return {
        "asv_index_BS": torch.tensor(np.where(mask, index, 0)),
        "counts_BS": torch.tensor(np.where(mask, counts, 0)).float(),
        "mask_BS": torch.tensor(mask),
    }
