"""Inner folds keep groups together; the candidate that is best out of fold is chosen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.baselines.inner import best_candidate, inner_folds
from aam.data.targets import Target

from .studies import random_given

NAMES = st.one_of(st.none(), st.sampled_from("abcdefgh"))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 25),
    st.integers(0, 3),
    st.none() | st.lists(NAMES, min_size=25, max_size=25),
    st.data(),
)
def test_folds_hold_out_every_sample_once_and_groups_whole(
    num_rows: int, num_classes: int, groups: list[str | None] | None, data: st.DataObject
) -> None:
    plain = random_given(num_samples=60)
    rows = np.arange(num_rows)
    if num_classes:
        one = st.integers(0, num_classes - 1)
        classes = np.array(data.draw(st.lists(one, min_size=25, max_size=25)))
        target = Target(("site",), classes, tuple("abc"[:num_classes]))
        plain = replace(plain, target=target)
    folds = inner_folds(replace(plain, groups=groups), rows)

    keys = [f"alone {k}" if groups is None or groups[k] is None else groups[k] for k in rows]
    for fit, held in folds:
        assert sorted([*fit, *held]) == rows.tolist()
        assert len(held)
        assert not {keys[k] for k in fit} & {keys[k] for k in held}
        if num_classes:
            assert len(set(plain.classes[fit])) > 1
    held_out = [k for _, held in folds for k in held]
    assert len(held_out) == len(set(held_out))
    if not num_classes:
        num_groups = len(set(keys))
        assert len(folds) == (min(5, num_groups) if num_groups > 1 else 0)
        assert sorted(held_out) == (rows.tolist() if folds else [])


def test_classes_are_in_proportion_and_folds_as_few_as_the_smallest_has_samples() -> None:
    classes = np.array([0] * 12 + [1] * 3 + [2])  # the single sample of class 2 is no obstacle
    target = Target(("site",), classes, ("a", "b", "c"))
    given = replace(random_given(), target=target)
    folds = inner_folds(given, np.arange(16))
    assert [np.sum(classes[held] == 1) for _, held in folds] == [1, 1, 1]


def test_best_candidate() -> None:
    truth = np.array([[0.0, 0.0], [1.0, 100.0], [2.0, 200.0]])
    small, large = truth.copy(), truth.copy()
    small[:, 0] += 1  # 1.2 standard deviations
    large[:, 1] += 50  # 0.6 standard deviations, though more by itself
    half = np.array([[np.nan] * 2, *truth[1:]])
    assert best_candidate(np.stack([small, large]), truth, False) == 1
    assert best_candidate(np.stack([small, large, half]), truth, False) == 2
    classes = np.eye(2)[[0, 0, 1, 1]]
    worse = np.array([0.1, 0.4, 0.3, 0.9])
    better = np.array([0.4, 0.4, 0.5, 0.6])
    probabilities = np.stack([np.stack([1 - p, p], axis=1) for p in (worse, better)])
    assert best_candidate(probabilities, classes, True) == 1
    one_class = np.eye(2)[[0, 0, 0, 0]]
    assert best_candidate(np.repeat(probabilities, 3, axis=0)[:5], one_class, True) == 2


def test_groups_of_the_training_part_alone_are_counted() -> None:
    given = random_given(groups=tuple("ab" * 10 + "cd" * 20))
    assert len(inner_folds(given, np.arange(20))) == 2
    assert inner_folds(given, np.array([0, 2, 4])) == []
    assert len(inner_folds(given, np.arange(60))) == 4
    with pytest.raises(IndexError):
        inner_folds(given, np.array([60]))
