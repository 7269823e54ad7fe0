"""Distances that someone else computed, looked up by sample id.

Shapes: N samples of the matrix, B samples asked for.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from aam.errors import UserError, shown
from aam.hdf5 import DAMAGE, Hdf5, read_hdf5
from aam.inputs import HDF5_MAGIC, decode_text, parse_number, read_start, repeated, short
from aam.qza import ZIP_MAGIC, read_member

NPY_MAGIC = b"\x93NUMPY"
# Matrices written as rounded text or in single precision are symmetric only to about this much.
TOLERANCE = 1e-6
BLOCK_ROWS = 256


@dataclass(frozen=True)
class PrecomputedDistances:
    """A distance matrix and the ids of its rows, checked to be symmetric and finite."""

    path: Path
    sample_ids: tuple[str, ...]
    matrix: NDArray[np.floating]
    """``[N, N]`` in the precision of the file."""
    _row: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.matrix, self.sample_ids, self.path)
        rows = {sample: row for row, sample in enumerate(self.sample_ids)}
        object.__setattr__(self, "_row", rows)

    def for_samples(self, sample_ids: Sequence[str]) -> NDArray[np.float64]:
        """Distances ``[B, B]`` of these samples, in their order.

        Raises
        ------
        UserError
            Some of the samples are not in the matrix.
        """
        missing = [sample for sample in sample_ids if sample not in self._row]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(sample_ids)} samples are not in the distance matrix"
                f" {self.path}: {shown(short(missing))} (its ids are like"
                f" {shown(short(self.sample_ids), 2)});"
                " give a matrix of all samples, or none to have the distances computed"
            )
        rows = [self._row[sample] for sample in sample_ids]
        return self.matrix[np.ix_(rows, rows)].astype(np.float64)


def read_distances(path: Path) -> PrecomputedDistances:
    """Read a distance matrix, whose format is told by its content.

    Formats: tab-separated text as scikit-bio and QIIME 2 write it (lsmat), a QIIME 2
    ``DistanceMatrix`` artifact, HDF5 as ``ssu`` writes it (``matrix``, ``order``), and ``.npy``
    with the ids beside it, one a line: ``d.npy`` goes with ``d.ids.txt``.

    Raises
    ------
    UserError
        The file is none of these, or what it holds is not a distance matrix.
    """
    start = read_start(path, "the distance matrix")
    try:
        if start.startswith(HDF5_MAGIC):
            ids, matrix = _read_hdf5(path)
        elif start.startswith(NPY_MAGIC):
            ids, matrix = _read_npy(path)
        elif start.startswith(ZIP_MAGIC):
            content = read_member(path, "DistanceMatrix", "distance-matrix.tsv")
            ids, matrix = _read_lsmat(BytesIO(content), path)
        else:
            with path.open("rb") as file:
                ids, matrix = _read_lsmat(file, path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"the distance matrix {path} cannot be read: {reason}") from None
    if matrix.dtype.kind in "biu":
        matrix = matrix.astype(np.float64)
    return PrecomputedDistances(path, ids, matrix)


def _read_lsmat(file: BinaryIO, path: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """A header of tab and ids, then per row an id and its distances; ``#`` opens a comment line."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    header: tuple[str, ...] | None = None
    matrix = np.empty((0, 0))
    num_rows = 0
    for number, line in enumerate(file, start=1):
        text = decode_text(line, "the distance matrix", path, number)
        cells = [cell.strip() for cell in text.rstrip("\r\n").split("\t")]
        if header is None:
            if not any(cells) or cells[0].startswith("#"):
                continue
            if cells[0] or len(cells) < 2:
                raise UserError(
                    f"the distance matrix {path} is not in a known format; give tab-separated text"
                    " that begins with a tab and the sample ids, .npy, HDF5 or .qza"
                )
            header = tuple(cells[1:])
            if len(header) ** 2 > size:  # before memory is asked for; a distance takes a byte
                raise UserError(
                    f"the distance matrix {path} has {len(header)} samples in its header but only"
                    f" {size} bytes; is it truncated?"
                )
            matrix = np.empty((len(header), len(header)))
            continue
        if not any(cells):
            continue
        if num_rows == len(header) or cells[0] != header[num_rows]:
            expected = f"sample {header[num_rows]}" if num_rows < len(header) else "no more rows"
            raise UserError(
                f"line {number} of the distance matrix {path} is sample {cells[0]} where the header"
                f" calls for {expected}; rows and columns must be the same samples in one order"
            )
        if len(cells) != len(header) + 1:
            raise UserError(
                f"line {number} of the distance matrix {path} (sample {cells[0]}) has"
                f" {len(cells) - 1} distances for {len(header)} samples; is it truncated?"
            )
        try:
            matrix[num_rows] = [parse_number(cell) for cell in cells[1:]]
        except ValueError:
            raise UserError(
                f"line {number} of the distance matrix {path} (sample {cells[0]}) holds a cell that"
                " is not a number; every cell must be one"
            ) from None
        num_rows += 1
    if header is None or num_rows < len(header):
        asked = len(header) if header else "any"
        raise UserError(
            f"the distance matrix {path} ends after {num_rows} of {asked} rows; is it truncated?"
        )
    return header, matrix


