"""Random trees, and what evolves along them: traits and DNA sequences.

Numpy only; everything is drawn from the generator that is given, so a seed fixes it all.
Shapes: V nodes (parents before children, node 0 the root), A tips, L sites, K traits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aam.errors import UserError

BASES = "ACGT"
# General time-reversible model: rates AC, AG, AT, CG, CT, GT with the excess of transitions
# (AG, CT) and the slight wealth of G that 16S genes show.
EXCHANGE_RATES = (1.0, 3.0, 1.2, 0.8, 4.0, 1.0)
BASE_FREQUENCIES = (0.25, 0.23, 0.31, 0.21)
# Stretches of the read (as fractions of its length) that hardly change, as the stems between the
# variable regions of the 16S gene do, and how fast their sites are against the others.
CONSERVED_BLOCKS = ((0.0, 0.12), (0.34, 0.46), (0.68, 0.80))
CONSERVED_RATE = 0.05
SITE_RATE_SHAPE = 0.6


@dataclass(frozen=True)
class RandomTree:
    """A rooted bifurcating tree: each node's parent (-1 for the root) and the branch above it."""

    parent: NDArray[np.int64]  # [V]
    length: NDArray[np.float64]  # [V]
    tips: NDArray[np.int64]  # [A]

    def path_lengths(self) -> NDArray[np.float64]:
        """Distance of every node to the root, [V]."""
        depth = np.zeros(len(self.parent))
        for node in range(1, len(depth)):
            depth[node] = depth[self.parent[node]] + self.length[node]
        return depth

    def newick(self, tip_names: Sequence[str]) -> str:
        """The tree as Newick text; ``tip_names[k]`` names ``tips[k]``."""
        name_of = dict(zip(self.tips.tolist(), tip_names, strict=True))
        parts: list[list[str]] = [[] for _ in self.parent]
        for node in range(len(self.parent) - 1, 0, -1):
            label = name_of.get(node) or "(" + ",".join(parts[node]) + ")"
            parts[self.parent[node]].append(f"{label}:{self.length[node]:.8f}")
        return "(" + ",".join(parts[0]) + ");\n"


def yule_tree(
    num_tips: int, depth: float, rng: np.random.Generator, rate_shape: float = 6.0
) -> RandomTree:
    """Draw a pure-birth (Yule 1925) tree whose clock ticks unevenly.

    Every branch's duration is multiplied by its own gamma rate (shape ``rate_shape``, mean 1), so
    tips end at differing distances from the root; ``depth`` is their mean, in substitutions a site.
    """
    parent, duration, alive = [-1, 0, 0], [0.0, 0.0, 0.0], [1, 2]
    while True:
        wait = rng.exponential(1.0 / len(alive))
        for node in alive:
            duration[node] += wait
        if len(alive) == num_tips:
            break
        mother = alive.pop(int(rng.integers(len(alive))))
        alive += [len(parent), len(parent) + 1]
        parent += [mother, mother]
        duration += [0.0, 0.0]
    length = np.array(duration) * rng.gamma(rate_shape, 1.0 / rate_shape, len(duration))
    tree = RandomTree(np.array(parent), length, np.array(sorted(alive)))
    return RandomTree(
        tree.parent, length * (depth / tree.path_lengths()[tree.tips].mean()), tree.tips
    )


def brownian_traits(
    tree: RandomTree, num_traits: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw traits that wander by Brownian motion along the tree, [A, K].

    Scaled to mean 0 and standard deviation 1 over the tips, so that a trait's strength is set by
    whoever uses it and not by the shape of the tree.
    """
    step = rng.standard_normal((len(tree.parent), num_traits)) * np.sqrt(tree.length)[:, None]
    for node in range(1, len(step)):
        step[node] += step[tree.parent[node]]
    traits = step[tree.tips]
    scaled: NDArray[np.float64] = (traits - traits.mean(axis=0)) / traits.std(axis=0)
    return scaled


def evolve_sequences(tree: RandomTree, num_sites: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Evolve one DNA sequence a tip, all distinct, under GTR with gamma rates over sites.

    The model is that of Tavaré (1986) with the site rates of Yang (1994). A tip that would equal an
    earlier one gets one more substitution, because denoised ASVs differ by at least one base.
    Raises ``UserError`` if there are fewer possible sequences than tips.
    """
    if 4**num_sites < len(tree.tips):
        raise UserError(f"{num_sites} sites give fewer sequences than the tree has tips")
    rates = _site_rates(num_sites, rng)
    left, eigenvalues, right = _reversible_model()
    states = np.zeros((len(tree.parent), num_sites), dtype=np.int64)
    states[0] = rng.choice(4, size=num_sites, p=BASE_FREQUENCIES)
    for node in range(1, len(states)):
        before = states[tree.parent[node]]
        decay = np.exp(np.outer(rates * tree.length[node], eigenvalues))  # [L, 4]
        chances = (left[before] * decay) @ right  # [L, 4]: the row of exp(Qt) for each site's base
        drawn = rng.random(num_sites)[:, None]
        states[node] = np.minimum((np.cumsum(chances, axis=1) < drawn).sum(axis=1), 3)
    return _distinct(states[tree.tips], rates, rng)


def _site_rates(num_sites: int, rng: np.random.Generator) -> NDArray[np.float64]:
    rates = rng.gamma(SITE_RATE_SHAPE, 1.0 / SITE_RATE_SHAPE, num_sites)
    for start, stop in CONSERVED_BLOCKS:
        rates[round(start * num_sites) : round(stop * num_sites)] *= CONSERVED_RATE
    mean_one: NDArray[np.float64] = rates / rates.mean()
    return mean_one


def _reversible_model() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Split GTR's rate matrix, so that exp(Qt) = left * exp(eigenvalues t) @ right."""
    frequency = np.array(BASE_FREQUENCIES)
    exchange = np.zeros((4, 4))
    exchange[np.triu_indices(4, 1)] = EXCHANGE_RATES
    rate = (exchange + exchange.T) * frequency
    rate -= np.diag(rate.sum(axis=1))
    rate /= -(frequency * np.diag(rate)).sum()  # one expected substitution a unit of length
    root = np.sqrt(frequency)
    symmetric = rate * root[:, None] / root[None, :]
    eigenvalues, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
    return vectors / root[:, None], eigenvalues, vectors.T * root[None, :]


def _distinct(
    states: NDArray[np.int64], rates: NDArray[np.float64], rng: np.random.Generator
) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for row in states:
        while (text := "".join(BASES[base] for base in row)) in seen:
            site = rng.choice(len(row), p=rates / rates.sum())
            row[site] = (row[site] + rng.integers(1, 4)) % 4
        seen[text] = None
    return tuple(seen)
