"""Every YAML file composes, fits the dataclasses, and makes what it names."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from aam.cli.composing import VERSION_BASE, as_config, register
from aam.cli.config_files import config_dir, groups
from aam.config import Config, FamilyConfig
from aam.monitoring.plan import FAMILY_NAMES
from aam.training.optim import Schedule, build_optimizer

FILES = sorted(config_dir().rglob("*.yaml"))


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        yield


def composed(*overrides: str) -> Config:
    return as_config(compose("config", overrides=list(overrides)))


def command(path: Path) -> str:
    """The command in the first comment of a file, which may stand after its package line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    return first.removeprefix("# ").partition("   ")[0]


def test_the_defaults_of_yaml_and_dataclasses_are_one():
    config, plain = composed(), Config()
    assert config.trainer.max_grad_norm == 1.0  # of loop=pretrain
    assert config.logging.families == dict.fromkeys(FAMILY_NAMES, FamilyConfig())
    assert (
        replace(
            config,
            optimizer={},
            scheduler={},
            trainer=replace(config.trainer, max_grad_norm=None),
            logging=replace(config.logging, families={}),
        )
        == plain
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_starts_with_a_command_that_works(path):
    program, *arguments = shlex.split(command(path))
    assert program == "aam-train"
    if path.parent == config_dir():
        return
    group, choice = path.parent.name, path.stem
    assert f"{group}={choice}" in arguments
    section = getattr(composed(*arguments), group, None)
    assert getattr(section, "name", choice) == choice


@pytest.mark.parametrize("optimizer", groups()["optimizer"])
@pytest.mark.parametrize("scheduler", groups()["scheduler"])
def test_every_optimizer_and_scheduler_is_made_and_goes_through_a_run(optimizer, scheduler):
    config = composed(f"optimizer={optimizer}", f"scheduler={scheduler}")
    model = torch.nn.Linear(2, 1)
    made = build_optimizer(config.optimizer, model)
    schedule = Schedule(config.scheduler, made, num_updates=40, num_epochs=4)
    rates = []
    for epoch in range(4):
        for _ in range(10):
            model(torch.ones(1, 2)).sum().backward()
            rates.append(made.param_groups[0]["lr"])
            made.step()
            schedule.after_update()
        schedule.after_epoch(1.0 + epoch)
    assert max(rates) == pytest.approx(config.optimizer["lr"])
    if scheduler not in ("constant", "plateau"):
        assert rates[-1] < 0.1 * max(rates)
