"""The search for a learning rate: its rule on made-up curves, and real searches."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.config import Config, LrFindConfig, MlpConfig
from aam.errors import UserError
from aam.facts.schema import validate
from aam.facts.tables import numbers, read_tsv
from aam.loops.lr_curve import Explosion, Rates, rates_of, smoothed
from aam.training.task import StepOutput

from .supervised_runs import SHAPE, do, make_config

LR = np.geomspace(1e-5, 1.0, 51)  # ten updates a decade


def searching(**loop: Any) -> LrFindConfig:
    return LrFindConfig(**{"num_updates": 60, "min_lr": 1e-5, **loop})


def config_of(loop: LrFindConfig, **changes: Any) -> Config:
    return make_config(loop, **{"data": {"target": None, "group_column": None}, **changes})


def judged(loss: Any, smoothing: float = 0.0) -> Rates | None:
    loss = np.asarray(loss, dtype=float)
    return rates_of(LR[: len(loss)], loss, smoothed(loss, smoothing, 4.0))


def valley(fall: float = 20.0, rise: float = 40.0) -> np.ndarray:
    """A smooth fall, steepest at update ``fall``, and a rise from ``rise`` on."""
    place = np.arange(51)
    return 1 / (1 + np.exp(place - fall)) + 0.2 + 0.05 * np.maximum(place - rise, 0)


def test_the_suggestion_is_halfway_between_the_steepest_and_the_lowest() -> None:
    rates = judged(valley())
    assert rates is not None
    assert (rates.steepest, rates.lowest) == (LR[20], LR[40])
    assert rates.suggested == pytest.approx(LR[30])  # ten updates a decade: 1e-2
    assert rates.tenth == pytest.approx(LR[30])
    assert not rates.is_falling
    still_falling = judged(valley()[:31])
    assert still_falling is not None
    assert still_falling.is_falling


@settings(deadline=None)
@given(scale=st.floats(1e-6, 1e6), shift=st.integers(12, 30), seed=st.integers(0, 50))
def test_the_unit_of_the_loss_does_not_matter(scale: float, shift: int, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.02, 51)
    loss = valley(shift) + noise
    assert judged(scale * loss, 0.8) == judged(loss, 0.8)


def test_no_rate_is_read_into_noise() -> None:
    for seed in range(200):
        noise = np.random.default_rng(seed).random(51)
        assert judged(1 + 0.1 * noise, 0.8) is None
        assert judged(np.linspace(1, 2, 51) + 0.01 * noise, 0.8) is None  # it only rises


@pytest.mark.parametrize("num_updates", [0, 1, 4])
def test_too_few_updates_make_no_curve(num_updates: int) -> None:
    assert judged(np.linspace(1, 0.5, num_updates)) is None


def test_an_explosion_ends_the_search_and_lifts_nothing_before_it() -> None:
    explosion = Explosion(0.5, 4.0)
    assert not any(explosion.comes_with(loss) for loss in (8.0, 1.0, 1.0, 1.0, 3.0))
    assert explosion.comes_with(1e30)
    assert Explosion(0.5, 4.0).comes_with(math.nan)
    loss = valley()
    calm, exploded = (smoothed(np.append(loss, last), 0.8, 4.0) for last in (loss.min(), 1e30))
    assert (exploded - calm)[:41].max() < 0.01
    assert calm == pytest.approx(smoothed(np.append(loss, loss.min()), 0.8, 1e9))  # nor cut there


def test_the_smoothed_curve_does_not_lag() -> None:
    curve = smoothed(np.abs(np.arange(41) - 20.0) + 1, 0.8, 100.0)
    assert curve.argmin() == 20
    assert curve == pytest.approx(curve[::-1])


@pytest.mark.parametrize("smoothing", [0.0, 0.8, 0.999])
def test_the_smoothed_curve_is_the_mean_of_neighbours(smoothing: float) -> None:
    loss = np.random.default_rng(0).random(300) + 1
    weight = smoothing ** np.abs(np.subtract.outer(np.arange(300), np.arange(300)))
    expected = weight @ loss / weight.sum(axis=1)
    assert smoothed(loss, smoothing, 1e9) == pytest.approx(expected, rel=1e-12)
    assert len(smoothed(np.ones(200_000), smoothing, 4.0)) == 200_000  # of all pairs: 320 GB


def test_a_search_of_pretraining(tmp_path: Path) -> None:
    events = do(config_of(searching(settings={"min_updates": 4})), tmp_path)
    for event in events:
        validate(event)
    assert [event["moment"] for event in events] == ["on_start", "on_epoch_end", "on_train_end"]
    start, epoch, end = events
    assert start["meta"]["examined"] == "pretrain"
    assert epoch["metrics"] == end["metrics"]
    told = end["metrics"]["train"]
    assert end["lr"] == told["suggested_lr"]
    assert math.sqrt(10 * told["tenth_lr"] * told["steepest_lr"]) == pytest.approx(end["lr"])
    assert 1e-4 < end["lr"] < 0.1
    table = {
        name: np.array(numbers(cells))
        for name, cells in read_tsv(tmp_path / end["artifacts"]["lr_find"]).items()
    }
    assert list(table) == ["update", "lr", "loss", "smoothed"]
    assert len(table["lr"]) == end["step"] <= 60
    assert table["lr"] == pytest.approx(np.geomspace(1e-5, 10, 60)[: end["step"]])
    assert table["lr"][-1] == told["last_lr"]
    assert np.nanmin(table["smoothed"]) == end["train_loss"]
    assert not list(tmp_path.glob("*.pt"))


def test_a_search_of_fine_tuning(tmp_path: Path, encoder: str) -> None:
    config = config_of(
        searching(num_updates=50),
        pretrained=encoder,
        freeze="nucleotide",
        data={"target": "age", "group_column": "subject"},
        optimizer={"_target_": "torch.optim.SGD", "lr": 0.5},
    )
    start, _, end = do(config, tmp_path)
    assert start["meta"]["examined"] == "finetune"
    assert "pretrained" in start["meta"]["inputs"]
    assert end["step"] <= 50
    assert not list(tmp_path.glob("*.pt"))


def test_a_loss_that_is_not_finite_is_the_end(
    tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    from aam.loops.pretrain_task import PretrainTask

    step, losses = PretrainTask.step, []

    def breaking(task: PretrainTask, given: Any) -> StepOutput:
        losses.append(None)
        output = step(task, given)
        return replace(output, loss=output.loss * (math.inf if len(losses) == 3 else 1))

    monkeypatch.setattr(PretrainTask, "step", breaking)
    *_, end = do(config_of(searching()), tmp_path)
    assert (end["moment"], end["step"], end["lr"]) == ("on_train_end", 3, None)
    assert end["metrics"]["train"]["suggested_lr"] is None
    assert read_tsv(tmp_path / "predictions" / "lr_find.tsv")["loss"][-1] == ""
    assert "no learning rate is suggested: from loop.min_lr=1e-05 to" in caplog.text


def test_groups_keep_their_share_of_the_rate(
    monkeypatch: Any, tmp_path: Path, encoder: str
) -> None:
    from aam.loops import lr_find

    made, build = [], lr_find.build_optimizer
    monkeypatch.setattr(
        lr_find, "build_optimizer", lambda *given: made.append(build(*given)) or made[-1]
    )
    config = config_of(
        searching(num_updates=50, max_lr=1e-3, settings={"encoder_lr": 0.25}),
        pretrained=encoder,
        data={"target": "age", "group_column": "subject"},
    )
    do(config, tmp_path)
    rates = sorted({group["lr"] for group in made[0].param_groups})
    assert rates == pytest.approx([0.25e-3, 1e-3])


def test_settings_are_those_of_the_loop_that_is_examined() -> None:
    assert searching(of="mlp", settings={"hidden": 7}).examined(["age"]) == MlpConfig(hidden=7)
    assert config_of(searching()).of_examined(searching()).model.dim == SHAPE["dim"]
    for loop, changes, words in (
        ({"settings": {"los": "mse"}}, {}, "los is not one of .*min_updates"),
        ({"settings": {"mask_fraction": 7}}, {}, "loop.mask_fraction=7 must lie in"),
        ({"settings": {"mask_fraction": "x"}}, {}, "loop.settings=.* has a wrong value"),
        ({"of": "probe"}, {}, "loop.of=probe is not one of pretrain, finetune, mlp"),
        ({"of": "pretrain"}, {"data": {"target": "age"}}, "loop=pretrain reads no data.target"),
        ({"of": "finetune"}, {}, "loop=finetune predicts a metadata column"),
        ({"max_lr": 1e-6}, {}, "loop.max_lr=1e-06 must be above loop.min_lr=1e-05"),
        ({}, {"preflight": True}, "leave out loop=lr_find, or choose the loop"),
        ({"num_updates": 49}, {}, "loop.num_updates=49 must be at least 50"),
        ({"explosion": 1.0}, {}, "loop.explosion=1.0 must be above 1"),
    ):
        with pytest.raises(UserError, match=words):
            config_of(searching(**loop), **changes)
