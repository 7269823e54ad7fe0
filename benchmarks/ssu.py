"""UniFrac against ``ssu`` of unifrac-binaries, which ``apt-get install unifrac-tools`` brings.

It is a command: it reads a table and a tree, computes all pairs and writes a matrix. What of that
is not computing is told by a table of two samples.
"""

import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from aam.phylogeny.distances import read_distances
from aam.phylogeny.tree import Tree
from aam.phylogeny.unifrac import UniFrac

METHODS = {"unweighted": "unweighted_fp64", "weighted": "weighted_normalized_fp64"}
MOST_SAMPLES = {"unweighted": 10_000, "weighted": 1_000}  # beyond, ssu takes many minutes


def report_ssu(tree: Tree, tables: list[csr_matrix], names: list[str], path: Path) -> None:
    """Both on the same tables, on one thread; nothing is printed where there is no ``ssu``."""
    if shutil.which("ssu") is None:
        print("\nThere is no `ssu`: apt-get install unifrac-tools")
        return
    print("\n| metric | samples | ours, CPU s | ssu, CPU s | of it for two samples | ratio", end="")
    print(" | largest difference |\n|---|---|---|---|---|---|---|")
    for metric, method in METHODS.items():
        nothing_s = _ssu(tables[0][:2], names, path, method)[0]
        for table in (one for one in tables if one.shape[0] <= MOST_SAMPLES[metric]):
            start = time.process_time()
            ours = UniFrac(tree, metric).distances(table)
            ours_s = time.process_time() - start
            theirs_s, theirs = _ssu(table, names, path, method)
            gap = np.abs(ours - theirs).max()
            print(f"| {metric} | {table.shape[0]:,} | {ours_s:.3f} | {theirs_s:.2f}", end="")
            print(f" | {nothing_s:.2f} | {theirs_s / ours_s:.1f} | {gap:.0e} |", flush=True)


def _ssu(table: csr_matrix, names: list[str], path: Path, method: str) -> tuple[float, np.ndarray]:
    """CPU seconds of the whole command, and its matrix in the order of the rows."""
    ids = [f"S{row}" for row in range(table.shape[0])]
    biom, matrix = path.with_name("ssu.biom"), path.with_name("ssu.h5")
    _write_biom(table, ids, names, biom)
    command = ["ssu", "-i", biom, "-t", path, "-o", matrix, "-m", method, "-r", "hdf5_fp64"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "UNIFRAC_USE_GPU": "N"}
    subprocess.run([*command, "--pcoa", "0"], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, read_distances(matrix).for_samples(ids)


def _write_biom(table: csr_matrix, ids: list[str], names: list[str], path: Path) -> None:
    import h5py
    from biom import Table

    held = np.unique(table.indices)
    counts = table[:, held].T.tocsr().astype(np.float64)
    with h5py.File(path, "w") as file:
        Table(counts, [names[k] for k in held], ids).to_hdf5(file, "benchmark")
