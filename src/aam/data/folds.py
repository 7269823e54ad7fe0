"""Splits that leave out each sample once: folds of equal size, or one group at a time.

What is not tested on is dealt out to train and val, again by whole groups.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aam.data.dealing import Unit, deal_evenly, joined, units_of
from aam.data.splits import Split, split_units
from aam.errors import UserError

if TYPE_CHECKING:
    from aam.data.metadata import Column

_log = logging.getLogger(__name__)


def kfold_split(
    sample_ids: Sequence[str],
    *,
    fold: int,
    folds: int,
    val_fraction: float,
    seed: int,
    groups: Sequence[str | None] | None = None,
    strata: "Column | None" = None,
) -> Split:
    """Test on one of ``folds`` parts of equal size; ``val_fraction`` of the rest validates.

    ``fold`` counts through repeats: repeat ``fold // folds`` deals with ``seed`` plus its number.
    The folds of a repeat are a partition of the samples that ``fold`` and the order of the rows
    have no part in. Groups stay together and strata in proportion as in ``split_samples``.

    Raises ``UserError`` for fewer groups (or samples) than folds, a fraction that cannot be,
    repeated ids, and a rest that does not fill train and val.
    """
    units = units_of(sample_ids, groups)
    if len(units) < folds:
        raise UserError(
            f"split.folds={folds} is more than there are "
            f"{'samples' if groups is None else 'groups in data.group_column'} ({len(units)}): "
            "set it lower"
        )
    repeat, number = divmod(fold, folds)
    piles = deal_evenly(units, strata, folds, seed + repeat)
    return _leaving_out(piles[number], units, val_fraction, seed + repeat, strata)


def leave_one_group_out(
    sample_ids: Sequence[str],
    *,
    fold: int,
    val_fraction: float,
    seed: int,
    groups: Sequence[str | None],
    strata: "Column | None" = None,
) -> Split:
    """Test on the group at place ``fold`` in the order of names; others train and validate.

    A sample without a group is never tested on.

    Raises ``UserError`` for a place beyond the last group, a fraction that cannot be, repeated ids,
    and a rest that does not fill train and val.
    """
    names = sorted({group for group in groups if group is not None})
    if fold >= len(names):
        raise UserError(
            f"split.fold={fold} is beyond the last group: data.group_column has {len(names)} "
            f"groups, counted from 0 in the order of their names"
        )
    chosen = names[fold]
    units = units_of(sample_ids, groups)
    test = [unit for unit in units if groups[unit[0]] == chosen]
    if len(test) == len(units):
        raise UserError(
            f"data.group_column has one group only ({chosen}): without it, nothing is left to "
            "train on"
        )
    _log.info("split.fold=%d leaves out the group %s (%d samples)", fold, chosen, len(test[0]))
    return _leaving_out(test, units, val_fraction, seed, strata)


def _leaving_out(
    test: list[Unit], units: list[Unit], val_fraction: float, seed: int, strata: "Column | None"
) -> Split:
    tested = {unit[0] for unit in test}
    rest = [unit for unit in units if unit[0] not in tested]  # in the order of the names still
    others = split_units(
        rest, val_fraction=val_fraction, test_fraction=0.0, seed=seed, strata=strata
    )
    return Split(others.train, others.val, joined(test))
