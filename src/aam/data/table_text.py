"""Feature tables as tab-separated text: a header of sample ids, then one line for each ASV."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aam.errors import UserError
from aam.inputs import parse_number

_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|$)")
_ZEROS = frozenset(("0", "0.0"))
# Descriptions of ASVs that tables are exported with, as the last column.
_DESCRIPTIONS = ("taxonomy", "taxon", "consensus lineage", "consensuslineage", "lineage")


def parse_table(text: str, what: str) -> tuple[sparse.csr_matrix, list[str], list[str]]:
    """Give values (ASVs by samples), ASV ids and sample ids of a classic table.

    Lines that start with ``#`` and hold no tab are comments (``# Constructed from biom file``). The
    header is the first other line; its first cell (``#OTU ID``) is not looked at. A last column
    ``taxonomy`` is left out.

    Raises
    ------
    UserError
        No header with tabs, lines of the wrong length, or cells that are not numbers.
    """
    lines = _numbered(text)
    header_number, header = next(lines, (0, ""))
    if "\t" not in header:
        hint = (
            "it looks comma-separated: save it with tabs"
            if "," in header
            else "give a BIOM or TSV table"
        )
        raise UserError(f"{what} is not a table: its first line has no tab; {hint}")
    names = [cell.strip() for cell in header.rstrip("\t").split("\t")]
    sample_ids = names[1:-1] if names[-1].lower() in _DESCRIPTIONS else names[1:]
    if "" in sample_ids:
        raise UserError(f"{what} has a column without a sample id in line {header_number}; name it")
    asv_ids: list[str] = []
    # One sparse row at a time, since the whole of it can be larger than memory.
    rows: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) < len(names) or any(cells[len(names) :]):
            raise UserError(
                f"{what} has {len(cells)} cells in line {number} but {len(names)} in its header;"
                " give every line the same number"
            )
        asv_ids.append(cells[0].strip())
        rows.append(_filled_cells(cells[1 : len(sample_ids) + 1], sample_ids, number, what))
    if not rows:
        raise UserError(
            f"{what} has a header but no line of counts below it; check how it was made"
        )
    matrix = sparse.csr_matrix(
        (
            np.concatenate([values for _, values in rows]),
            np.concatenate([columns for columns, _ in rows]),
            np.cumsum([0, *(len(columns) for columns, _ in rows)]),
        ),
        shape=(len(rows), len(sample_ids)),
    )
    return matrix, asv_ids, sample_ids


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines with something to say, whatever ends them, and their numbers from 1."""
    for number, match in enumerate(_LINE.finditer(text), start=1):
        line = match[1]
        if line.strip() and not (line.startswith("#") and "\t" not in line):
            yield number, line


def _filled_cells(
    cells: list[str], sample_ids: list[str], number: int, what: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns and values of a line's cells that are not 0, as almost all of a large table are."""
    columns = [column for column, cell in enumerate(cells) if cell not in _ZEROS]
    values = np.empty(len(columns))
    for k, column in enumerate(columns):
        try:
            values[k] = parse_number(cells[column])
        except ValueError:
            raise UserError(
                f"{what} has {cells[column]!r} where a count should stand (line {number}, column"
                f" {sample_ids[column]}); give a table of counts, ASVs by samples"
            ) from None
    return np.array(columns, dtype=np.int64), values
