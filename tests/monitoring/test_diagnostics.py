import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.config import DiagnosticsConfig
from aam.errors import UserError
from aam.monitoring.diagnostics import diagnose, is_unstable, rolling_std

EPOCHS = np.arange(60)
NOISE = np.random.default_rng(1).normal(0, 0.002, (2, 60))
FALL = 0.3 + 1.2 * np.exp(-EPOCHS / 25)

CASES: dict[str, tuple[Any, Any, list[str]]] = {
    "healthy": (FALL + NOISE[0], FALL + 0.02 + NOISE[1], []),
    "a constant gap is no overfitting": (FALL + NOISE[0], FALL + 0.2 + NOISE[1], []),
    "overfitting while validation still falls": (FALL - EPOCHS / 200, FALL, ["overfitting"]),
    "overfitting": (
        FALL + NOISE[0],
        np.where(EPOCHS < 30, FALL, FALL[30] + (EPOCHS - 30) / 100) + NOISE[1],
        ["overfitting", "worsening"],
    ),
    "worsening with training": (
        np.abs(EPOCHS - 40) / 50 + 0.3,
        np.abs(EPOCHS - 40) / 50 + 0.31,
        ["worsening"],
    ),
    "instability": (FALL, FALL + 0.3 * (EPOCHS % 2), ["instability"]),
    "one spike is no overfitting": (FALL, FALL + 0.06 + 0.1 * (EPOCHS == 58), []),
    "plateau": (FALL, np.maximum(FALL, FALL[50]), ["plateau"]),
    "plateau without validation": (np.maximum(FALL, 0.6), [], ["plateau"]),
    "a steep fall is not unstable": ([3.0, 2.0, 1.2, 0.7], [3.0, 2.0, 1.2, 0.7], []),
}


@pytest.mark.parametrize("case", CASES)
def test_findings(case: str) -> None:
    train, val, kinds = CASES[case]
    findings = diagnose(list(train), list(val), DiagnosticsConfig())
    assert [finding["kind"] for finding in findings] == kinds
    assert all(finding["evidence"] and finding["advice"] for finding in findings)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", [0.001, 1000.0])
def test_relative_mode_judges_every_size_of_loss_alike(case: str, scale: float) -> None:
    train, val, kinds = CASES[case]
    # Limits relative to the loss at the start, which is that of the case: same limits as above.
    start = float(np.median((val if len(val) else train)[:3]))
    limits = DiagnosticsConfig(
        relative=True,
        gap=0.05 / start,
        plateau_change=0.001 / start,
        std=0.1 / start,
        rise=0.02 / start,
    )
    findings = diagnose(list(np.array(train) * scale), list(np.array(val) * scale), limits)
    assert [finding["kind"] for finding in findings] == kinds


@given(st.lists(st.floats(0.01, 10), max_size=12), st.sampled_from([2.0**-7, 2.0**9]))
@settings(max_examples=60, deadline=None)
def test_relative_findings_do_not_depend_on_the_unit(losses: list[float], scale: float) -> None:
    limits = DiagnosticsConfig(relative=True)
    val = [loss * 1.5 for loss in losses]
    plain = diagnose(losses, val, limits)
    scaled = diagnose([loss * scale for loss in losses], [loss * scale for loss in val], limits)
    assert [one["kind"] for one in plain] == [one["kind"] for one in scaled]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_nonfinite_is_the_only_finding_and_names_the_epochs(bad: float | None) -> None:
    findings = diagnose([0.5, 0.4, bad], [0.6, bad, 0.5], DiagnosticsConfig())
    assert [finding["kind"] for finding in findings] == ["nonfinite"]
    assert (
        findings[0]["evidence"]
        == "not a finite number: training loss in epoch 3, validation loss in epoch 2"
    )


def test_no_validation_is_not_nonfinite() -> None:
    assert diagnose([0.5, 0.4], [None, None], DiagnosticsConfig()) == []
    assert diagnose([], [], DiagnosticsConfig()) == []


def test_overfitting_evidence_can_be_checked_by_hand() -> None:
    val = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    train = [0.98, 0.98, 0.98, 0.9, 0.9, 0.9]
    overfitting = diagnose(train, val, DiagnosticsConfig())[0]
    assert overfitting["evidence"] == (
        "validation - training loss grew from +0.02 (median of epochs 1-3) to +0.1 (epochs 4-6), "
        "limit 0.05"
    )


def test_rolling_std_is_that_of_the_population() -> None:
    values = [0.3, 0.9, 0.5, 0.4]
    rolling = rolling_std(values, 3)
    assert np.isnan(rolling[:2]).all()
    np.testing.assert_allclose(rolling[2:], [np.std(values[:3]), np.std(values[1:])])


def test_unstable_needs_a_rise() -> None:
    assert is_unstable([0.5, 0.9, 0.4], 0.1)
    assert not is_unstable([0.9, 0.6, 0.2], 0.1)
    assert not is_unstable([0.5, math.nan, 0.4], 0.1)


def test_thresholds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match=r"logging\.diagnostics\.std_epochs=1 must be at least 2"):
        DiagnosticsConfig(std_epochs=1)
