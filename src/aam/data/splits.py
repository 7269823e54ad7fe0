"""Which samples train, validate and test.

One greedy rule serves all: units (groups, or single samples) are dealt out in random order, each to
the part where it brings the samples' number, and the number in every stratum, closest to what was
asked for. For single samples this is Webster's method of apportionment, which stays within one
sample of the exact share; for groups of unequal size the best of several random orders is kept.

Shapes: N samples, G units, P parts that were asked for, S strata.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aam.errors import UserError, shown
from aam.inputs import decode_text, read_bytes, repeated

if TYPE_CHECKING:
    from aam.data.metadata import Column

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
HEADER = "sample-id\tpart"
MAX_STRATA_OF_NUMBERS = 10
SIZE_WEIGHT = 3.0  # how much more a part's size counts than the make-up of its strata
MOST_ORDERS, UNITS_DEALT = 30, 10_000  # random orders to try, fewer where there are many units


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
    as whole groups allow: it is the make-up of each group that counts, not its majority alone.
    A category in fewer units than there are parts goes to train where there is room, because what
    was never trained on cannot be predicted, and is logged.

    Raises ``UserError`` for fractions that cannot be, repeated ids, and a part that was asked for
    but stays empty.
    """
    shares = _shares(val_fraction, test_fraction)
    if not sample_ids:
        raise UserError("there are no samples to split; see which filters dropped them all")
    if twice := repeated(sample_ids):
        raise UserError(f"{len(twice)} sample ids occur more than once: {shown(twice)}")
    if seed < 0:
        raise UserError(f"split.seed={seed} is negative; give 0 or more")
    units = _units(sample_ids, groups)
    asked = [part for part in PARTS if shares[part] > 0]
    per_sample = _strata(strata, min(shares[part] for part in asked), len(units), len(sample_ids))
    makeup, labels = _makeup(units, per_sample)
    rare = _rare_strata(makeup, labels, len(asked), strata, grouped=groups is not None)
    part_of = _deal(makeup, rare, np.array([shares[part] for part in asked]), seed)
    rows = {part: _rows(units, part_of == asked.index(part)) for part in asked}
    _refuse_empty(rows, shares, len(sample_ids), len(units) if groups is not None else None)
    none = np.empty(0, dtype=np.int64)
    return Split(rows["train"], rows.get("val", none), rows.get("test", none))


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
    rows = {
        part: np.array(
            [row for row, name in enumerate(sample_ids) if part_of[name] == part], dtype=np.int64
        )
        for part in PARTS
    }
    if not len(rows["train"]):
        raise UserError(f"{path} puts none of the {len(sample_ids)} samples into train")
    return Split(**rows)


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


def _units(
    sample_ids: Sequence[str], groups: Sequence[str | None] | None
) -> list[NDArray[np.int64]]:
    """Rows of each unit, in an order that the names alone decide."""
    rows_of: dict[tuple[bool, str], list[int]] = {}
    for row, name in enumerate(sample_ids):
        group = None if groups is None else groups[row]
        # The flag keeps a sample without a group apart from a group of the same name.
        rows_of.setdefault((group is not None, name if group is None else group), []).append(row)
    if groups is not None:
        alone = [name for name, group in zip(sample_ids, groups, strict=True) if group is None]
        if alone:
            logger.warning(
                "split: %d of %d samples have no group and count as a group each (%s)",
                len(alone), len(sample_ids), shown(alone),
            )  # fmt: skip
    return [np.array(rows_of[key], dtype=np.int64) for key in sorted(rows_of)]


def _strata(
    column: "Column | None", least_share: float, num_units: int, num_samples: int
) -> list[str]:
    """Each sample's stratum; the empty string where the value is missing or there is no column."""
    if column is None:
        return [""] * num_samples
    if column.kind == "categorical":
        return [value or "" for value in column.values]
    values = column.numeric()
    known = values[~np.isnan(values)]
    # So many bins that each can give the smallest part a unit.
    num_bins = min(max(math.floor(num_units * least_share), 1), MAX_STRATA_OF_NUMBERS)
    if not len(known):
        return [""] * num_samples
    edges = np.quantile(known, np.arange(1, num_bins) / num_bins)
    bins = np.searchsorted(edges, values, side="right")
    return ["" if np.isnan(value) else f"{b:02d}" for value, b in zip(values, bins, strict=True)]


