"""The text of a QIIME 2 metadata file: its header, directives and rows, before types are known."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from aam.errors import UserError, shown
from aam.inputs import repeated

Kind = Literal["categorical", "numeric"]
CATEGORICAL: Final = "categorical"
NUMERIC: Final = "numeric"
MISSING_SCHEMES = ("blank", "no-missing", "INSDC:missing")
_MOST_FILLED_UP = 4_000_000  # cells; a file of more letters may have more

_ID_ANY_CASE = ("id", "sampleid", "sample id", "sample-id", "featureid", "feature id", "feature-id")
_ID_EXACT = ("#SampleID", "#Sample ID", "#OTUID", "#OTU ID", "sample_name")


@dataclass
class Sheet:
    """The cells, stripped of outer whitespace; every row as long as ``names``."""

    names: list[str]
    ids: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    types: dict[str, Kind] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def parse_sheet(text: str, what: str) -> Sheet:
    """Find header, directives and rows; rules about columns' values are the caller's.

    Empty rows and comments (a first cell that begins with ``#``) are left out, short rows are
    filled up, though not endlessly, and long ones are refused unless what is too much is empty.
    """
    rows = _rows(text, what)
    header = _header(rows, what)
    sheet = Sheet(names=header[1:])
    at_top = True  # directives stand right below the header, before any comment
    seen: set[str] = set()
    most_cells = max(_MOST_FILLED_UP, 2 * len(text))
    for number, row in rows:
        if _is_directive(row):
            if not at_top:
                raise UserError(
                    f"{what} has the directive {row[0]!r} in line {number}; directives stand right"
                    " below the header"
                )
            _take_directive(_fit(row, header, number, what), sheet, seen, what)
            continue
        at_top = False
        if _is_id_header(row[0]):
            raise UserError(
                f"{what} has the sample id {row[0]!r} in line {number}, a name kept for the header"
            )
        if any(row) and not row[0].startswith("#"):
            row = _fit(row, header, number, what)
            sheet.ids.append(row[0])
            sheet.rows.append(row[1:])
            if len(sheet.rows) * len(header) > most_cells:
                raise UserError(
                    f"{what} has {len(header)} columns in its header, but most of its rows are far"
                    " shorter; check whether its header is one line too long"
                )
    return sheet


def _rows(text: str, what: str) -> Iterator[tuple[int, list[str]]]:
    """Rows and the numbers of their (last) lines; empty rows too, once they end the directives."""
    reader = csv.reader(io.StringIO(text, newline=""), dialect="excel-tab", strict=True)
    try:
        for row in reader:
            yield reader.line_num, [cell.strip() for cell in row] or [""]
    except csv.Error as error:
        raise UserError(
            f"{what} has a broken row in line {reader.line_num} ({error}); check its quotes"
        ) from None


def _header(rows: Iterator[tuple[int, list[str]]], what: str) -> list[str]:
    for number, row in rows:
        if _is_id_header(row[0]):
            break
        if _is_directive(row):
            raise UserError(
                f"{what} has the directive {row[0]!r} in line {number} above its header"
            )
        if any(row) and not row[0].startswith("#"):
            raise UserError(_no_id_header(row, what))
    else:
        raise UserError(f"{what} has no header, only comments or empty lines")
    while not row[-1]:
        row.pop()
    if "" in row:
        raise UserError(f"{what} has {row.count('')} columns without a name in its header")
    twice = repeated(row)
    if twice:
        raise UserError(f"{what} has {len(twice)} column names more than once: {shown(twice)}")
    ids = [name for name in row[1:] if _is_id_header(name)]
    if ids:
        raise UserError(
            f"{what} has {len(ids)} columns beside the first that are named as ids: {shown(ids)};"
            " rename them"
        )
    return row


def _no_id_header(row: list[str], what: str) -> str:
    for delimiter, name in ((",", "comma"), (";", "semicolon")):
        if len(row) == 1 and delimiter in row[0]:
            return f"{what} looks {name}-separated; save it with tabs between the columns"
    return (
        f"{what} has the first column {row[0]!r}, which is no id header; name it sample-id"
        f" (or one of {', '.join(_ID_ANY_CASE + _ID_EXACT)})"
    )


def _take_directive(row: list[str], sheet: Sheet, seen: set[str], what: str) -> None:
    directive = row[0].split(" ")[0]
    cells = {name: cell for name, cell in zip(sheet.names, row[1:], strict=True) if cell}
    if directive not in ("#q2:types", "#q2:missing"):
        raise UserError(f"{what} has the directive {row[0]!r}; there are #q2:types and #q2:missing")
    if directive in seen:
        raise UserError(f"{what} has the directive {directive} more than once")
    seen.add(directive)
    for name, cell in cells.items():
        if directive == "#q2:missing":
            if cell not in MISSING_SCHEMES:
                raise UserError(_unknown(name, cell, directive, MISSING_SCHEMES, what))
            sheet.missing[name] = cell
        elif cell.lower() == NUMERIC:
            sheet.types[name] = NUMERIC
        elif cell.lower() == CATEGORICAL:
            sheet.types[name] = CATEGORICAL
        else:
            raise UserError(_unknown(name, cell, directive, (CATEGORICAL, NUMERIC), what))


def _unknown(name: str, cell: str, directive: str, choices: tuple[str, ...], what: str) -> str:
    return f"{what} gives column {name} the {directive} {cell!r}; it is one of {', '.join(choices)}"


def _fit(row: list[str], header: list[str], number: int, what: str) -> list[str]:
    """A row as long as the header: filled up with empty cells, or cut where those are empty."""
    if any(row[len(header) :]):
        raise UserError(
            f"{what} has {len(row)} cells in line {number} but {len(header)} in its header"
        )
    return (row + [""] * (len(header) - len(row)))[: len(header)]


def _is_directive(row: list[str]) -> bool:
    return row[0].startswith("#q2:")


def _is_id_header(cell: str) -> bool:
    return cell in _ID_EXACT or cell.lower() in _ID_ANY_CASE
