"""The one door to the data: from files to matched arrays, with every loss counted and named.

Shapes: N samples, A ASVs, L positions.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aam.config import DataConfig
from aam.data.demo import cached_demo
from aam.data.filters import refuse_transposed, select
from aam.data.metadata import Column, Metadata, read_metadata
from aam.data.sequences import canonical, read_rep_seqs, resolve_sequences, tokenize
from aam.data.table import read_table
from aam.errors import UserError, shown
from aam.inputs import short
from aam.phylogeny.distances import id_list
from aam.phylogeny.tree import MissingTipsError, Tree, read_tree

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """Samples, ASVs, tree and metadata, matched to each other.

    Rows are sorted by sample id and columns by sequence, so that nothing depends on the order that
    a file happens to have.
    """

    sample_ids: tuple[str, ...]
    counts: sparse.csr_matrix
    """``[N, A]`` int64; no row is empty, and after ``take`` a column may be."""
    sequences: tuple[str, ...]
    """``[A]`` upper case, T for U, all different."""
    tokens: NDArray[np.uint8]
    """``[A, 1 + L]``, see :func:`aam.data.sequences.tokenize`."""
    tree: Tree | None
    """Its tip k is column k of the counts; None where none was given."""
    metadata: Metadata | None
    """Aligned to ``sample_ids``."""
    files: Mapping[str, Path]
    """The files that were read, by config key: ``table``, ``tree``, …"""

    def column(self, key: str, name: str) -> Column:
        """The metadata column ``name``, which the config key ``key`` asks for.

        Raises
        ------
        UserError
            If there are no metadata, or no such column in them.
        """
        if self.metadata is None:
            raise UserError(f"{key}={name} needs metadata; set data.metadata= to their file")
        return self.metadata.column(name)

    def take(self, rows: NDArray[np.int64]) -> "Study":
        """The same study with these samples only, all ASVs kept; ``rows`` ascend."""
        ids = tuple(self.sample_ids[row] for row in rows)
        return replace(
            self,
            sample_ids=ids,
            counts=self.counts[rows],
            metadata=None if self.metadata is None else self.metadata.align(ids),
        )


def load_study(data: DataConfig, *, needs_tree: bool = True) -> Study:
    """Read the files that the config names and match them.

    Without ``needs_tree`` a tree is read where one is given.

    Raises
    ------
    UserError
        A file is missing or wrong, the files do not belong together, or nothing is left of them.
    """
    paths = _paths(data, needs_tree)
    table = read_table(paths.table)
    metadata = None if paths.metadata is None else read_metadata(paths.metadata)
    rep_seqs = None if paths.rep_seqs is None else read_rep_seqs(paths.rep_seqs)
    refuse_transposed(table, metadata, rep_seqs)
    kept = select(table, metadata, data)
    found = [canonical(sequence) for sequence in resolve_sequences(kept.asv_ids, rep_seqs)]
    columns = sorted(range(len(found)), key=found.__getitem__)
    asv_ids = tuple(kept.asv_ids[column] for column in columns)
    sequences = tuple(found[column] for column in columns)
    _refuse_identical(sequences, asv_ids)
    counts = kept.counts[:, columns]
    counts.sort_indices()
    for notice in kept.notices:
        _log.warning("%s", notice)
    return Study(
        sample_ids=kept.sample_ids,
        counts=counts,
        sequences=sequences,
        tokens=tokenize(sequences),
        tree=None if paths.tree is None else _tree(paths.tree, asv_ids, sequences),
        metadata=None if metadata is None else metadata.align(kept.sample_ids),
        files=paths.read(),
    )


@dataclass(frozen=True)
class _Paths:
    table: Path
    tree: Path | None
    metadata: Path | None
    rep_seqs: Path | None
    distances: Path | None = None

    def read(self) -> dict[str, Path]:
        """Those that are given, and the list of ids that lies beside a matrix."""
        given = {name: path for name, path in vars(self).items() if path is not None}
        ids = None if self.distances is None else id_list(self.distances)
        return given if ids is None else {**given, "distances_ids": ids}


def _paths(data: DataConfig, needs_tree: bool) -> _Paths:
    """Where the files lie; the demo study is written first if need be."""
    given = {
        key: getattr(data, key) for key in ("table", "tree", "rep_seqs", "metadata", "distances")
    }
    if data.name == "demo":
        unread = [f"data.{key}" for key, value in given.items() if value is not None]
        if unread:
            raise UserError(
                f"data=demo brings its own files, but {shown(unread)} is set; add data=biom"
            )
        demo = cached_demo(data.demo_seed)
        return _Paths(demo.table, demo.tree, demo.metadata, None)
    if data.table is None:
        raise UserError(
            "data=biom needs a feature table; set data.table= to a BIOM, TSV or .qza file"
        )
    if needs_tree and data.tree is None and data.distances is None:
        raise UserError(
            "data=biom needs a rooted tree of the ASVs; set data.tree= to a Newick or .qza file"
            " (or data.distances= to a matrix of distances between the samples)"
        )
    tree, metadata, rep_seqs, distances = map(
        _path, (data.tree, data.metadata, data.rep_seqs, data.distances)
    )
    return _Paths(Path(data.table).expanduser(), tree, metadata, rep_seqs, distances)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name).expanduser()


def _refuse_identical(sequences: tuple[str, ...], asv_ids: tuple[str, ...]) -> None:
    """Sorted as they are, identical sequences stand beside each other."""
    pairs = [k for k in range(1, len(sequences)) if sequences[k] == sequences[k - 1]]
    if pairs:
        names = (" = ".join(short([asv_ids[k - 1], asv_ids[k]])) for k in pairs)
        raise UserError(
            f"{len(pairs)} ASVs of the table have the same sequence as another ({shown(names)}),"
            " upper and lower case or U and T being the same; add up their counts"
        )


def _tree(path: Path, asv_ids: tuple[str, ...], sequences: tuple[str, ...]) -> Tree:
    """The tree, its tips named by the table's ids or else by the sequences themselves."""
    try:
        return read_tree(path, asv_ids)
    except MissingTipsError as by_id:
        if sequences == asv_ids:
            raise
        try:
            return read_tree(path, sequences)
        except MissingTipsError as by_sequence:
            if by_sequence.num_missing < by_id.num_missing:
                raise
            raise by_id from None
