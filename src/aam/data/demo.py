"""Demo data: a made-up study with known truths, written as the files that a real study has.

A random tree relates the ASVs, their sequences evolve along it, and so do their likings: for a body
site and for a host's age. Hence close relatives live in like places, and sequences alone tell a
model something of an unseen ASV. ``bmi`` is a subject's own and tells nothing of the community: it
can be predicted only where samples of the same subject were trained on.

Shapes: N samples, A ASVs, P subjects.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from aam.data.evolution import RandomTree, brownian_traits, evolve_sequences, yule_tree
from aam.errors import UserError

NUM_ASVS = 300
NUM_SITES = 150  # bases of a read, as in the Earth Microbiome Project's protocol
NUM_SUBJECTS = 40
SAMPLES_PER_SUBJECT = 4
BODY_SITES = ("gut", "tongue", "skin")
OLDEST = 80.0  # years
TREE_DEPTH = 0.35  # substitutions a site from root to tip

# What makes up an ASV's suitability to a sample. Below 0 it is absent; above, suitability is the
# logarithm of its abundance. (A log-normal without the threshold is either too even or too rich.)
MEAN_SUITABILITY = -1.5
COMMONNESS_SD = 1.5  # its own commonness
SITE_SD = 2.0  # its liking of the body site, following the tree
SUBJECT_SD = 1.2  # the subject's own community
SAMPLE_SD = 1.2  # the day's chance
AGE_WIDTH = 0.30  # width of its Gaussian response to age, in units of the whole gradient
AGE_STRENGTH = 1.8

MEDIAN_DEPTH, DEPTH_SD, LOWEST_DEPTH = 10_000.0, 0.45, 2_000.0  # reads a sample, log-normal
MISSING_BMI = 0.1

TABLE, TREE, METADATA, MANIFEST = "table.biom", "tree.nwk", "metadata.tsv", "manifest.json"
NAME = "demo-v1"  # raise it when anything above changes: it names the cache folder


@dataclass(frozen=True)
class DemoFiles:
    """Where the demo study lies."""

    table: Path
    tree: Path
    metadata: Path


@dataclass(frozen=True)
class DemoStudy:
    """The demo study before it is written; tip k of the tree is column k of the counts."""

    tree: RandomTree
    sequences: tuple[str, ...]  # [A]
    counts: NDArray[np.int64]  # [N, A]
    sample_ids: tuple[str, ...]
    subject: NDArray[np.int64]  # [N]
    body_site: NDArray[np.int64]  # [N]
    age: NDArray[np.float64]  # [N] years
    bmi: NDArray[np.float64]  # [N] kg/m2, NaN where missing


def cached_demo(seed: int) -> DemoFiles:
    """Give the demo study of a seed, from ``$AAM_CACHE`` or ``~/.cache/aam``; made at first use."""
    chosen = os.environ.get("AAM_CACHE")
    cache = Path(chosen) if chosen else Path("~/.cache/aam")
    try:
        return write_demo(cache.expanduser() / f"{NAME}-seed{seed}", seed)
    except RuntimeError as error:  # no home folder, as in some containers
        raise UserError(
            f"there is no place for the demo data ({error}); "
            "set AAM_CACHE to a folder that you can write to"
        ) from error


def write_demo(folder: Path, seed: int) -> DemoFiles:
    """Write the demo study into a folder, unless it lies there whole already.

    A manifest with checksums tells whether it does; a damaged folder is mended. Safe for processes
    that call it at once: a new folder appears by one rename, a damaged one is mended by replacing
    whole files, and every process writes the same contents. Raises ``UserError`` if the folder
    cannot be written.
    """
    if seed < 0:
        raise UserError(f"data.demo_seed={seed} is negative; give 0 or more")
    if not _is_whole(folder, seed):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                _write_files(make_demo(seed), fresh, seed)
                _put_in_place(fresh, folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        except OSError as error:
            raise UserError(
                f"the demo data cannot be written to {folder} ({error.strerror or error}); "
                "set AAM_CACHE to a folder that you can write to"
            ) from error
    return DemoFiles(folder / TABLE, folder / TREE, folder / METADATA)


def make_demo(seed: int) -> DemoStudy:
    """Draw the demo study of a seed."""
    rng = np.random.default_rng(seed)
    tree = yule_tree(NUM_ASVS, TREE_DEPTH, rng)
    sequences = evolve_sequences(tree, NUM_SITES, rng)
    subject, body_site, age = _draw_design(rng)
    counts = _draw_counts(tree, subject, body_site, age, rng)
    bmi = rng.normal(25.0, 3.0, NUM_SUBJECTS)[subject] + rng.normal(0.0, 0.5, len(age))
    bmi[rng.random(len(age)) < MISSING_BMI] = np.nan
    sample_ids = tuple(
        f"P{person + 1:02d}.{visit + 1}" for person, visit in zip(subject, _visits(), strict=True)
    )
    return DemoStudy(tree, sequences, counts, sample_ids, subject, body_site, age, bmi)


def _visits() -> NDArray[np.int64]:
    return np.tile(np.arange(SAMPLES_PER_SUBJECT), NUM_SUBJECTS)


def _draw_design(
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Subject, body site and age of each sample: every site once a subject, and one site again."""
    subject = np.repeat(np.arange(NUM_SUBJECTS), SAMPLES_PER_SUBJECT)
    again = SAMPLES_PER_SUBJECT - len(BODY_SITES)
    sites = [
        np.append(rng.permutation(len(BODY_SITES)), rng.integers(len(BODY_SITES), size=again))
        for _ in range(NUM_SUBJECTS)
    ]
    # Evenly spread with jitter, so that no stretch of ages lacks subjects.
    first = (np.arange(NUM_SUBJECTS) + rng.random(NUM_SUBJECTS)) / NUM_SUBJECTS * (OLDEST - 4.0)
    follow_up = np.sort(rng.uniform(0.0, 4.0, (NUM_SUBJECTS, SAMPLES_PER_SUBJECT)), axis=1)
    age = rng.permutation(first)[subject] + follow_up.ravel()
    return subject, np.concatenate(sites), np.round(age, 2)


