"""Which samples train, validate and test, and the file that says so."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aam.data.dealing import Unit, deal, joined, units_of
from aam.errors import UserError, shown
from aam.inputs import decode_text, read_bytes

if TYPE_CHECKING:
    from aam.data.metadata import Column

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
HEADER = "sample-id\tpart"


@dataclass(frozen=True)
class Split:
    """Row indices of each part, int64, ascending; together every row once."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split_samples(
    sample_ids: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    groups: Sequence[str | None] | None = None,
    strata: "Column | None" = None,
) -> Split:
    """Deal the samples out to train, val and test.

    The seed and the set of samples decide, never the order of the rows. Samples of a group stay
    together; a sample without a group is a group by itself, which is logged. The values of
    ``strata`` (categories; numbers by quantile; missing values apart) are kept in proportion as far
    as whole groups allow. A category in fewer units than there are parts goes to train where there
    is room, because what was never trained on cannot be predicted, and is logged.

    Raises ``UserError`` for fractions that cannot be, repeated ids, and a part that was asked for
    but stays empty.
    """
    return split_units(
        units_of(sample_ids, groups),
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
        strata=strata,
    )


def split_units(
    units: Sequence[Unit],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    strata: "Column | None" = None,
) -> Split:
    """Deal out units, which may be a part of the study's, as :func:`split_samples` does."""
    shares = _shares(val_fraction, test_fraction)
    asked = {part: shares[part] for part in PARTS if shares[part] > 0}
    piles = deal(units, strata, list(asked.values()), seed)
    rows = {part: joined(pile) for part, pile in zip(asked, piles, strict=True)}
    _refuse_empty(rows, shares, units)
    none = np.empty(0, dtype=np.int64)
    return Split(rows["train"], rows.get("val", none), rows.get("test", none))


def split_by_column(sample_ids: Sequence[str], column: "Column") -> Split:
    """The split that a metadata column says: train, val or test for each sample.

    Raises ``UserError`` for an empty cell, another value, and a column without train.
    """
    origin = f"split.column={column.name}"
    named = list(zip(sample_ids, column.values, strict=True))
    if empty := [name for name, part in named if part is None]:
        raise UserError(
            f"{origin} is empty for {len(empty)} of {len(named)} samples ({shown(empty)}); fill in "
            "train, val or test, or drop these samples from the table"
        )
    if wrong := [f"{part!r} of sample {name}" for name, part in named if part not in PARTS]:
        raise UserError(
            f"{origin} has {len(wrong)} values other than {', '.join(PARTS)} ({shown(wrong)}); "
            "correct them, or choose another column"
        )
    return _given(sample_ids, {name: str(part) for name, part in named}, origin)


def write_split(path: Path, sample_ids: Sequence[str], split: Split) -> None:
    """Write a table of sample id and part, in the order of the samples."""
    from aam.facts.files import write_atomically

    part_of = {int(row): part for part in PARTS for row in getattr(split, part)}
    lines = [HEADER, *(f"{name}\t{part_of[row]}" for row, name in enumerate(sample_ids))]
    write_atomically(path, "\n".join(lines) + "\n")


def read_split(path: Path, sample_ids: Sequence[str]) -> Split:
    """Read what ``write_split`` wrote, matched to the samples at hand by id.

    Samples of the file that are not at hand are passed over and counted in the log. Raises
    ``UserError`` for a sample at hand that the file lacks, a part of another name, a repeated id,
    a file that is not such a table, and a file that leaves no sample to train on.
    """
    part_of = _read_parts(path)
    missing = [name for name in sample_ids if name not in part_of]
    if missing:
        raise UserError(
            f"{path} gives no part for {len(missing)} of {len(sample_ids)} samples "
            f"({shown(missing)}); add a line for each, or drop them from the metadata"
        )
    unused = len(part_of) - len(sample_ids)
    if unused:
        logger.info("%s names %d samples that are not in the data; passed over", path, unused)
    return _given(sample_ids, part_of, str(path))


def _given(sample_ids: Sequence[str], part_of: dict[str, str], origin: str) -> Split:
    parts = np.array([part_of[name] for name in sample_ids], dtype=np.str_)
    if not (parts == "train").any():
        raise UserError(f"{origin} puts none of the {len(sample_ids)} samples into train")
    return Split(*(np.flatnonzero(parts == part) for part in PARTS))


def _shares(val_fraction: float, test_fraction: float) -> dict[str, float]:
    for key, fraction in (("val", val_fraction), ("test", test_fraction)):
        if not 0.0 <= fraction < 1.0:  # also catches NaN
            raise UserError(
                f"split.{key}_fraction={fraction} is not a fraction; give 0 or more, less than 1"
            )
    train = 1.0 - val_fraction - test_fraction
    if train <= 1e-9:
        raise UserError(
            f"split.val_fraction={val_fraction} and split.test_fraction={test_fraction} "
            "leave nothing to train on; their sum must be less than 1"
        )
    return {"train": train, "val": val_fraction, "test": test_fraction}


def _refuse_empty(
    rows: dict[str, NDArray[np.int64]], shares: dict[str, float], units: Sequence[Unit]
) -> None:
    empty = [part for part in rows if not len(rows[part])]
    if not empty:
        return
    num_samples = sum(map(len, units))
    counts = ", ".join(f"{part} {len(rows[part])}" for part in rows)
    grouped = len(units) < num_samples
    keys = " and ".join(
        f"split.{part}_fraction={shares[part]:g}" for part in ("val", "test") if shares[part] > 0
    )
    raise UserError(
        f"{num_samples} samples{f' in {len(units)} groups' if grouped else ''} cannot be split by "
        f"{keys}: {' and '.join(empty)} would be empty ({counts}); give more samples"
        f"{' or groups' if grouped else ''}, change the fractions, or set to 0 those you do not "
        "need"
    )


def _read_parts(path: Path) -> dict[str, str]:
    text = decode_text(read_bytes(path, "the split"), "the split", path)
    lines = text.replace("\r\n", "\n").split(
        "\n"
    )  # an id may hold what str.splitlines takes for an end
    if lines[0] != HEADER:
        raise UserError(f"{path} is not a split: its first line must be sample-id, a tab, and part")
    part_of: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        name, _, part = line.rpartition("\t")
        if part not in PARTS:
            raise UserError(
                f"{path}, line {number}: the part of sample {name} is {part!r}; "
                f"it must be one of {', '.join(PARTS)}"
            )
        if name in part_of:
            raise UserError(f"{path}, line {number}: sample {name} occurs a second time")
        part_of[name] = part
    return part_of
