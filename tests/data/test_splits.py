"""Splits: a partition that groups never straddle, in proportion, whatever the order of the rows."""

import logging
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.data.metadata import Column, read_metadata
from aam.data.splits import Split, read_split, split_samples, write_split
from aam.errors import UserError

FRACTIONS = st.sampled_from([(0.15, 0.15), (0.2, 0.0), (0.0, 0.25), (0.3, 0.3), (0.0, 0.0)])


def ids(number: int) -> list[str]:
    return [f"s{k:03d}" for k in range(number)]


def parts(split: Split, names: list[str]) -> dict[str, str]:
    return {names[k]: part for part in ("train", "val", "test") for k in getattr(split, part)}


def categories(values: list[str | None]) -> Column:
    return Column("site", "categorical", tuple(values))


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[str], list[str | None], Column]:
    number = draw(st.integers(30, 80))
    groups = draw(
        st.lists(
            st.one_of(st.none(), st.integers(0, 25).map(str)), min_size=number, max_size=number
        )
    )
    if draw(st.booleans()):
        strata = categories(
            draw(st.lists(st.sampled_from("abc"), min_size=number, max_size=number))
        )
    else:
        numbers = st.one_of(st.none(), st.integers(0, 90).map(str))
        values = draw(st.lists(numbers, min_size=number, max_size=number))
        strata = Column("age", "numeric", tuple(values))
    return ids(number), groups, strata


@settings(max_examples=25, deadline=None)
@given(studies(), FRACTIONS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_is_a_partition_that_groups_never_straddle_in_any_row_order(study, fractions, seed, random):
    names, groups, strata = study
    options = {"val_fraction": fractions[0], "test_fraction": fractions[1], "seed": seed}
    if sum(k is None for k in groups) + len({k for k in groups if k is not None}) < 15:
        groups = list(names)  # too few units to promise that no part is empty
    split = split_samples(names, **options, groups=groups, strata=strata)

    rows = np.concatenate([split.train, split.val, split.test])
    assert rows.dtype == np.int64
    assert sorted(rows) == list(range(len(names)))
    assert all((np.diff(part) > 0).all() for part in (split.train, split.val, split.test))
    assert bool(len(split.val)) == bool(fractions[0])
    assert bool(len(split.test)) == bool(fractions[1])

    part_of = parts(split, names)
    parts_of_group = defaultdict(set)
    for name, group in zip(names, groups, strict=True):
        if group is not None:
            parts_of_group[group].add(part_of[name])
    assert all(len(found) == 1 for found in parts_of_group.values())

    order = random.sample(range(len(names)), len(names))
    shuffled = [names[k] for k in order]
    again = split_samples(
        shuffled,
        **options,
        groups=[groups[k] for k in order],
        strata=Column(strata.name, strata.kind, tuple(strata.values[k] for k in order)),
    )
    assert parts(again, shuffled) == part_of


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 300), st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(0, 9))
def test_single_samples_are_within_one_of_the_asked_shares(number, val, test, seed):
    split = split_samples(ids(number), val_fraction=val, test_fraction=test, seed=seed)
    assert abs(len(split.val) - val * number) <= 1
    assert abs(len(split.test) - test * number) <= 1
    assert abs(len(split.train) - (1 - val - test) * number) <= 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from("aaaabbc"), min_size=60, max_size=200), st.integers(0, 9))
def test_categories_are_kept_in_proportion(values, seed):
    strata = categories(list(values))
    split = split_samples(
        ids(len(values)), val_fraction=0.2, test_fraction=0.2, seed=seed, strata=strata
    )
    for part, share in ((split.train, 0.6), (split.val, 0.2), (split.test, 0.2)):
        assert abs(len(part) - share * len(values)) <= 2
        found = Counter(values[k] for k in part)
        for value, number in Counter(values).items():
            if number >= 3:
                assert abs(found[value] - share * number) <= 2


def test_numbers_are_kept_in_proportion_and_missing_ones_too():
    rng = np.random.default_rng(0)
    age = rng.exponential(20.0, 300)
    known = rng.random(300) > 0.2
    values = tuple(str(a) if k else None for a, k in zip(age, known, strict=True))
    # The least that some seed gets wrong without strata is what strata must forbid for all.
    spread = {True: [], False: []}
    for seed in range(6):
        for stratified in (True, False):
            column = Column("age", "numeric", values) if stratified else None
            split = split_samples(
                ids(300), val_fraction=0.2, test_fraction=0.2, seed=seed, strata=column
            )
            spread[stratified].append(abs(np.median(age[split.val]) - np.median(age)))
            if stratified:
                assert abs((~known[split.val]).sum() - 0.2 * (~known).sum()) <= 2
    assert max(spread[True]) < 0.6 * max(spread[False])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=25, max_size=60), st.integers(0, 9))
def test_groups_of_unequal_size_still_give_the_asked_shares(sizes, seed):
    groups = [f"g{k}" for k, size in enumerate(sizes) for _ in range(size)]
    total = len(groups)
    split = split_samples(
        ids(total), val_fraction=0.15, test_fraction=0.15, seed=seed, groups=groups
    )
    for part, share in ((split.train, 0.7), (split.val, 0.15), (split.test, 0.15)):
        assert abs(len(part) - share * total) <= max(2, 0.03 * total)


