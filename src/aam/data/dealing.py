"""The greedy rule by which samples are dealt out into parts of given shares.

Units (groups, or single samples) are dealt out in random order, each to the part where it brings
the samples' number, and the number in every stratum, closest to what was asked for. For single
samples this is Webster's method of apportionment, which stays within one sample of the exact share;
for groups of unequal size the best of several random orders is kept.

Shapes: N samples, G units, P parts, S strata.
"""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aam.errors import UserError, shown
from aam.inputs import repeated

if TYPE_CHECKING:
    from aam.data.metadata import Column

MAX_STRATA_OF_NUMBERS = 10
SIZE_WEIGHT = 3.0  # how much more a part's size counts than the make-up of its strata
MOST_ORDERS, UNITS_DEALT = 30, 10_000  # random orders to try, fewer where there are many units

Unit = NDArray[np.int64]
"""Rows of the samples that stay together, ascending."""

_log = logging.getLogger(__name__)


def units_of(sample_ids: Sequence[str], groups: Sequence[str | None] | None) -> list[Unit]:
    """The units, in an order that the names alone decide.

    Samples of a group are one unit; a sample without a group is one by itself, which is logged.
    Raises ``UserError`` if there are no samples, or repeated ids.
    """
    if not sample_ids:
        raise UserError("there are no samples to split; see which filters dropped them all")
    if twice := repeated(sample_ids):
        raise UserError(f"{len(twice)} sample ids occur more than once: {shown(twice)}")
    rows_of: dict[tuple[bool, str], list[int]] = {}
    for row, name in enumerate(sample_ids):
        group = None if groups is None else groups[row]
        # The flag keeps a sample without a group apart from a group of the same name.
        rows_of.setdefault((group is not None, name if group is None else group), []).append(row)
    if groups is not None:
        alone = [name for name, group in zip(sample_ids, groups, strict=True) if group is None]
        if alone:
            _log.warning(
                "split: %d of %d samples have no group and count as a group each (%s)",
                len(alone), len(sample_ids), shown(alone),
            )  # fmt: skip
    return [np.array(rows_of[key], dtype=np.int64) for key in sorted(rows_of)]


def joined(units: Sequence[Unit]) -> NDArray[np.int64]:
    """The rows of all the units, ascending."""
    return np.sort(np.concatenate(units)) if units else np.empty(0, dtype=np.int64)


def deal(
    units: Sequence[Unit], strata: "Column | None", shares: Sequence[float], seed: int
) -> list[list[Unit]]:
    """Deal the units out to parts of these shares, which add up to 1; a part may stay empty.

    The values of ``strata`` (one for each sample of the study; categories; numbers by quantile;
    missing values apart) are kept in proportion as far as whole units allow: it is the make-up of
    each unit that counts, not its majority alone. A category in fewer units than there are parts
    goes to the first part where there is room, and is logged.

    Raises ``UserError`` for a negative seed.
    """
    makeup_GS, labels = _makeup(units, _strata(strata, joined(units), min(shares) * len(units)))
    rare_S = np.zeros(len(labels), dtype=np.bool_)
    if strata is not None and strata.kind == "categorical":
        rare_S = _rare_strata(makeup_GS, labels, len(shares), strata.name)
    rank_G = np.where(makeup_GS[:, rare_S].sum(axis=1) > 0, 0, 1)
    return _piles(units, _best_deal(makeup_GS, rare_S, np.array(shares), rank_G, seed), len(shares))


def deal_evenly(
    units: Sequence[Unit], strata: "Column | None", num_parts: int, seed: int
) -> list[list[Unit]]:
    """Deal the units out to so many equal parts; none is empty if there are units enough.

    As :func:`deal`, but a category in few units is spread out. Parts of single samples differ by
    one sample at most, in number and in each stratum.
    """
    makeup_GS, labels = _makeup(units, _strata(strata, joined(units), len(units) / num_parts))
    none_rare_S = np.zeros(len(labels), dtype=np.bool_)
    # Stratum by stratum, single samples leave every stratum and every size even.
    is_single = makeup_GS.sum() == len(units)
    rank_G = makeup_GS.argmax(axis=1) if is_single else np.zeros(len(units), dtype=np.int64)
    shares_P = np.full(num_parts, 1 / num_parts)
    return _piles(units, _best_deal(makeup_GS, none_rare_S, shares_P, rank_G, seed), num_parts)


