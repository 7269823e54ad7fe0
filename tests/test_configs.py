"""Every YAML file composes, fits the dataclasses, and makes what it names."""

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf.errors import OmegaConfBaseException

from aam.composing.compose import VERSION_BASE, as_config, register
from aam.composing.config_files import config_dir, groups, plot_families
from aam.config import Config, FamilyConfig
from aam.errors import UserError
from aam.monitoring.plan import FAMILY_NAMES
from aam.training.optimizers import build_optimizer
from aam.training.scheduling import Schedule

CLUSTERS = ("htcondor", "slurm", "stoomboot")
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


def flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and key not in ("optimizer", "scheduler", "families"):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.batch_size=1", "must be at least 2"),
        ("data.token_limit=0", "must be at least 1"),
        ("data.rarefaction_depth=-5", "must be at least 1"),
        ("data.unifrac_alpha=7.0", r"must lie in \[0, 1\]"),
        ("data.min_prevalence=-1", "must be at least 0"),
        ("model.patch_size=0", "must be at least 1"),
        ("checkpoint.every_minutes=0", "must be above 0"),
        ("checkpoint.exit_code=2", "a number from 3 to 255 that says nothing else, as 130 does"),
        ("checkpoint.exit_code=130", "choose another"),
        ("checkpoint.exit_code=256", "from 3 to 255"),
        ("model.num_heads=0", "must be at least 1"),
        ("model.asv_chunk_size=0", "must be at least 1"),
        ("model.sample_dropout=2.0", r"must lie in \[0, 1\)"),
        ("model.activation_checkpointing=layers", "did you mean layer?"),
        ("loop.nuc_weight=nan", "must be at least 0"),
        ("loop.unifrac_weight=0.0", "must be above 0"),
        ("loop.mask_fraction=0.0", r"must lie in \(0, 1\]"),
        ("trainer.max_grad_norm=-1.0", "must be above 0"),
        ("trainer.max_minutes=-1.0", "must be above 0"),
        ("trainer.num_threads=0", "must be at least 1"),
        ("trainer.seed=99999999999999999999", "must be below 2\\^63"),
        ("early_stopping.patience=-3", "must be at least 1"),
        ("logging.every_epochs=0", "must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_named(setting, said):
    key = setting.partition("=")[0].replace(".", r"\.")
    with pytest.raises((UserError, OmegaConfBaseException), match=f"{key}=.*{said}"):
        composed(setting)


def test_where_the_default_choices_differ_from_the_dataclasses():
    plain = dict(flat(asdict(Config())))
    config = dict(flat(asdict(composed())))
    assert config.keys() == plain.keys()
    assert {key for key in plain if config[key] != plain[key]} == {
        "optimizer",
        "scheduler",
        "logging.families",
        "data.group_column",  # of data=demo
        "trainer.epochs",  # of data=demo
        "trainer.num_threads",  # of data=demo
        "trainer.max_grad_norm",  # of loop=pretrain
    }
    assert composed().logging.families == dict.fromkeys(FAMILY_NAMES, FamilyConfig())
    assert sorted(plot_families()) == list(FAMILY_NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_starts_with_a_command_that_works(path, one_job):
    program, *arguments = shlex.split(command(path))
    assert program == ("aam-submit" if path.stem in CLUSTERS else "aam-train")
    if path.parent == config_dir():
        return
    group, choice = path.relative_to(config_dir()).parent.as_posix(), path.stem
    assert f"{group}={choice}" in arguments
    section = getattr(composed(*one_job(arguments)), group, None)
    assert getattr(section, "name", choice) == choice  # data and loop have names


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    # One that moves momentum and betas too, with every optimizer that a schedule may move.
    [(one, "onecycle") for one in groups()["optimizer"] if one != "schedule_free"]
    + [("adamw", one) for one in groups()["scheduler"] if one != "onecycle"]
    + [("schedule_free", "constant")],
)
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
        assert rates[-1] < 0.2 * max(rates)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("scheduler=cosine scheduler.eta_min=abc", "scheduler.eta_min=abc must be a number of"),
        ("scheduler=cosine scheduler.eta_min=0.1", "scheduler.eta_min=0.1 .* above optimizer.lr"),
        ("scheduler=polynomial scheduler.power=-1", "scheduler.power=-1 must be a number of"),
        ("scheduler=plateau scheduler.factor=2", r"scheduler.factor=2 must lie in \[0, 1\]"),
        ("optimizer=muon optimizer.momentum=high", "optimizer.momentum=high must be a number"),
        ("scheduler=plateau scheduler.min_lr=low", "scheduler.min_lr=low must be a number of"),
        ("optimizer=schedule_free", "ScheduleFreeAdamW averages .* add scheduler=constant"),
    ],
)
def test_what_no_optimizer_and_no_schedule_takes_is_refused_before_a_run_is_made(
    overrides, sentence
):
    with pytest.raises(UserError, match=sentence):
        composed(*overrides.split())


def test_lists_are_left_to_the_class():
    adafactor = (
        "optimizer=adamw",
        "optimizer._target_=torch.optim.Adafactor",
        "optimizer.eps=[null,1e-3]",
    )
    config = composed(*adafactor, "~optimizer.betas", "scheduler=plateau", "scheduler.min_lr=[0,0]")
    made = build_optimizer(config.optimizer, torch.nn.Linear(2, 1))
    assert made.defaults["eps"] == [None, 1e-3]
    schedule = Schedule(config.scheduler, made, num_updates=40, num_epochs=4)
    assert schedule.scheduler.min_lrs == [0, 0]
