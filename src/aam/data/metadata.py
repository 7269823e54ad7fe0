"""Sample metadata: columns of text or numbers, by sample id.

Rules of the file: the QIIME 2 metadata format (https://docs.qiime2.org/2024.2/tutorials/metadata/).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aam.data.metadata_text import CATEGORICAL, NUMERIC, Sheet, parse_sheet
from aam.errors import UserError, shown
from aam.inputs import decode_text, read_bytes, repeated

# Words such as nan, inf, 0x10 or 1_000 are numbers to Python but not to QIIME 2.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_INSDC_MISSING = frozenset(
    ("not applicable", "missing", "not collected", "not provided", "restricted access")
)


@dataclass(frozen=True)
class Column:
    """One column; its values are text whatever its kind, and None where missing."""

    name: str
    kind: Literal["categorical", "numeric"]
    values: tuple[str | None, ...]

    def numeric(self) -> NDArray[np.float64]:
        """The numbers ``[N]``, NaN where missing; ``UserError`` if the column is categorical."""
        if self.kind != NUMERIC:
            wrong = _not_numbers(self.values)
            why = (
                f"{len(wrong)} of its values are not numbers ({_distinct(wrong)})"
                if wrong
                else "it holds no number, or its #q2:types says categorical"
            )
            raise UserError(
                f"the metadata column {self.name} is categorical: {why}; leave cells empty where"
                " the number is missing, or choose a numeric column"
            )
        return np.array([np.nan if v is None else float(v) for v in self.values], dtype=np.float64)


@dataclass(frozen=True)
class Metadata:
    """The columns of a metadata file, each aligned to ``sample_ids``."""

    sample_ids: tuple[str, ...]
    columns: Mapping[str, Column]
    source: Path = field(default=Path(), compare=False)

    def column(self, name: str) -> Column:
        """One column; if it is not there, a ``UserError`` names those that are, nearest first."""
        if name in self.columns:
            return self.columns[name]
        by_case = {other.casefold(): other for other in self.columns}
        close = get_close_matches(name.casefold(), by_case, n=3, cutoff=0.5)
        nearest = dict.fromkeys([by_case[other] for other in close] + list(self.columns))
        has = f"it has {shown(nearest, 10)}" if nearest else "it has no columns beside the ids"
        raise UserError(f"the metadata {self.source} has no column {name!r}; {has}")

    def align(self, sample_ids: Sequence[str]) -> "Metadata":
        """The rows of these samples, in this order; ``UserError`` if some are not there."""
        row_of = {sample_id: row for row, sample_id in enumerate(self.sample_ids)}
        missing = [sample_id for sample_id in sample_ids if sample_id not in row_of]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(sample_ids)} samples are not in the metadata"
                f" {self.source}: {shown(missing)}"
            )
        rows = [row_of[sample_id] for sample_id in sample_ids]
        columns = {
            name: Column(name, column.kind, tuple(column.values[row] for row in rows))
            for name, column in self.columns.items()
        }
        return Metadata(tuple(sample_ids), columns, self.source)


def read_metadata(path: Path) -> Metadata:
    """Read a metadata file as QIIME 2 does: ids stay text, and only an empty cell is missing.

    A column is numeric if all its values are numbers and there is at least one, or if ``#q2:types``
    says so. ``#q2:missing`` may choose another scheme of missing values for a column.

    Raises
    ------
    UserError
        The file is missing, empty, no UTF-8 text, or breaks a rule of the format.
    """
    what = f"the metadata {path}"
    sheet = parse_sheet(decode_text(read_bytes(path, "the metadata"), "the metadata", path), what)
    if not sheet.ids:
        raise UserError(f"{what} has a header but no samples below it")
    if "" in sheet.ids:
        raise UserError(f"{what} has {sheet.ids.count('')} rows without a sample id; give each one")
    twice = repeated(sheet.ids)
    if twice:
        raise UserError(f"{what} has {len(twice)} sample ids more than once: {shown(twice)}")
    columns = {name: _column(sheet, index, what) for index, name in enumerate(sheet.names)}
    return Metadata(tuple(sheet.ids), columns, path)


def _column(sheet: Sheet, index: int, what: str) -> Column:
    name = sheet.names[index]
    scheme = sheet.missing.get(name, "blank")
    missing = _INSDC_MISSING | {""} if scheme == "INSDC:missing" else {""}
    values = tuple(None if row[index] in missing else row[index] for row in sheet.rows)
    if scheme == "no-missing" and None in values:
        raise UserError(
            f"{what} has {values.count(None)} empty cells in column {name}, whose #q2:missing says"
            " no-missing; fill them or choose another scheme"
        )
    wrong = _not_numbers(values)
    kind = sheet.types.get(name)
    if kind == NUMERIC and wrong:
        raise UserError(
            f"{what} has {len(wrong)} values in column {name} that are not numbers"
            f" ({_distinct(wrong)}), but its #q2:types says numeric"
        )
    proven = not wrong and any(value is not None for value in values)
    return Column(name, kind or (NUMERIC if proven else CATEGORICAL), values)


def _not_numbers(values: Sequence[str | None]) -> list[str]:
    return [value for value in values if value is not None and not _is_number(value)]


def _distinct(values: Sequence[str]) -> str:
    return shown(repr(value) for value in dict.fromkeys(values))


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None and isfinite(float(value))
