"""UniFrac and Faith's PD: against scikit-bio on real data, against the formulas on random trees."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from aam.errors import UserError
from aam.phylogeny import unifrac
from aam.phylogeny.newick import parse_newick
from aam.phylogeny.tree import Tree, read_tree
from aam.phylogeny.unifrac import UniFrac

DATA_SETS = ("ecam", "ibd-crohns", "cfs", "cheese-ph", "moving-pictures", "american-gut")
KINDS = [
    ("unweighted", 1.0),
    ("weighted", 1.0),
    ("generalized", 0.0),
    ("generalized", 0.3),
    ("generalized", 0.5),
    ("generalized", 1.0),
]
EXACT = 1e-12


def naive(
    mass: NDArray[np.float64], length: NDArray[np.float64], metric: str, alpha: float
) -> NDArray[np.float64]:
    """The published formulas, pair by pair, from the counts ``[B, E]`` under every edge."""
    total = mass.max(axis=1, keepdims=True, initial=0)
    share = np.divide(mass, total, out=np.zeros(mass.shape), where=total > 0)
    distances = np.zeros((len(mass), len(mass)))
    for i, p in enumerate(share):
        for j, q in enumerate(share):
            if metric == "unweighted":
                terms, scale = ((p > 0) != (q > 0)), ((p > 0) | (q > 0))
                above, below = (length * terms).sum(), (length * scale).sum()
            else:
                power = alpha if metric == "generalized" else 1.0
                seen = p + q > 0
                both, apart = (p + q)[seen], np.abs(p - q)[seen]
                above = (length[seen] * both ** (power - 1) * apart).sum()
                below = (length[seen] * both**power).sum()
            distances[i, j] = above / below if below > 0 else 0.0
    return distances


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_equal_to_scikit_bio_on_real_data(real_data: Path, data_set: str) -> None:
    import biom
    from skbio import TreeNode
    from skbio.diversity import alpha_diversity, beta_diversity
    from skbio.diversity._util import vectorize_counts_and_tree

    table = biom.load_table(str(real_data / data_set / "table.biom"))
    asvs = [str(name) for name in table.ids(axis="observation")]
    rows = np.random.default_rng(0).choice(table.shape[1], 12, replace=False)
    counts = csr_matrix(table.matrix_data.T)[rows].astype(np.int64)
    path = real_data / data_set / "tree.nwk"
    tree = read_tree(path, asvs)

    dense = counts.toarray()
    reference = TreeNode.read(str(path), format="newick")
    ids = [str(row) for row in rows]
    given_tree = {"taxa": asvs, "tree": reference}
    faith = alpha_diversity("faith_pd", dense, ids, **given_tree)
    np.testing.assert_allclose(UniFrac(tree).faith_pd(counts), faith, rtol=EXACT)
    unweighted = beta_diversity("unweighted_unifrac", dense, ids, **given_tree).data
    ours = UniFrac(tree).distances(counts)
    np.testing.assert_allclose(ours, unweighted, atol=EXACT)
    assert np.array_equal(ours, ours.T)
    weighted = beta_diversity("weighted_unifrac", dense, ids, normalized=True, **given_tree).data
    ours = UniFrac(tree, "weighted").distances(counts)
    np.testing.assert_allclose(ours, weighted, atol=EXACT)

    under, _, length = vectorize_counts_and_tree(dense, np.array(asvs), reference)
    for alpha in (0.0, 0.5):
        ours = UniFrac(tree, "generalized", alpha).distances(counts)
        expected = naive(under.astype(np.float64), length, "generalized", alpha)
        np.testing.assert_allclose(ours, expected, atol=EXACT)


# A tip is its column; an inner node is its children. Each node is paired with its branch length.
Node = tuple["int | list[Node]", float]


@dataclass
class Case:
    root: Node
    counts: NDArray[np.int64]


def newick_of(node: Node) -> str:
    below, length = node
    if isinstance(below, int):
        return f"t{below}:{length!r}"
    return f"({','.join(map(newick_of, below))}):{length!r}"


def turned(node: Node, random: np.random.Generator) -> Node:
    """The same tree with the children of every node in another order."""
    below, length = node
    if isinstance(below, int):
        return node
    return [turned(below[k], random) for k in random.permutation(len(below))], length


def edges_of(node: Node) -> list[tuple[set[int], float]]:
    below, length = node
    if isinstance(below, int):
        return [({below}, length)]
    edges = [edge for child in below for edge in edges_of(child)]
    return [*edges, (set().union(*(tips for tips, _ in edges)), length)]


def tree_of(node: Node, columns: list[int]) -> Tree:
    """Through the parser, columns in the order given."""
    newick = parse_newick(newick_of(node) + ";")
    whole = Tree(np.arange(len(newick.tip_names)), newick.start, newick.stop, newick.length)
    positions = {name: position for position, name in enumerate(newick.tip_names)}
    return whole.shear(np.array([positions[f"t{column}"] for column in columns]))


def four_tips(d: float) -> Tree:
    left: Node = [(0, 1.0), (1, 1.0)], 1.0
    right: Node = [(2, 1.0), (3, d)], 0.0
    return tree_of(([left, right], 0.0), [0, 1, 2, 3])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    lengths = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.25]) | st.floats(1e-6, 10)
    num_tips = draw(st.integers(1, 9))
    nodes: list[Node] = [(tip, draw(lengths)) for tip in range(num_tips)]
    while len(nodes) > 1:
        take = draw(st.integers(1, min(4, len(nodes))))
        if take == 1 and draw(st.booleans()):
            continue
        nodes = [*nodes[take:], (nodes[:take], draw(lengths))]
    num_samples = draw(st.integers(1, 6))
    cells = st.sampled_from([0, 0, 0, 1, 2, 7, 1000])
    counts = draw(
        st.lists(
            st.lists(cells, min_size=num_tips, max_size=num_tips),
            min_size=num_samples,
            max_size=num_samples,
        )
    )
    return Case(nodes[0], np.array(counts, dtype=np.int64))


@pytest.mark.parametrize(("metric", "alpha"), KINDS)
@settings(deadline=None, max_examples=40)
@given(case=cases(), seed=st.integers(0, 99))
def test_formula_and_invariance(metric: str, alpha: float, case: Case, seed: int) -> None:
    num_samples, num_tips = case.counts.shape
    tree = tree_of(case.root, list(range(num_tips)))
    whole = UniFrac(tree, metric, alpha)
    distances = whole.distances(csr_matrix(case.counts))
    faith = whole.faith_pd(csr_matrix(case.counts))

    edges = edges_of(case.root)
    mass = np.array([case.counts[:, sorted(tips)].sum(axis=1) for tips, _ in edges]).T
    length = np.array([length for _, length in edges])
    expected = naive(mass.astype(np.float64), length, metric, alpha)
    np.testing.assert_allclose(distances, expected, atol=EXACT)
    np.testing.assert_allclose(faith, (mass > 0) @ length, rtol=EXACT)
    assert np.all((distances >= 0) & (distances <= 1))
    assert np.array_equal(distances, distances.T)
    assert np.all(np.diagonal(distances) == 0)

    random = np.random.default_rng(seed)
    rows = random.permutation(num_samples)[: random.integers(1, num_samples + 1)]
    columns = random.permutation(num_tips)
    other = UniFrac(tree_of(turned(case.root, random), columns.tolist()), metric, alpha)
    moved = csr_matrix(case.counts[rows][:, columns])
    np.testing.assert_allclose(other.distances(moved), distances[np.ix_(rows, rows)], atol=EXACT)
    np.testing.assert_allclose(other.faith_pd(moved), faith[rows], rtol=EXACT)


@settings(deadline=None, max_examples=50)
@given(case=cases())
def test_unweighted_obeys_the_triangle_inequality(case: Case) -> None:
    tree = tree_of(case.root, list(range(case.counts.shape[1])))
    # Samples that hold nothing (or no branch length) are at distance 0 from each other only.
    held = case.counts[UniFrac(tree).faith_pd(csr_matrix(case.counts)) > 0]
    distances = UniFrac(tree).distances(csr_matrix(held))
    detour = (distances[:, :, None] + distances[None]).min(axis=1, initial=2)
    assert np.all(distances <= detour + EXACT)


@pytest.mark.parametrize(("metric", "alpha"), KINDS)
def test_degenerate_samples(metric: str, alpha: float) -> None:
    tree = four_tips(d=0)
    rows = [[0, 0, 0, 0], [0, 0, 0, 0], [5, 0, 0, 0], [9, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 2]]
    distances = UniFrac(tree, metric, alpha).distances(csr_matrix(np.array(rows)))
    # Both empty or without branch length: 0. Same ASV: 0. Nothing in common: 1.
    expected = np.array(
        [
            [0, 0, 1, 1, 1, 0],
            [0, 0, 1, 1, 1, 0],
            [1, 1, 0, 0, 1, 1],
            [1, 1, 0, 0, 1, 1],
            [1, 1, 1, 1, 0, 1],
            [0, 0, 1, 1, 1, 0],
        ]
    )
    assert np.array_equal(distances, expected)


@pytest.mark.parametrize(("metric", "alpha"), KINDS)
def test_blocks_change_nothing(metric: str, alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    nodes: list[Node] = [(tip, random.random()) for tip in range(40)]
    while len(nodes) > 1:
        nodes = [*nodes[2:], (nodes[:2], random.random())]
    tree = tree_of(nodes[0], list(range(40)))
    counts = csr_matrix(random.poisson(0.4, size=(9, 40)))
    in_one = UniFrac(tree, metric, alpha).distances(counts)
    monkeypatch.setattr(unifrac, "BLOCK_EDGES", 7)
    in_blocks = UniFrac(tree, metric, alpha).distances(counts)
    np.testing.assert_allclose(in_blocks, in_one, atol=EXACT)


def test_rows_as_they_come() -> None:
    tree = four_tips(d=3)
    # Unsorted and repeated indices, and an explicit zero.
    data, columns, indptr = np.array([2, 1, 4, 0, 3]), np.array([2, 0, 0, 1, 0]), [0, 3, 4, 5]
    loose = csr_matrix((data, columns, np.array(indptr)), shape=(3, 4))
    tidy = csr_matrix(np.array([[5, 0, 2, 0], [0, 0, 0, 0], [3, 0, 0, 0]]))
    for metric in unifrac.METRICS:
        expected = UniFrac(tree, metric).distances(tidy)
        assert np.array_equal(UniFrac(tree, metric).distances(loose), expected)
    assert loose.nnz == 5
    assert UniFrac(tree).distances(tidy[:0]).shape == (0, 0)
    with pytest.raises(ValueError, match="integers"):
        UniFrac(tree).distances(tidy.astype(np.float64))
    with pytest.raises(ValueError, match="4 columns"):
        UniFrac(tree).distances(tidy[:, :3])


def test_settings_are_checked() -> None:
    tree = four_tips(d=3)
    with pytest.raises(UserError, match="did you mean weighted"):
        UniFrac(tree, "weighed")
    with pytest.raises(UserError, match=r"unifrac_alpha=1\.5 must lie between 0 and 1"):
        UniFrac(tree, "generalized", 1.5)
