"""A command line of ``aam-submit`` → jobs that ``aam-train`` will take, and their folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from aam.composing.compose import VERSION_BASE, as_config, register
from aam.composing.config_files import config_dir
from aam.composing.explain import explain
from aam.config import Config, SubmitConfig
from aam.errors import EXIT_INTERRUPTED, UserError
from aam.submit.sweep import expand

_OURS = ("hydra.run.dir", "hydra.sweep", "hydra/sweeper", "hydra.launcher", "hydra/launcher")


@dataclass(frozen=True)
class PlannedJob:
    """A job that ``aam-train`` will take."""

    overrides: list[str]
    config: Config
    folder: Path
    """That of the sweep, as the configuration names it."""
    run_name: str
    """``run_…_job003``."""


@dataclass(frozen=True)
class Plan:
    """What is to be submitted."""

    folder: Path
    """The name that it would like; it is made later."""
    settings: SubmitConfig
    jobs: list[PlannedJob]


def plan(words: Sequence[str]) -> Plan:
    """Expand, compose and check every job. Nothing is written.

    Raises
    ------
    UserError
        If one is wrong, with the sentence that ``aam-train`` would say.
    """
    _refuse_others(words)
    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        try:
            sweep = expand(words)
        except HydraException as error:
            raise UserError(explain(error, words)) from None
        jobs = [_planned(number, overrides) for number, overrides in enumerate(sweep)]
    return Plan(jobs[0].folder, _settings([job.config.submit for job in jobs]), jobs)


def _refuse_others(words: Sequence[str]) -> None:
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if word.startswith("-"):
            raise UserError(
                f"aam-submit takes no {word}: leave it out; values with commas between make a job "
                "each"
            )
        if key == "resume":
            raise UserError(
                "aam-submit starts runs; to go on with those of a sweep: aam-submit requeue EXP"
            )
        if key.startswith(_OURS):
            raise UserError(f"aam-submit chooses {key} by itself: leave it out")


def _planned(number: int, overrides: Sequence[str]) -> PlannedJob:
    try:
        composed = _composed(number, overrides)
        config = as_config(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides)) from None
    if not config.logging.save_artifacts:
        raise UserError(
            "a job with logging.save_artifacts=false would leave nothing behind: leave it out"
        )
    if config.preflight:
        raise UserError("preflight=true prints what it sees: give it to aam-train")
    if config.checkpoint.exit_code != EXIT_INTERRUPTED:
        raise UserError(
            f"checkpoint.exit_code={config.checkpoint.exit_code} is not what schedulers are told "
            f"of, which is {EXIT_INTERRUPTED}: leave it out"
        )
    names = composed.hydra.sweep
    return PlannedJob(list(overrides), config, Path(names.dir).absolute(), str(names.subdir))


def _composed(number: int, overrides: Sequence[str]) -> DictConfig:
    given = [*overrides, f"hydra.job.num={number}"]
    return compose("config", overrides=given, return_hydra_config=True)


def _settings(of_jobs: Sequence[SubmitConfig]) -> SubmitConfig:
    for other in of_jobs[1:]:
        if other != of_jobs[0]:
            raise UserError(
                "env= and submit.* must be the same for all jobs of a sweep: submit one sweep for "
                "each of them"
            )
    return of_jobs[0]
