"""Run folders: made before Hydra writes into them, and never shared by two runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from aam.composing.compose import PastHydraError, as_config, quoted
from aam.errors import UserError
from aam.facts.folders import new_folder
from aam.facts.settings import CONFIG
from aam.search import JOURNAL
from aam.training.ranks import is_launched, rank


@dataclass(frozen=True)
class Sweep:
    """A sweep that was started."""

    folder: Path
    is_here: bool
    """Whether its jobs run in this process."""


class RunFolders(Callback):
    """Hydra callback that makes the folder of a run or of a sweep.

    ``may_exist``: the folder of a run may be there already, as ``resume=auto`` has found it.
    """

    def __init__(self, may_exist: bool) -> None:
        self.may_exist = may_exist

    sweep: ClassVar[Sweep | None] = None
    """The one that this process has started."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the configuration, then make the run folder; none if nothing may be written.

        Of several processes that train together, the first makes it.
        """
        with _past_hydra():
            checked = as_config(config)
            if checked.logging.save_artifacts and not checked.preflight and rank() == 0:
                wanted = config.hydra.run.dir
                if not (self.may_exist and Path(wanted).is_dir()):
                    config.hydra.run.dir = str(_make(config, "hydra.run.dir", wanted))
            else:
                config.hydra.run.dir = os.curdir
                config.hydra.output_subdir = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Make the folder of a sweep, under which each job gets a folder by its number."""
        with _past_hydra():
            if not config.logging.save_artifacts:
                raise UserError(
                    "a sweep with logging.save_artifacts=false would leave nothing to compare: "
                    "leave out one of the two"
                )
            if config.preflight or _is_swept(config, "preflight"):
                raise UserError("preflight=true looks at one run: leave out --multirun")
            wanted = config.hydra.sweep.dir
            if is_launched():
                raise UserError(
                    "a sweep starts each of its jobs as one process: leave out torchrun, or start "
                    "each job by a torchrun of its own"
                )
            folder = str(_shared(config) or _make(config, "hydra.sweep.dir", wanted))
            launcher = str(config.hydra.launcher.get("_target_"))
            RunFolders.sweep = Sweep(Path(folder), is_here=launcher.endswith("BasicLauncher"))
            if folder != wanted:
                config.hydra.sweep.dir = folder
                # The configuration of each job is composed anew, from these.
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(folder)}")


def _shared(config: DictConfig) -> Path | None:
    """The given folder of a search (``aam.search.trials``), which others may have begun."""
    is_search = str(config.hydra.sweeper.get("_target_")).endswith("OptunaSweeper")
    if not is_search or not _is_given(config, "hydra.sweep.dir"):
        return None
    folder = Path(config.hydra.sweep.dir)
    if (folder / "multirun.yaml").exists() and not (folder / JOURNAL).exists():
        raise UserError(f"hydra.sweep.dir={folder} holds a sweep that is no search: give another")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_swept(config: DictConfig, key: str) -> bool:
    """Whether jobs of a sweep get values of their own for it."""
    given = [line.lstrip("+").lower() for line in config.hydra.overrides.task]
    return any(line.startswith(f"{key}=") and line != f"{key}=false" for line in given)


def _is_given(config: DictConfig, key: str) -> bool:
    return any(line.lstrip("+").startswith(f"{key}=") for line in config.hydra.overrides.hydra)


def _make(config: DictConfig, key: str, wanted: str) -> Path:
    """A folder that did not exist: the wanted one, or with ``-2`` … where its name was our idea."""
    path = Path(wanted)
    if not _is_given(config, key):
        return new_folder(path)
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        is_run = (path / CONFIG).is_file()
        go_on = f", or go on with the run in it by aam-train resume={path}" if is_run else ""
        raise UserError(f"{key}={path} exists already: choose another folder{go_on}") from None
    return path


@contextmanager
def _past_hydra() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PastHydraError(error) from error
