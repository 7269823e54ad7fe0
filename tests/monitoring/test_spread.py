"""Intervals of differences, against scipy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aam.monitoring.spread import Mean, count, mean_text, welch_interval

VALUES = st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True)


@given(VALUES, VALUES)
def test_welch_is_that_of_scipy(ours, theirs):
    low, high = welch_interval(ours, theirs)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


def test_welch_needs_two_values_of_each():
    assert welch_interval([1.0], [1.0, 2.0]) is None
    assert welch_interval([2.0, 2.0], [5.0, 5.0]) == (-3.0, -3.0)


def test_means_in_words():
    mean = Mean.of([1.0, 2.0, 3.0])
    assert mean_text(mean, 2, 3) == "2.00 ± 1.00"
    assert mean_text(mean, 1, 5) == "2.0 ± 1.0 (n=3)"
    assert mean_text(Mean.of([4.0]), 1, 1) == "4.0"
    assert mean_text(None, 1, 1) == "-"
    assert [count(1, "run"), count(0, "run")] == ["1 run", "0 runs"]