def test_groups_and_strata_together_on_a_real_study(real_data: Path):
    metadata = read_metadata(real_data / "ecam" / "metadata.tsv")
    subjects = metadata.column("subject").values
    diet = metadata.column("delivery")
    options = {"val_fraction": 0.2, "test_fraction": 0.2, "groups": subjects, "strata": diet}
    splits = [split_samples(metadata.sample_ids, seed=seed, **options) for seed in range(3)]
    whole = np.mean([value == "Cesarean" for value in diet.values])
    for split in splits:
        sides = [{subjects[k] for k in part} for part in (split.train, split.val, split.test)]
        assert sum(map(len, sides)) == len(set(subjects))
        for part, share in ((split.train, 0.6), (split.val, 0.2), (split.test, 0.2)):
            assert abs(len(part) / 897 - share) < 0.03
            assert abs(np.mean([diet.values[k] == "Cesarean" for k in part]) - whole) < 0.06
    assert {tuple(split.val) for split in splits} != {tuple(splits[0].val)}  # the seed matters


def test_a_group_named_like_a_lone_sample_is_not_that_sample(caplog):
    names = ids(40)
    groups = [None if k < 20 else f"s{k % 20:03d}" for k in range(40)]  # groups s000 to s019
    with caplog.at_level(logging.WARNING):
        found = [
            parts(
                split_samples(names, val_fraction=0.4, test_fraction=0, seed=seed, groups=groups),
                names,
            )
            for seed in range(5)
        ]
    assert any(part[f"s{k:03d}"] != part[f"s{k + 20:03d}"] for part in found for k in range(20))
    assert "20 of 40 samples have no group and count as a group each (s000, s001" in caplog.text


def test_a_small_category_goes_to_train_and_is_named(caplog):
    strata = categories(["a"] * 30 + ["b"] * 30 + ["rare"] * 2)
    with caplog.at_level(logging.WARNING):
        for seed in range(10):
            split = split_samples(
                ids(62), val_fraction=0.2, test_fraction=0.2, seed=seed, strata=strata
            )
            assert {60, 61} <= set(split.train)
    assert "1 values of site are in fewer samples than the 3 parts" in caplog.text
    assert "rare (2)" in caplog.text


def test_categories_that_are_all_different_still_split():
    split = split_samples(
        ids(40), val_fraction=0.25, test_fraction=0.25, seed=0, strata=categories(ids(40))
    )
    assert (len(split.train), len(split.val), len(split.test)) == (20, 10, 10)


@pytest.mark.parametrize(
    ("val", "test", "sentence"),
    [
        (-0.1, 0.1, r"split\.val_fraction=-0\.1 is not a fraction"),
        (0.1, 1.0, r"split\.test_fraction=1\.0 is not a fraction"),
        (float("nan"), 0.1, r"split\.val_fraction=nan is not a fraction"),
        (0.5, 0.5, r"split\.val_fraction=0\.5 and split\.test_fraction=0\.5 leave nothing"),
    ],
)
def test_impossible_fractions_are_refused(val, test, sentence):
    with pytest.raises(UserError, match=sentence):
        split_samples(ids(20), val_fraction=val, test_fraction=test, seed=0)


def test_an_empty_part_is_refused_with_the_counts():
    sentence = r"30 samples in 2 groups cannot be split by .*val_fraction=0\.15.*would be empty \("
    with pytest.raises(UserError, match=sentence):
        split_samples(
            ids(30), val_fraction=0.15, test_fraction=0.15, seed=0, groups=["a"] * 15 + ["b"] * 15
        )
    with pytest.raises(UserError, match="there are no samples to split"):
        split_samples([], val_fraction=0.15, test_fraction=0.15, seed=0)


def test_a_split_comes_back_from_its_file_by_id(tmp_path: Path, caplog):
    names = ids(40)
    split = split_samples(names, val_fraction=0.2, test_fraction=0.2, seed=1)
    path = tmp_path / "split.tsv"
    write_split(path, names, split)
    assert path.read_text(encoding="utf-8").startswith("sample-id\tpart\ns000\t")

    backwards = names[::-1][5:]
    with caplog.at_level(logging.INFO):
        again = read_split(path, backwards)
    expected = parts(split, names)
    assert parts(again, backwards) == {name: expected[name] for name in backwards}
    assert "names 5 samples that are not in the data" in caplog.text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,part\na,train\n", "is not a split: its first line must be"),
        ("sample-id\tpart\na\ttrain\nb\ttraining\n", "line 3: the part of sample b is 'training'"),
        ("sample-id\tpart\na\ttrain\na\tval\n", "line 3: sample a occurs a second time"),
        ("sample-id\tpart\na\ttrain\n", r"gives no part for 1 of 2 samples \(b\)"),
        ("sample-id\tpart\na\ttest\nb\tval\n", "puts none of the 2 samples into train"),
    ],
)
def test_a_bad_split_file_is_refused(tmp_path: Path, text, sentence):
    path = tmp_path / "split.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        read_split(path, ["a", "b"])
