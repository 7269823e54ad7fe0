"""A look at a run before it: what is said, what is advised, and that nothing is left behind."""

from pathlib import Path
from typing import Any

import pytest

from aam.composing.config_files import config_dir
from aam.config import (
    Config,
    ForestConfig,
    LoopConfig,
    MlpConfig,
    ModelConfig,
    PretrainConfig,
    TrainerConfig,
)
from aam.errors import UserError
from aam.loops.preflight import Report, preflight
from aam.loops.preflight_steps import timed
from aam.loops.pretrain import prepare
from aam.loops.run import Run

from .supervised_runs import SHAPE, finetuning, make_config

EXPERIMENTS = sorted((config_dir() / "experiment").glob("*.yaml"))
# Of an experiment, what makes a step dear.
SMALLEST = ("model.dim=16", "model.num_heads=2", "model.nucleotide_layers=1", "model.patch_size=25")
CHEAP = (*SMALLEST, "model.sample_layers=1", "loop.min_updates=2", "trainer.num_threads=1")


def looked(loop: LoopConfig, **changes: Any) -> Report:
    return preflight(make_config(loop, **changes))


def said(report: Report) -> dict[str, dict[str, str]]:
    return {title: {name.strip(): value for name, value in rows} for title, rows in report.sections}


def advised(report: Report) -> list[str]:
    return [one.override for one in report.advice]


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("nothing_left")
def test_a_pretraining_is_measured_and_nothing_is_written():
    loop = PretrainConfig(min_updates=7)
    report = looked(loop, epochs=3, data={"target": None, "batch_size": 16})
    told = said(report)
    assert list(told) == ["Data", "Batches", "Model", "Memory, GiB", "Time", "Disk"]
    assert told["Data"]["samples"] == "160"
    assert told["Data"]["in each part"] == "train 112, val 24, test 24"
    assert told["Data"]["bases a read"] == "150"
    assert told["Batches"]["updates an epoch"] == "7"
    assert told["Batches"]["tokens an ASV"] == "16"
    numbers = [int(number.replace(",", "")) for number in told["Model"].values()]
    assert numbers[0] == sum(numbers[1:]) > 1000
    assert told["Memory, GiB"]["computed again"] == "none"
    assert "3 epochs" in told["Time"]["the run"]
    assert not report.advice


@pytest.mark.usefixtures("nothing_left")
def test_an_update_is_of_all_the_batches_that_it_adds_up():
    trainer = TrainerConfig(epochs=1, device="cpu", num_threads=1, accumulate=3)
    data = {"target": None, "batch_size": 16}
    config = make_config(PretrainConfig(min_updates=7), data=data, trainer=trainer)
    made = prepare(config, Run(run_dir=None))
    assert made.updates_an_epoch == 3
    assert timed(made).samples == 48


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("loop", [finetuning(), MlpConfig(min_updates=2)])
def test_supervised_loops_too(loop):
    told = said(looked(loop))
    assert told["Data"]["samples"] == "160"
    assert int(told["Model"]["parameters"].replace(",", "")) > 1000
    assert told["Time"]["validation"] != "none"


@pytest.mark.usefixtures("nothing_left")
def test_a_loop_without_updates_tells_of_its_data():
    told = said(looked(ForestConfig()))
    assert list(told) == ["Data", "Training"]
    assert told["Training"]["loop=random_forest"].startswith("has no updates")


@pytest.mark.parametrize(
    ("changes", "override"),
    [
        ({"data": {"group_column": None}}, "data.group_column=subject"),
        ({"data": {"token_limit": 50}}, "data.token_limit="),
        ({"data": {"batch_size": 100}}, "data.batch_size=32"),
        ({"data": {"batch_size": 500}}, "data.batch_size=32"),
        ({"model": ModelConfig(**SHAPE | {"patch_size": 9})}, "model.patch_size=10"),
        ({"model": ModelConfig(**SHAPE | {"dim": 256})}, "model=small"),
    ],
)
def test_what_should_be_set_otherwise_is_an_override(changes, override):
    data = {"target": None, "batch_size": 16} | changes.pop("data", {})
    report = looked(PretrainConfig(min_updates=2), data=data, **changes)
    (found,) = advised(report)
    assert found.startswith(override)


def test_a_network_without_an_encoder_gets_no_advice_on_its_shape(monkeypatch):
    advice = "aam.loops.preflight_advice"
    monkeypatch.setattr(f"{advice}.machine_gib", lambda device: 0.1)
    monkeypatch.setattr(f"{advice}._LONG_S", 1e-6)
    monkeypatch.setattr(f"{advice}._WEIGHTS_A_SAMPLE", 0)
    report = looked(MlpConfig(min_updates=2), model=ModelConfig(patch_size=1))
    assert not [one for one in advised(report) if one.startswith(("model", "trainer.memory"))]
    assert "trainer.max_minutes=1440" in advised(report)


@pytest.mark.parametrize(
    ("seen", "override"),
    [
        ({"machine_gib": 0.1}, "trainer.memory_gib=0.1"),
        ({"epoch": 200_000.0}, "trainer.max_minutes=1440"),
    ],
)
def test_limits_of_the_machine_and_of_patience(monkeypatch, seen, override):
    advice = "aam.loops.preflight_advice"
    if "machine_gib" in seen:
        monkeypatch.setattr(f"{advice}.machine_gib", lambda device: seen["machine_gib"])
    if "epoch" in seen:
        monkeypatch.setattr(f"{advice}._LONG_S", 1e-6)
    report = looked(PretrainConfig(min_updates=2), data={"target": None, "batch_size": 16})
    assert override in advised(report)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr("aam.loops.preflight.num_ranks", lambda: 2)
    with pytest.raises(UserError, match="without torchrun"):
        looked(PretrainConfig(), data={"target": None})


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_composes_and_runs_a_step(path: Path):
    config = composed(f"experiment={path.stem}", "data=demo", *CHEAP)
    told = said(preflight(config))
    assert told["Batches"]["samples a batch"] == str(min(config.data.batch_size, 112))


def composed(*overrides: str) -> Config:
    from hydra import compose, initialize_config_dir

    from aam.composing.compose import VERSION_BASE, as_config, register

    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        return as_config(compose("config", overrides=list(overrides)))
