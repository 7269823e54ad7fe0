"""Small tab-separated tables that a run writes for people and figures, such as predictions."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.files import write_atomically


def write_tsv(path: Path, columns: Mapping[str, Iterable[Any]]) -> None:
    """Write columns of equal length under their names, atomically; the folder is made if needed.

    Values are text or numbers, from numpy and torch too (whole arrays as well); every digit of a
    float is kept. Missing values and NaN become empty cells.

    Raises
    ------
    ValueError
        If the columns differ in length.
    """
    cells = [_cells(values) for values in columns.values()]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*cells, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue())


def read_tsv(path: Path) -> dict[str, list[str]]:
    """The columns of a table with a header, as text.

    Raises
    ------
    UserError
        If the file is absent, no UTF-8 text, empty, or has rows of another length than the header.
    """
    try:
        rows = list(
            csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), "excel-tab")
        )
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no tab-separated text in UTF-8: {error}") from None
    header, *body = rows or [[]]
    if not header or len(set(header)) < len(header):
        raise UserError(f"{path} has no header of differing column names in its first line")
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise UserError(
                f"{path}: row {number} has {len(row)} cells where the header has {len(header)}"
            )
    return {name: [row[index] for row in body] for index, name in enumerate(header)}


def numbers(column: Sequence[str]) -> list[float]:
    """A column of :func:`read_tsv` as floats; an empty cell is NaN.

    Raises
    ------
    UserError
        If another cell is no number.
    """
    try:
        return [float(cell) if cell else math.nan for cell in column]
    except ValueError as error:
        raise UserError(f"a table of numbers cannot be read: {error}; make it again") from None


def _cells(values: Iterable[Any]) -> list[Any]:
    """Python values of a column; numpy and torch are known by their methods, not loaded."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    plain = [value.item() if hasattr(value, "item") else value for value in listed]
    return [None if isinstance(v, float) and math.isnan(v) else v for v in plain]
