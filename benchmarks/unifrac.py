"""Time and memory of UniFrac on a synthetic table, against scikit-bio and the ``ssu`` of Debian.

python benchmarks/unifrac.py

Prints the Markdown tables of docs/performance.md. Times are the CPU time of this process, the best
of the repeats; set OMP_NUM_THREADS=1, or matrix products count the time of all threads. Memory is
the peak of what Python and numpy allocate in a run of its own.
"""

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from ssu import report_ssu
from workload import MIB, SEQUENCE_LENGTH, random_newick, random_table

from aam.phylogeny.tree import Tree, read_tree
from aam.phylogeny.unifrac import UniFrac

METRICS = {"unweighted": {}, "weighted": {"normalized": True}}  # with scikit-bio's options
Distances = Callable[[], object]


def random_names(num_asvs: int, random: np.random.Generator) -> list[str]:
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)
    letters = bases[random.integers(0, 4, size=(num_asvs, SEQUENCE_LENGTH))]
    return [row.tobytes().decode() for row in letters]


def cpu_seconds(function: Distances) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def peak_mib(function: Distances) -> float:
    """The most memory that a call holds beyond what was there before."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


def setup(options: argparse.Namespace, folder: Path) -> tuple[Tree, csr_matrix, list[str], Path]:
    """Make the data, and report what it costs to get ready for batches."""
    random = np.random.default_rng(0)
    names = random_names(options.asvs, random)
    table = random_table(options.samples, options.asvs, options.richness, random)
    path = folder / "tree.nwk"
    path.write_text(random_newick(names, random), encoding="utf-8")
    megabytes = (table.data.nbytes + table.indices.nbytes + table.indptr.nbytes) / MIB
    print(f"{options.samples} samples x {options.asvs} ASVs, {table.nnz} nonzeros", end=" ")
    print(f"({megabytes:.0f} MiB); Newick file of {path.stat().st_size / MIB:.1f} MiB.\n")

    print("| set-up | CPU s | peak memory, MiB |\n|---|---|---|")
    for label, function in {
        "read the Newick file, make UniFrac": lambda: UniFrac(read_tree(path, names)),
        "Faith's PD of all samples": lambda: UniFrac(read_tree(path, names)).faith_pd(table),
    }.items():
        print(f"| {label} | {cpu_seconds(function):.2f} | {peak_mib(function):.0f} |")
    print()
    tree = read_tree(path, names)
    return tree, table, names, path


def report_ours(tree: Tree, batches: list[csr_matrix], repeats: int) -> None:
    print("| metric | samples | ms | peak memory, MiB |\n|---|---|---|---|")
    kinds = [(metric, 1.0) for metric in METRICS] + [("generalized", 0.5), ("generalized", 0.0)]
    for batch in batches:
        for metric, alpha in kinds:
            ours = partial(UniFrac(tree, metric, alpha).distances, batch)
            best = min(cpu_seconds(ours) for _ in range(repeats)) * 1e3
            label = f"{metric}, alpha {alpha}" if metric == "generalized" else metric
            print(f"| {label} | {batch.shape[0]} | {best:.1f} | {peak_mib(ours):.0f} |")
    print()


def report_ratios(
    tree: Tree, batches: list[csr_matrix], names: list[str], path: Path, repeats: int
) -> None:
    """scikit-bio and ours in turns. Its tree is read and its import paid for before the clock."""
    import skbio
    from skbio.diversity import beta_diversity

    reference = skbio.TreeNode.read(str(path), format="newick")
    print(
        f"| metric | samples | ours, ms | scikit-bio {skbio.__version__}, ms | ratio | largest",
        end="",
    )
    print(" difference |\n|---|---|---|---|---|---|")
    for batch in batches:
        dense = batch.toarray()
        for metric, extra in METRICS.items():
            ours = partial(UniFrac(tree, metric).distances, batch)
            theirs = partial(
                beta_diversity,
                f"{metric}_unifrac",
                dense,
                taxa=names,
                tree=reference,
                validate=False,
                **extra,
            )
            pairs = [(cpu_seconds(ours), cpu_seconds(theirs)) for _ in range(repeats)]
            fast, slow = (min(times) * 1e3 for times in zip(*pairs, strict=True))
            gap = np.abs(ours() - theirs().data).max()
            print(f"| {metric} | {batch.shape[0]} | {fast:.1f} | {slow:.0f}", end="")
            print(f" | {slow / fast:.0f} | {gap:.0e} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--asvs", type=int, default=20_000)
    parser.add_argument("--richness", type=int, default=300)
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--many", type=int, nargs="+", default=[512, 5_000], help="for ssu alone")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree, table, names, path = setup(options, Path(folder))
        random = np.random.default_rng(1)
        picks = [random.choice(options.samples, size, replace=False) for size in options.batch]
        batches = [table[np.sort(rows)] for rows in picks]
        report_ours(tree, batches, options.repeats)
        report_ratios(tree, batches, names, path, min(3, options.repeats))
        many = [random.choice(options.samples, size, replace=False) for size in options.many]
        report_ssu(tree, [*batches, *(table[np.sort(rows)] for rows in many)], names, path)


if __name__ == "__main__":
    main()