def _piles(units: Sequence[Unit], part_of_G: NDArray[np.int64], num_parts: int) -> list[list[Unit]]:
    return [
        [units[k] for k in np.flatnonzero(part_of_G == part).tolist()] for part in range(num_parts)
    ]


def _strata(column: "Column | None", rows: Unit, least_units: float) -> dict[int, str]:
    """Row → stratum; the empty string where the value is missing or there is no column."""
    if column is None:
        return dict.fromkeys(rows.tolist(), "")
    if column.kind == "categorical":
        return {row: column.values[row] or "" for row in rows.tolist()}
    values = column.numeric()[rows]
    known = values[~np.isnan(values)]
    if not len(known):
        return dict.fromkeys(rows.tolist(), "")
    # So many bins that each can give the smallest part a unit.
    num_bins = min(max(math.floor(least_units), 1), MAX_STRATA_OF_NUMBERS)
    edges = np.quantile(known, np.arange(1, num_bins) / num_bins)
    bins = np.searchsorted(edges, values, side="right")
    return {
        row: "" if np.isnan(value) else f"{b:02d}"
        for row, value, b in zip(rows.tolist(), values, bins, strict=True)
    }


def _makeup(
    units: Sequence[Unit], stratum_of: dict[int, str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Samples of each unit in each stratum, [G, S], and the strata's names."""
    labels = sorted(set(stratum_of.values()))
    place = {label: k for k, label in enumerate(labels)}
    makeup_GS = np.zeros((len(units), len(labels)), dtype=np.int64)
    for unit, rows in enumerate(units):
        for row in rows.tolist():
            makeup_GS[unit, place[stratum_of[row]]] += 1
    return makeup_GS, labels


def _rare_strata(
    makeup_GS: NDArray[np.int64], labels: list[str], num_parts: int, name: str
) -> NDArray[np.bool_]:
    """Which categories are in too few units to be in every part, [S]."""
    num_holders = (makeup_GS > 0).sum(axis=0)
    rare: NDArray[np.bool_] = (num_holders < num_parts) & np.array([k != "" for k in labels])
    if rare.any():
        named = [f"{labels[k]} ({num_holders[k]})" for k in np.flatnonzero(rare)]
        _log.warning(
            "split: %d values of %s are in fewer %s than the %d parts and go to train first: %s",
            len(named), name, "samples" if makeup_GS.sum() == len(makeup_GS) else "groups",
            num_parts, shown(named),
        )  # fmt: skip
    return rare


def _best_deal(
    makeup_GS: NDArray[np.int64],
    rare_S: NDArray[np.bool_],
    shares_P: NDArray[np.float64],
    rank_G: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """The part of each unit, [G]: the best of several random orders, lower ranks first."""
    if seed < 0:
        raise UserError(f"split.seed={seed} is negative; give 0 or more")
    rng = np.random.default_rng(seed)
    size = makeup_GS.sum(axis=1, keepdims=True)
    full = np.hstack([makeup_GS[:, ~rare_S], size]).astype(np.float64)  # [G, S + 1], none rare
    wanted = np.outer(shares_P, full.sum(axis=0))  # [P, S + 1]
    weight = np.append(np.ones(full.shape[1] - 1), SIZE_WEIGHT) / wanted
    is_rare = makeup_GS[:, rare_S].sum(axis=1) > 0
    best, best_cost = np.empty(0, dtype=np.int64), (math.inf, math.inf)
    for _ in range(min(max(UNITS_DEALT // max(len(full), 1), 1), MOST_ORDERS)):
        order = rng.permutation(len(full))
        order = order[np.argsort(rank_G[order], kind="stable")]
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
