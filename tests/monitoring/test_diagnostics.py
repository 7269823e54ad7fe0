"""Runs of 60 epochs that were made by hand get the right findings, and no others."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import OmegaConf

from aam.config import DiagnosticsConfig
from aam.errors import UserError
from aam.monitoring.diagnostics import KINDS, Diagnosis, Plan, Spell, replay, rolling_std, spells
from aam.monitoring.diagnostics.curve_checks import is_unstable, noise

Event = dict[str, Any]
Curve = NDArray[np.float64]

NUM = 60
E = np.arange(float(NUM))
NOISE = np.random.default_rng(1).normal(0, 0.004, (3, NUM))
FALL = 0.3 + 1.2 * np.exp(-E / 12)
NORM = (0.4 + 2 * np.exp(-E / 7)) * (1 + 20 * NOISE[2])
WARMED = np.minimum(1.0, (E + 1) / 6)
COSINE = 1e-3 * WARMED * (0.5 + 0.5 * np.cos(np.pi * E / NUM))
CONSTANT = 1e-3 * WARMED


def late(curve: Curve, epoch: int) -> Curve:
    """The curve from an epoch (from 0) on, 0 before."""
    return np.where(epoch <= E, curve, 0.0)


def run(
    train: Curve,
    val: Curve | None,
    kinds: str = "",
    at_end: str | None = None,
    *,
    lr: Curve = COSINE,
    norm: Curve = NORM,
) -> dict[str, Any]:
    """A run, the kinds of findings that it has at some time, and those at its end."""
    kept = kinds if at_end is None else at_end
    return {
        "curves": {"train": train, "val": val, "lr": lr, "norm": norm},
        "kinds": set(kinds.split()),
        "at_end": set(kept.split()),
    }


HEALTHY = FALL + NOISE[0], FALL + 0.03 + NOISE[1]
TURNED = np.where(E < 25, FALL, FALL[25]) + late((E - 25) / 50, 25)
RESTED = np.where(E < 35, FALL, FALL[35]) + np.where(E < 35, NOISE[1], NOISE[1] / 20)
BLOWN = np.where(E < 30, FALL, np.minimum(FALL * 3 ** np.maximum(E - 29, 0), 1e5))
SHOCK = 0.35 * np.exp(-np.maximum(E - 5, 0) / 1.5) * (E > 4)

CASES: dict[str, dict[str, Any]] = {
    "healthy": run(*HEALTHY),
    "healthy without validation": run(HEALTHY[0], None),
    "healthy with a constant rate": run(
        0.3 + 1.2 / (1 + E / 12) + NOISE[0], 0.33 + 1.2 / (1 + E / 12) + NOISE[1], lr=CONSTANT
    ),
    "as healthy, the gap comes with the first epochs": run(FALL, FALL + 0.2),
    "at rest since the schedule is over": run(FALL, np.maximum(FALL, FALL[50]), lr=COSINE),
    "a slow fall is no plateau": run(
        *(2 * [np.where(E < 30, FALL, FALL[30] * 0.998 ** (E - 30))]), lr=CONSTANT
    ),
    "one jump of the validation loss": run(FALL, FALL + 0.03 + 0.3 * (E == 40)),
    "overfitting": run(FALL + NOISE[0], TURNED + NOISE[1], "overfitting worsening"),
    "overfitting while the validation loss falls": run(0.9 * FALL - E / 200, FALL, "overfitting"),
    "overfitting that has come to rest": run(
        np.maximum(FALL - 0.1 - 0.02 * late(E - 20, 20), 0.05) + NOISE[0],
        np.maximum(FALL, FALL[22]) + NOISE[1],
        "overfitting",
    ),
    "worsening": run(*(2 * [np.abs(E - 40) / 40 + 0.3]), "worsening"),
    "plateau": run(FALL + NOISE[0], RESTED, "plateau", lr=CONSTANT),
    "plateau without validation": run(np.maximum(FALL, FALL[30]), None, "plateau", lr=CONSTANT),
    "instability": run(FALL, FALL + 0.4 * (E % 2) * (E > 20), "instability"),
    "exploding": run(BLOWN, BLOWN * 1.1, "exploding"),
    "exploding at once": run(
        np.where(E == 0, 1.5, 1.6 * np.minimum(10.0**E, 1e8)), None, "exploding"
    ),
    "thrown off, then nothing learned": run(
        np.where(E < 6, 90.0 - 13 * E * (E % 2), 0.47) + NOISE[0],
        0.44 + NOISE[1],
        "exploding",
        norm=np.where(E < 6, 1000.0, 0.1),
    ),
    "not a number": run(
        np.where(E < 40, FALL, np.nan), np.where(E < 40, FALL, np.nan), "nonfinite"
    ),
    "a rate too low": run(1.5 - E / 3000 + NOISE[0], 1.5 - E / 3000, "learning_rate"),
    "a rate too high": run(
        np.where(E == 0, 1.9, 1.45) + NOISE[0],
        1.3 + 5 * NOISE[1],
        "learning_rate",
        norm=np.where(E == 0, 4.0, 0.06),
    ),
    "gradient spikes": run(
        *HEALTHY, "gradient_spikes", "", norm=NORM * np.where(np.isin(E, (20, 33, 41)), 12, 1)
    ),
    "a short warmup": run(
        FALL + SHOCK + NOISE[0],
        FALL + SHOCK + NOISE[1],
        "short_warmup",
        "",
        norm=NORM * (1 + 9 * (E == 5)),
    ),
    "a short warmup, seen by the gradients alone": run(
        *HEALTHY, "short_warmup", "", norm=NORM * np.where(E == 5, 9.0, 1.0)
    ),
}


def events_of(curves: dict[str, Any], scale: float = 1.0) -> list[Event]:
    """The facts of the epochs of a run whose loss is in another unit."""

    def of(name: str, epoch: int, factor: float = scale) -> float | None:
        curve = curves[name]
        return None if curve is None else float(factor * curve[epoch])

    events = []
    for epoch in range(len(curves["train"])):
        losses = {f"{split}_loss": of(split, epoch) for split in ("train", "val")}
        bad = [name for name, loss in losses.items() if loss is not None and math.isnan(loss)]
        events.append(
            {
                "moment": "on_epoch_end",
                "epoch": epoch,
                "step": 12 * (epoch + 1),
                "lr": of("lr", epoch, 1.0),
                "metrics": {"train": {"grad_norm": of("norm", epoch)}, "val": {}, "test": {}},
                "nonfinite": bad,
                "best": None,
                **losses,
                **dict.fromkeys(bad),  # as facts have it
            }
        )
    return events


def judged(events: Sequence[Event], thresholds: DiagnosticsConfig | None = None) -> list[Spell]:
    found = replay(events, thresholds or DiagnosticsConfig())
    return spells({**event, "diagnostics": one} for event, one in zip(events, found, strict=True))


@pytest.mark.parametrize("scale", [1.0, 1000.0, 0.001])
@pytest.mark.parametrize("case", CASES)
def test_findings(case: str, scale: float) -> None:
    found = judged(events_of(CASES[case]["curves"], scale))
    told = [f"{one.evidence} -> {one.advice}" for one in found]
    assert {one.kind for one in found} == CASES[case]["kinds"], told
    assert {one.kind for one in found if one.holds} == CASES[case]["at_end"], told
    assert not re.search(r"\b(nan|inf)\b", " ".join(told))


@pytest.mark.parametrize(
    "case", ["overfitting", "plateau without validation", "instability", "healthy"]
)
def test_without_relative_the_limits_are_in_the_unit_of_the_loss(case: str) -> None:
    """The defaults of the absolute mode, for losses of about one; those of a tenth are not seen."""
    absolute = DiagnosticsConfig(relative=False)
    curves, kinds = CASES[case]["curves"], CASES[case]["kinds"]
    assert {one.kind for one in judged(events_of(curves), absolute)} == kinds
    small = {one.kind for one in judged(events_of(curves, 0.01), absolute)}
    assert small.isdisjoint({"overfitting", "worsening", "instability"})


LOSSES = st.one_of(st.floats(0.01, 10), st.sampled_from([None, math.nan, math.inf, 0.0, -1.0]))


@given(
    st.lists(st.tuples(LOSSES, LOSSES, LOSSES, st.floats(0, 1)), max_size=40),
    st.sampled_from([2.0**-7, 2.0**9]),
)
@settings(max_examples=150, deadline=None)
def test_any_run_can_be_judged_and_its_unit_does_not_matter(
    epochs: list[tuple[float | None, ...]], scale: float
) -> None:
    def facts(factor: float) -> list[Event]:
        return [
            {
                "moment": "on_epoch_end",
                "epoch": epoch,
                "train_loss": None if train is None else factor * train,
                "val_loss": None if val is None else factor * val,
                "metrics": {"train": {"grad_norm": None if norm is None else factor * norm}},
                "lr": rate,
            }
            for epoch, (train, val, norm, rate) in enumerate(epochs)
        ]

    plain, scaled = (replay(facts(factor), DiagnosticsConfig()) for factor in (1.0, scale))
    kinds = [[finding["kind"] for finding in found] for found in plain]
    if not any(0.0 in losses for losses in epochs):  # which have no size
        assert kinds == [[finding["kind"] for finding in found] for found in scaled]
    assert all(len(set(found)) == len(found) and set(found) <= set(KINDS) for found in kinds)
    texts = " ".join(finding[key] for found in plain for finding in found for key in finding)
    assert not re.search(r"\b(nan|inf)\b", texts)


@pytest.mark.parametrize("case", ["overfitting", "a short warmup", "exploding", "plateau"])
@pytest.mark.parametrize("epoch", [7, 33, 58])
def test_a_run_that_goes_on_is_judged_as_if_it_had_never_stopped(case: str, epoch: int) -> None:
    events = events_of(CASES[case]["curves"])
    whole = replay(events, DiagnosticsConfig())
    resume = {"moment": "on_resume", "epoch": epoch, "run_dir": None, "meta": {}}
    # Two epochs more were done before the run was killed, and are done again.
    again = [*events[: epoch + 2], resume, *events[epoch:]]
    assert replay(again, DiagnosticsConfig()) == whole
    taken_up = Diagnosis(DiagnosticsConfig())
    taken_up.take_up(events[:epoch])
    assert [taken_up.after(event) for event in events[epoch:]] == whole[epoch:]


def test_evidence_can_be_checked_by_hand() -> None:
    train = [1.0, 0.98, 0.96, 0.94, 0.92, 0.9]
    val = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    facts = [
        {"moment": "on_epoch_end", "epoch": epoch, "train_loss": one, "val_loss": other}
        for epoch, (one, other) in enumerate(zip(train, val, strict=True))
    ]
    (finding,) = replay(facts, DiagnosticsConfig())[-1]
    assert finding["kind"] == "overfitting"
    assert finding["evidence"] == (
        "epoch 6: validation - training loss grew from +0.02 (median of epochs 1-3) to +0.08 "
        "(epochs 4-6), limit 0.05"
    )


def test_what_is_not_finite_is_named_and_what_is_absent_is_not() -> None:
    facts = {"moment": "on_epoch_end", "epoch": 0, "val_loss": None}
    bad = ["val_loss", "metrics.train.grad_norm", "metrics.val.r2"]  # an R² may well be undefined
    (found,) = replay([facts | {"train_loss": math.inf, "nonfinite": bad}], DiagnosticsConfig())
    assert [one["evidence"] for one in found] == [
        "epoch 1: training loss and validation loss and gradient norm not finite"
    ]
    assert found[0]["advice"].startswith("begin again at a tenth of the rate: ")  # none was good
    assert replay([facts | {"train_loss": 0.5}], DiagnosticsConfig()) == [[]]
    assert replay([], DiagnosticsConfig()) == []


# What is to be done.


def last_advice(case: str, plan: Plan, at_end: str | None = None) -> dict[str, str]:
    diagnosis = Diagnosis(DiagnosticsConfig(), plan)
    found: dict[str, str] = {}
    for event in events_of(CASES[case]["curves"]):
        best = {"epoch": 20, "metric": "val_loss", "value": 0.1}
        found |= {one["kind"]: one["advice"] for one in diagnosis.after(event | {"best": best})}
    if at_end is not None:
        return {one["kind"]: one["advice"] for one in diagnosis.at_end(at_end)}
    return found


PLAN = Plan(
    run_dir="/a run/of Ada's",
    overrides=("loop=mlp", "+optimizer.lr=1", "trainer.epochs=60", "split.column=a b"),
    scheduler="warmup_cosine",
    lr=1e-3,
    max_grad_norm=None,
    num_epochs=60,
)
RESUME = """aam-train 'resume=/a run/of Ada'"'"'s'"""
ANEW = "aam-train loop=mlp"


@pytest.mark.parametrize(
    ("case", "command"),
    [
        ("not a number", f"{RESUME} optimizer.lr=0.0001"),
        ("exploding", f"{ANEW} trainer.epochs=60 'split.column=a b' optimizer.lr=0.0001"),
        ("a rate too low", f"{RESUME} optimizer.lr=0.01"),
        ("a rate too high", f"{ANEW} trainer.epochs=60 'split.column=a b' optimizer.lr=0.0001"),
        ("instability", f"{RESUME} optimizer.lr=0.0005"),
        ("plateau", f"{RESUME} optimizer.lr=0.00033"),
        ("worsening", f"{RESUME} optimizer.lr=0.00033"),
        ("gradient spikes", f"{RESUME} trainer.max_grad_norm=0.48"),
        ("overfitting", f"{ANEW} +optimizer.lr=1 'split.column=a b' trainer.epochs=39"),
        ("a short warmup", f"{ANEW} trainer.epochs=60 'split.column=a b' optimizer.lr=0.0005"),
    ],
)
def test_an_advice_ends_with_a_command_and_a_number_of_this_run(case: str, command: str) -> None:
    for advice in last_advice(case, PLAN).values():
        reason, mark, words = advice.partition(": aam-train ")
        assert reason
        assert mark[2:] + words == command


def test_a_run_without_a_folder_is_started_anew() -> None:
    meta = {"command": "/bin/aam-train loop=mlp 'resume=/x' optimizer.lr=1e-3", "lr": 1e-3}
    advice = last_advice("instability", Plan.of(None, meta))["instability"]
    assert advice.endswith(": aam-train loop=mlp optimizer.lr=0.0005")
    foreign = Plan.of(None, {"command": "python 'my script.py", "lr": "fast", "num_epochs": 3.5})
    assert foreign == Plan()
    # Where no rate is known, the facts' own is as near as can be.
    assert last_advice("instability", foreign)["instability"].endswith("optimizer.lr=0.00049")


def test_the_folder_of_a_run_says_how_it_was_started(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(["loop=mlp"]), tmp_path / ".hydra" / "overrides.yaml")
    choices = OmegaConf.create({"hydra": {"runtime": {"choices": {"scheduler": "constant"}}}})
    OmegaConf.save(choices, tmp_path / ".hydra" / "hydra.yaml")
    meta = {"command": "aam-train --multirun loop=mlp,probe", "num_epochs": 9}
    plan = Plan.of(tmp_path, meta)
    assert (plan.overrides, plan.scheduler, plan.num_epochs) == (("loop=mlp",), "constant", 9)
    assert plan.run_dir == str(tmp_path)
    assert plan.is_per_update
    OmegaConf.save({"scheduler": {"per": "epoch"}}, tmp_path / ".hydra" / "config.yaml")
    assert not Plan.of(tmp_path, meta).is_per_update


@pytest.mark.parametrize(
    ("why", "needed"),
    [
        ("epochs", "trainer.epochs=90"),
        ("patience", "early_stopping.patience=49"),  # the best was 39 epochs ago
        ("minutes", "trainer.max_minutes=null"),
    ],
)
def test_a_run_that_is_over_is_told_what_makes_it_go_on(why: str, needed: str) -> None:
    advice = last_advice("instability", PLAN, at_end=why)
    assert advice == {
        "instability": f"go on at half the rate: {RESUME} optimizer.lr=0.0005 {needed}"
    }
    assert Diagnosis(DiagnosticsConfig()).at_end(why) == []


def test_advice_knows_of_clipping_and_of_a_warmup_that_may_be_longer() -> None:
    clipped = Plan(run_dir="/r", lr=1e-3, max_grad_norm=0.2)
    assert last_advice("gradient spikes", clipped)["gradient_spikes"] == (
        "clipped at 0.2 already; go on at half the rate: aam-train resume=/r optimizer.lr=0.0005"
    )
    long = Plan(run_dir="/r", scheduler="constant", lr=1e-3, num_epochs=600)
    assert last_advice("a short warmup", long)["short_warmup"] == (
        "start anew and warm up longer: aam-train scheduler.warmup_steps=216"
    )
    by_epochs = replace(long, is_per_update=False)
    assert "at half the rate" in last_advice("a short warmup", by_epochs)["short_warmup"]


# The numbers.


def test_rolling_std_is_that_of_the_population() -> None:
    values = [0.3, 0.9, 0.5, 0.4]
    rolling = rolling_std(values, 3)
    assert np.isnan(rolling[:2]).all()
    np.testing.assert_allclose(rolling[2:], [np.std(values[:3]), np.std(values[1:])])
    assert rolling_std([0.0, 1e300], 2)[1] == 5e299  # its square is more than a float holds


def test_scatter_goes_up_and_down() -> None:
    assert is_unstable([0.5, 0.9, 0.4], 0.1)
    assert not is_unstable([0.9, 0.6, 0.2], 0.1)
    assert not is_unstable([0.5, 0.49, 0.9], 0.1)
    assert not is_unstable([0.5, math.nan, 0.4], 0.1)


def test_noise_is_that_about_a_trend() -> None:
    values = np.random.default_rng(2).normal(0, 0.3, 5_000) + np.arange(5_000)
    assert noise(list(values)) == pytest.approx(0.3, rel=0.05)
    assert noise([1.0, 2.0]) == 0.0


def test_thresholds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match=r"logging\.diagnostics\.std_epochs=1 must be at least 2"):
        DiagnosticsConfig(std_epochs=1)
