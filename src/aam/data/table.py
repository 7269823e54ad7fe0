"""Feature tables: samples by ASVs, as counts, whatever file they come in.

Shapes: N samples, A ASVs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aam.data.table_text import parse_table
from aam.errors import UserError, shown
from aam.hdf5 import DAMAGE, Hdf5, read_hdf5
from aam.inputs import HDF5_MAGIC, decode_text, read_bytes, repeated, short
from aam.qza import ZIP_MAGIC, read_member

_HDF5_IDS = ("observation/ids", "sample/ids")
_HDF5_MATRIX = ("sample/matrix/data", "sample/matrix/indices", "sample/matrix/indptr")
# What JSON raises that is not what it says.
_JSON_ERRORS = (
    KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, OverflowError
)  # fmt: skip
_DAMAGED = "it is damaged or truncated: copy or export it again"


@dataclass(frozen=True)
class FeatureTable:
    """How often each ASV was read in each sample."""

    counts: sparse.csr_matrix
    """``[N, A]`` int64, without explicit zeros, indices sorted."""
    sample_ids: tuple[str, ...]
    asv_ids: tuple[str, ...]
    """As the file names them: sequences, or md5 sums or other names."""


def read_table(path: Path) -> FeatureTable:
    """Read BIOM 2.1 (HDF5), BIOM 1.0 (JSON), TSV, or a ``FeatureTable[Frequency]`` artifact.

    The content tells the kind, not the ending of the file's name.

    Raises
    ------
    UserError
        The file is missing, empty, damaged or no table; an id or cell stands twice; a count is
        negative, fractional or not a number.
    """
    what = f"the table {path}"
    content = read_bytes(path, "the table")
    if content.startswith(ZIP_MAGIC):
        content = read_member(path, "FeatureTable[Frequency]", "feature-table.biom")
    if content.startswith(HDF5_MAGIC):
        values, asv_ids, sample_ids = _read_hdf5(content, what)
    else:
        text = decode_text(content, "the table", path)
        if text.lstrip().startswith("{"):
            values, asv_ids, sample_ids = _read_json(text, what)
        else:
            values, asv_ids, sample_ids = parse_table(text, what)
            _refuse_repeated(asv_ids, sample_ids, what)
    counts = _as_counts(values, asv_ids, sample_ids, what)
    if not counts.nnz:
        raise UserError(
            f"{what} has {len(sample_ids)} samples and {len(asv_ids)} ASVs but no reads:"
            " it is empty; give a table with reads"
        )
    return FeatureTable(counts, tuple(sample_ids), tuple(asv_ids))


def _read_hdf5(content: bytes, what: str) -> tuple[sparse.csr_matrix, list[str], list[str]]:
    def read(file: Hdf5) -> tuple[list[NDArray[Any]], list[str], list[str]]:
        lacking = file.lacking(*_HDF5_IDS, *_HDF5_MATRIX)
        if lacking:
            raise UserError(
                f"{what} is an HDF5 file but not BIOM 2.1: it has no {shown(lacking)};"
                " give a BIOM table"
            )
        asv_ids, sample_ids = map(file.texts, _HDF5_IDS)
        return [file.array(name) for name in _HDF5_MATRIX], asv_ids, sample_ids

    try:
        parts, asv_ids, sample_ids = read_hdf5(content, read)
        _refuse_repeated(asv_ids, sample_ids, what)
        return _hdf5_values(parts, len(asv_ids), len(sample_ids)), asv_ids, sample_ids
    except DAMAGE as error:
        raise UserError(
            f"{what} cannot be read as BIOM 2.1 ({_reason(error)}); {_DAMAGED}"
        ) from None


def _hdf5_values(
    parts: Sequence[NDArray[Any]], num_asvs: int, num_samples: int
) -> sparse.csc_matrix:
    """ASVs by samples, every place checked: scipy trusts them, and would read beyond its memory.

    Not by biom-format, which trusts them too, and gives all ids the room of the longest.
    """
    data, indices, indptr = parts
    if not all(part.ndim == 1 for part in parts) or data.dtype.kind not in "iuf":
        raise ValueError("its sample/matrix does not hold lists of numbers")
    if not all(part.dtype.kind in "iu" for part in (indices, indptr)):
        raise ValueError("the places of its counts are not whole numbers")
    if len(indptr) != num_samples + 1 or len(indices) != len(data):
        raise ValueError(f"its sample/matrix does not fit its {num_samples} samples")
    if indptr[0] != 0 or indptr[-1] != len(data) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("its sample/matrix/indptr does not ascend from 0 to the number of counts")
    if len(data) and not 0 <= indices.min() <= indices.max() < num_asvs:
        raise ValueError(f"its sample/matrix names ASVs beyond its {num_asvs}")
    values = (data.astype(np.float64), indices.astype(np.int64), indptr.astype(np.int64))
    return sparse.csc_matrix(values, shape=(num_asvs, num_samples))


def _read_json(text: str, what: str) -> tuple[sparse.coo_matrix, list[str], list[str]]:
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise UserError(f"{what} is not whole JSON ({error}); {_DAMAGED}") from None
    except RecursionError:
        raise UserError(f"{what} is JSON nested too deeply for BIOM 1.0; {_DAMAGED}") from None
    if not {"rows", "columns", "data"} <= document.keys():
        raise UserError(
            f"{what} is JSON but not BIOM 1.0: it lacks rows, columns or data; give a BIOM table"
        )
    try:
        asv_ids, sample_ids = (
            [_json_id(entry["id"]) for entry in document[axis]] for axis in ("rows", "columns")
        )
        _refuse_repeated(asv_ids, sample_ids, what)
        return _json_values(document, len(asv_ids), len(sample_ids)), asv_ids, sample_ids
    except _JSON_ERRORS as error:
        raise UserError(
            f"{what} cannot be read as BIOM 1.0 ({_reason(error)}); {_DAMAGED}"
        ) from None


def _json_values(document: dict[str, Any], num_asvs: int, num_samples: int) -> sparse.coo_matrix:
    """ASVs by samples, refusing what biom-format takes: other shapes, text for numbers."""
    shape = (num_asvs, num_samples)
    if document.get("shape", [*shape]) != [*shape]:
        raise ValueError(
            f"its shape is {document['shape']}, but it has {num_asvs} rows and"
            f" {num_samples} columns"
        )
    cells = _json_numbers(document["data"])
    if not cells.size:
        return sparse.coo_matrix(shape)
    if document.get("matrix_type") == "dense":
        if cells.shape != shape:
            raise ValueError(f"its data are of shape {[*cells.shape]}, not {[*shape]}")
        return sparse.coo_matrix(cells)
    if cells.shape[1] != 3:
        raise ValueError("its data are not lines of row, column and value")
    rows, columns, values = cells.T
    if not (np.isin(rows, np.arange(num_asvs)) & np.isin(columns, np.arange(num_samples))).all():
        raise ValueError(
            f"its data name cells outside of its {num_asvs} rows and {num_samples} columns"
        )
    places = (rows.astype(np.int64), columns.astype(np.int64))
    return sparse.coo_matrix((values, places), shape=shape)


def _json_id(name: object) -> str:
    if not isinstance(name, str | int):
        raise ValueError(f"the id {name!r} is no text")
    str(name).encode()  # half of a surrogate pair could not be written anywhere
    return str(name)


def _json_numbers(lines: object) -> NDArray[np.float64]:
    """Lines of numbers, all of one length. Numpy would give each cell the room of a text in one."""
    if not isinstance(lines, list) or not all(isinstance(line, list) for line in lines):
        raise ValueError("its data are not lines of numbers")
    if len({len(line) for line in lines}) > 1:
        raise ValueError("the lines of its data differ in length")
    if not all(type(cell) in (int, float) for line in lines for cell in line):
        raise ValueError("its data are not all numbers")
    return np.array(lines, dtype=np.float64)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _refuse_repeated(asv_ids: list[str], sample_ids: list[str], what: str) -> None:
    for kind, ids in (("ASV", asv_ids), ("sample", sample_ids)):
        twice = repeated(ids)
        if twice:
            raise UserError(
                f"{what} has {len(twice)} {kind} ids more than once: {shown(short(twice))};"
                f" every {kind} needs its own id"
            )


def _as_counts(
    values: sparse.spmatrix, asv_ids: list[str], sample_ids: list[str], what: str
) -> sparse.csr_matrix:
    """From ASVs by samples of any number type to ``[N, A]`` int64, refusing what is no count."""
    entries = values.tocoo()
    values = sparse.csr_matrix(entries.T, dtype=np.float64)  # adds up what stands twice
    if values.nnz < entries.nnz:
        places = zip(entries.row, entries.col, strict=True)
        twice = repeated(f"{sample_ids[column]} {asv_ids[row]}" for row, column in places)
        raise UserError(
            f"{what} has {len(twice)} cells more than once (sample and ASV:"
            f" {shown(short(twice))}); give every count once"
        )
    data: NDArray[np.float64] = values.data
    with np.errstate(invalid="ignore"):  # the remainder of infinity
        problems = (
            ("that are not finite numbers", ~np.isfinite(data), "replace them by counts"),
            ("below zero", data < 0, "give raw counts, not transformed ones"),
            ("that are fractional", data % 1 != 0, "give raw counts, not relative abundances"),
            ("above 2^53, too large to be exact", data > 2.0**53, "give raw counts"),
        )
    for problem, wrong, advice in problems:
        found = np.flatnonzero(wrong)
        if len(found):
            row = int(np.searchsorted(values.indptr, found[0], side="right")) - 1
            asv = short([asv_ids[values.indices[found[0]]]])[0]
            raise UserError(
                f"{what} has {len(found)} values {problem} (of {len(data)} that are not zero), the"
                f" first {data[found[0]]:g} for sample {sample_ids[row]} and ASV {asv}; {advice}"
            )
    counts = values.astype(np.int64)
    counts.eliminate_zeros()
    counts.sort_indices()
    return counts
