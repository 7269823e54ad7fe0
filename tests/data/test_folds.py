"""Folds: each sample is left out once, groups never straddle, and no order of rows matters."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.data import dealing
from aam.data.dealing import deal_evenly, joined, units_of
from aam.data.folds import kfold_split, leave_one_group_out
from aam.data.metadata import Column
from aam.data.splits import Split
from aam.errors import UserError


def ids(number: int) -> list[str]:
    return [f"s{k:03d}" for k in range(number)]


def categories(values: list[str]) -> Column:
    return Column("site", "categorical", tuple(values))


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[str], list[str | None], Column]:
    """12 to 20 groups of 1 to 6 samples, and up to 5 samples without a group."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=12, max_size=20))
    groups: list[str | None] = [f"g{k}" for k, size in enumerate(sizes) for _ in range(size)]
    groups += [None] * draw(st.integers(0, 5))
    number = len(groups)
    if draw(st.booleans()):
        values = draw(st.lists(st.sampled_from("aab"), min_size=number, max_size=number))
        return ids(number), groups, categories(values)
    values = draw(st.lists(st.integers(0, 90), min_size=number, max_size=number))
    return ids(number), groups, Column("age", "numeric", tuple(map(str, values)))


def check_partition(split: Split, groups: list[str | None]) -> None:
    sides = (split.train, split.val, split.test)
    assert sorted(np.concatenate(sides)) == list(range(len(groups)))
    parts_of = defaultdict(set)
    for part, rows in enumerate(sides):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        for row in rows:
            parts_of[groups[row]].add(part)
    parts_of.pop(None, None)
    assert all(len(parts) == 1 for parts in parts_of.values())


def named(split: Split, names: list[str]) -> list[set[str]]:
    return [{names[row] for row in rows} for rows in (split.train, split.val, split.test)]


@settings(max_examples=15, deadline=None)
@given(
    studies(),
    st.sampled_from([2, 3, 5]),
    st.sampled_from([0.0, 0.25]),
    st.randoms(use_true_random=False),
)
def test_the_folds_are_a_partition_in_any_row_order(study, folds, val_fraction, random):
    names, groups, strata = study
    order = random.sample(range(len(names)), len(names))
    shuffled = [names[k] for k in order]
    options = {"folds": folds, "val_fraction": val_fraction, "seed": 3}
    tested = []
    for fold in range(folds, 2 * folds):  # of the second repeat
        split = kfold_split(names, fold=fold, groups=groups, strata=strata, **options)
        check_partition(split, groups)
        assert len(split.train)
        assert bool(len(split.val)) == bool(val_fraction)
        tested += list(split.test)
        again = kfold_split(
            shuffled,
            fold=fold,
            groups=[groups[k] for k in order],
            strata=Column(strata.name, strata.kind, tuple(strata.values[k] for k in order)),
            **options,
        )
        assert named(again, shuffled) == named(split, names)
    assert sorted(tested) == list(range(len(names)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from("aaaabbcd"), min_size=16, max_size=150),
    st.integers(2, 8),
    st.integers(0, 9),
)
def test_folds_of_single_samples_are_even_in_number_and_in_each_category(values, folds, seed):
    units = units_of(ids(len(values)), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealing, "MOST_ORDERS", 1)  # even without a choice among orders
        piles = deal_evenly(units, categories(values), folds, seed)
    tested = [joined(pile) for pile in piles]
    assert sorted(np.concatenate(tested)) == list(range(len(values)))
    sizes = [len(rows) for rows in tested]
    assert max(sizes) - min(sizes) <= 1
    for value in set(values):
        found = [sum(values[row] == value for row in rows) for rows in tested]
        assert max(found) - min(found) <= 1


def test_every_fold_has_its_share_of_each_quantile_of_numbers():
    ages = np.random.default_rng(0).permutation(50)
    strata = Column("age", "numeric", tuple(map(str, ages)))
    for fold in range(5):
        split = kfold_split(ids(50), fold=fold, folds=5, val_fraction=0.25, seed=1, strata=strata)
        assert sorted(ages[split.test] // 5) == list(range(10))
        assert Counter(ages[split.val] // 5) == dict.fromkeys(range(10), 1)


def test_validation_is_a_fraction_of_what_is_not_tested_on():
    split = kfold_split(ids(100), fold=2, folds=5, val_fraction=0.25, seed=0)
    assert (len(split.train), len(split.val), len(split.test)) == (60, 20, 20)


def test_a_repeat_deals_anew_with_the_next_seed():
    options = {"folds": 4, "val_fraction": 0.2}
    first, second = (
        [
            tuple(kfold_split(ids(40), fold=k, seed=7, **options).test)
            for k in range(start, start + 4)
        ]
        for start in (0, 4)
    )
    assert set(first).isdisjoint(second)
    assert second == [tuple(kfold_split(ids(40), fold=k, seed=8, **options).test) for k in range(4)]


@settings(max_examples=15, deadline=None)
@given(studies(), st.sampled_from([0.0, 0.25]))
def test_each_group_is_left_out_at_its_place_among_the_names(study, val_fraction):
    names, groups, strata = study
    groups = [f"g{int(g[1:]) % 5}" if g else None for g in groups]
    groups += [f"other{k}" for k in range(3) for _ in range(2)]
    values = strata.values + ("1" if strata.kind == "numeric" else "a",) * 6
    names, strata = ids(len(groups)), Column(strata.name, strata.kind, values)
    for fold, group in enumerate(["g0", "g1", "g2", "g3", "g4", "other0", "other1", "other2"]):
        split = leave_one_group_out(
            names, fold=fold, val_fraction=val_fraction, seed=0, groups=groups, strata=strata
        )
        check_partition(split, groups)
        assert list(split.test) == [row for row, found in enumerate(groups) if found == group]
        assert bool(len(split.val)) == bool(val_fraction)


def test_a_study_that_is_too_small_is_refused():
    pairs = ["a", "a", "b", "b"]
    with pytest.raises(UserError, match=r"split\.folds=3 is more than .* groups .*\(2\): set it"):
        kfold_split(ids(4), fold=0, folds=3, val_fraction=0.0, seed=0, groups=pairs)
    with pytest.raises(UserError, match=r"split\.folds=5 is more than there are samples \(4\)"):
        kfold_split(ids(4), fold=0, folds=5, val_fraction=0.0, seed=0)
    with pytest.raises(UserError, match=r"split\.fold=2 is beyond the last group.* has 2 groups"):
        leave_one_group_out(ids(4), fold=2, val_fraction=0.0, seed=0, groups=pairs)
    with pytest.raises(UserError, match=r"has one group only \(a\)"):
        leave_one_group_out(ids(2), fold=0, val_fraction=0.0, seed=0, groups=["a", "a"])
    for split in (
        lambda: kfold_split(ids(4), fold=0, folds=2, val_fraction=0.2, seed=0, groups=pairs),
        lambda: leave_one_group_out(ids(4), fold=1, val_fraction=0.2, seed=0, groups=pairs),
    ):
        with pytest.raises(
            UserError, match=r"2 samples in 1 groups cannot .*val_fraction=0\.2: val would be empty"
        ):
            split()
    with pytest.raises(UserError, match=r"split\.val_fraction=1\.0 is not a fraction"):
        kfold_split(ids(4), fold=0, folds=2, val_fraction=1.0, seed=0)