def _draw_counts(
    tree: RandomTree,
    subject: NDArray[np.int64],
    body_site: NDArray[np.int64],
    age: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Reads of each ASV in each sample, [N, A]: multinomial draws from log-normal communities."""
    num_samples, num_asvs = len(age), len(tree.tips)
    liking = _ranks(brownian_traits(tree, len(BODY_SITES) + 1, rng))  # [A, 4] in (0, 1)
    site_liking, best_age = _normal_quantile(liking[:, :-1]).T, liking[:, -1]  # [3, A], [A]
    off_best = (age[:, None] / OLDEST - best_age[None, :]) / AGE_WIDTH  # [N, A]
    suitability = (
        MEAN_SUITABILITY
        + COMMONNESS_SD * rng.standard_normal(num_asvs)
        + SITE_SD * site_liking[body_site]
        - AGE_STRENGTH * off_best**2 / 2
        + SUBJECT_SD * rng.standard_normal((NUM_SUBJECTS, num_asvs))[subject]
        + SAMPLE_SD * rng.standard_normal((num_samples, num_asvs))
    )
    share = np.where(suitability > 0, np.exp(suitability), 0.0)
    share /= share.sum(axis=1, keepdims=True)
    depth = np.maximum(MEDIAN_DEPTH * rng.lognormal(0.0, DEPTH_SD, num_samples), LOWEST_DEPTH)
    return np.stack([rng.multinomial(int(d), p) for d, p in zip(depth, share, strict=True)])


def _ranks(traits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column's ranks, spread over (0, 1), so that one seed's study is much like another's."""
    order = traits.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    spread: NDArray[np.float64] = (order + 0.5) / len(traits)
    return spread


def _normal_quantile(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    quantile: NDArray[np.float64] = np.vectorize(NormalDist().inv_cdf, otypes=[float])(probability)
    return quantile


def _write_files(study: DemoStudy, folder: Path, seed: int) -> None:
    """Write table, tree, metadata and, last, the manifest that vouches for them."""
    order = np.random.default_rng(seed)  # files of real studies share no order of samples
    _write_table(study, folder / TABLE, order.permutation(len(study.sample_ids)))
    (folder / TREE).write_text(study.tree.newick(study.sequences), encoding="utf-8")
    (folder / METADATA).write_text(_metadata_text(study), encoding="utf-8")
    checksums = {name: _checksum(folder / name) for name in (TABLE, TREE, METADATA)}
    manifest = {"name": NAME, "seed": seed, "sha256": checksums}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _write_table(study: DemoStudy, path: Path, rows: NDArray[np.int64]) -> None:
    import h5py
    from biom import Table

    seen = study.counts.sum(axis=0) > 0  # an ASV without a read would not be in a real table
    table = Table(
        study.counts[np.ix_(rows, seen)].T,
        [sequence for sequence, kept in zip(study.sequences, seen, strict=True) if kept],
        [study.sample_ids[row] for row in rows],
    )
    with h5py.File(path, "w") as file:
        # A fixed date, so that the same seed writes the same bytes.
        table.to_hdf5(file, "aam demo data", creation_date=datetime(2000, 1, 1, tzinfo=UTC))


def _metadata_text(study: DemoStudy) -> str:
    lines = [
        "sample-id\tsubject\tbody_site\tage\tbmi",
        "#q2:types\tcategorical\tcategorical\tnumeric\tnumeric",
    ]
    for row, sample_id in enumerate(study.sample_ids):
        bmi = "" if np.isnan(study.bmi[row]) else f"{study.bmi[row]:.1f}"
        site = BODY_SITES[study.body_site[row]]
        subject = f"P{study.subject[row] + 1:02d}"
        lines.append(f"{sample_id}\t{subject}\t{site}\t{study.age[row]:.2f}\t{bmi}")
    return "\n".join(lines) + "\n"


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_whole(folder: Path, seed: int) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        checksums = {name: _checksum(folder / name) for name in (TABLE, TREE, METADATA)}
    except (OSError, ValueError):
        return False
    return bool(manifest == {"name": NAME, "seed": seed, "sha256": checksums})


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename the new folder to its place or, where a damaged one stands, replace its files."""
    fresh.chmod(0o755)  # mkdtemp makes it private; a cache may be shared
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        for name in (TABLE, TREE, METADATA, MANIFEST):
            (fresh / name).replace(folder / name)