def id_list(path: Path) -> Path | None:
    """The list of ids that goes with a ``.npy`` matrix; None for a matrix that holds its ids."""
    is_npy = path.is_file() and read_start(path, "the distance matrix").startswith(NPY_MAGIC)
    return path.with_suffix(".ids.txt") if is_npy else None


def _read_npy(path: Path) -> tuple[tuple[str, ...], NDArray[np.floating]]:
    beside = path.with_suffix(".ids.txt")
    if not beside.is_file():
        raise UserError(
            f"the distance matrix {path} has no id list; write its sample ids, one a line in row"
            f" order, to {beside}"
        )
    try:
        ids = tuple(beside.read_text(encoding="utf-8-sig").split("\n"))
        # Mapped first: it is then that numpy compares the size in the header with the file's.
        matrix = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # a header is a Python literal, and may break in whatever way
        raise UserError(
            f"the distance matrix {path} with ids {beside} cannot be read: {error}"
        ) from None
    return tuple(name.strip() for name in ids if name.strip()), matrix


def _read_hdf5(path: Path) -> tuple[tuple[str, ...], NDArray[np.floating]]:
    def read(file: Hdf5) -> tuple[tuple[str, ...], NDArray[np.floating]]:
        absent = file.lacking("order", "matrix")
        if absent:
            raise UserError(
                f"the HDF5 file {path} has no dataset {' nor '.join(absent)};"
                " give a distance matrix as ssu writes it"
            )
        return tuple(file.texts("order")), file.array("matrix")

    try:
        return read_hdf5(path, read)
    except DAMAGE as error:
        raise UserError(
            f"the distance matrix {path} cannot be read as HDF5 ({error}); it is damaged or"
            " truncated: copy or export it again"
        ) from None


def _check(matrix: NDArray[np.floating], ids: Sequence[str], path: Path) -> None:
    where = f"the distance matrix {path}"
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind != "f":
        raise UserError(
            f"{where} holds {matrix.dtype} of shape {matrix.shape}; give a square matrix of numbers"
        )
    if len(ids) != len(matrix):
        raise UserError(f"{where} has {len(matrix)} rows but {len(ids)} ids; give one id a row")
    twice = repeated(ids)
    if twice:
        raise UserError(
            f"{len(twice)} sample ids stand more than once in {where}: {shown(short(twice))};"
            " every sample needs its own id"
        )
    _refuse_where(lambda block, _: ~np.isfinite(block), "NaN or infinite", matrix, ids, where)
    _refuse_where(lambda block, _: block < 0, "negative", matrix, ids, where)
    _refuse_where(
        lambda block, across: np.abs(block - across) > TOLERANCE, "asymmetric", matrix, ids, where
    )
    own = np.flatnonzero(np.diagonal(matrix) > TOLERANCE)
    if len(own):
        raise UserError(
            f"{where} is not 0 on the diagonal for {len(own)} samples:"
            f" {shown(ids[int(row)] for row in own)}; give distances, not similarities"
        )


def _refuse_where(
    bad: Callable[[NDArray[np.floating], NDArray[np.floating]], NDArray[np.bool_]],
    problem: str,
    matrix: NDArray[np.floating],
    ids: Sequence[str],
    where: str,
) -> None:
    """Refuse bad cells; ``bad`` sees some rows, and the columns of the same samples as rows."""
    pairs: list[str] = []
    num_bad = 0
    for first in range(0, len(matrix), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        cells = np.argwhere(bad(matrix[rows], matrix[:, rows].T))
        num_bad += len(cells)
        pairs += [f"{ids[first + row]} to {ids[column]}" for row, column in cells[: 3 - len(pairs)]]
    if num_bad:
        raise UserError(
            f"{where} is {problem} in {num_bad} of its {matrix.size} cells ({shown(pairs)} ...);"
            " give a matrix of distances"
        )