def _makeup(
    units: list[NDArray[np.int64]], per_sample: list[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Samples of each unit in each stratum, [G, S], and the strata's names."""
    labels = sorted(set(per_sample))
    place = {label: k for k, label in enumerate(labels)}
    makeup = np.zeros((len(units), len(labels)), dtype=np.int64)
    for unit, rows in enumerate(units):
        for row in rows:
            makeup[unit, place[per_sample[row]]] += 1
    return makeup, labels


def _rare_strata(
    makeup: NDArray[np.int64],
    labels: list[str],
    num_parts: int,
    column: "Column | None",
    *,
    grouped: bool,
) -> NDArray[np.bool_]:
    """Which categories are in too few units to be in every part, [S]."""
    if column is None or column.kind != "categorical":
        return np.zeros(len(labels), dtype=np.bool_)
    num_holders = (makeup > 0).sum(axis=0)
    rare = (num_holders < num_parts) & np.array([label != "" for label in labels])
    if rare.any():
        named = [f"{labels[k]} ({num_holders[k]})" for k in np.flatnonzero(rare)]
        logger.warning(
            "split: %d values of %s are in fewer %s than the %d parts and go to train first: %s",
            len(named), column.name, "groups" if grouped else "samples", num_parts, shown(named),
        )  # fmt: skip
    result: NDArray[np.bool_] = rare
    return result


def _deal(
    makeup: NDArray[np.int64], rare: NDArray[np.bool_], shares: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """The part of each unit, [G]: the best of several random orders (part 0 is train)."""
    rng = np.random.default_rng(seed)
    size = makeup.sum(axis=1, keepdims=True)
    full = np.hstack([makeup[:, ~rare], size]).astype(np.float64)  # [G, S + 1], S without the rare
    wanted = np.outer(shares, full.sum(axis=0))  # [P, S + 1]
    weight = np.append(np.ones(full.shape[1] - 1), SIZE_WEIGHT) / wanted
    is_rare = makeup[:, rare].sum(axis=1) > 0
    best, best_cost = np.empty(0, dtype=np.int64), (math.inf, math.inf)
    for _ in range(min(max(UNITS_DEALT // max(len(full), 1), 1), MOST_ORDERS)):
        order = rng.permutation(len(full))
        order = order[np.argsort(~is_rare[order], kind="stable")]
        part_of, have = _deal_in_order(full, order, is_rare, wanted, weight)
        cost = (float((have[:, -1] == 0).sum()), float(((have - wanted) ** 2 * weight).sum()))
        if cost < best_cost:
            best, best_cost = part_of, cost
    return best


def _deal_in_order(
    full: NDArray[np.float64],
    order: NDArray[np.int64],
    is_rare: NDArray[np.bool_],
    wanted: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    part_of = np.zeros(len(full), dtype=np.int64)
    have = np.zeros_like(wanted)
    for unit in order:
        counts = full[unit]
        if is_rare[unit] and have[0, -1] + counts[-1] <= wanted[0, -1]:
            part = 0
        else:
            # The rise of sum(weight * (have - wanted)^2) but for what is equal for all parts.
            part = int(((2.0 * have + counts) * counts * weight).sum(axis=1).argmin())
        part_of[unit] = part
        have[part] += counts
    return part_of, have


def _rows(units: list[NDArray[np.int64]], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    picked = [units[k] for k in np.flatnonzero(chosen)]
    return np.sort(np.concatenate(picked)) if picked else np.empty(0, dtype=np.int64)


def _refuse_empty(
    rows: dict[str, NDArray[np.int64]],
    shares: dict[str, float],
    num_samples: int,
    num_groups: int | None,
) -> None:
    empty = [part for part in rows if not len(rows[part])]
    if not empty:
        return
    counts = ", ".join(f"{part} {len(rows[part])}" for part in rows)
    groups = "" if num_groups is None else f" in {num_groups} groups"
    keys = " and ".join(
        f"split.{part}_fraction={shares[part]:g}" for part in ("val", "test") if shares[part] > 0
    )
    raise UserError(
        f"{num_samples} samples{groups} cannot be split by {keys}: {' and '.join(empty)} "
        f"would be empty ({counts}); give more samples{' or groups' if groups else ''}, "
        "change the fractions, or set to 0 those you do not need"
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
