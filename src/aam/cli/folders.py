"""Run folders: made before Hydra writes into them, and never shared by two runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from aam.cli.composing import PastHydraError, as_config
from aam.errors import UserError


class RunFolders(Callback):
    """Hydra callback that makes the folder of a run or of a sweep."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the configuration, then make the run folder; none if nothing may be written."""
        with _past_hydra():
            if as_config(config).logging.save_artifacts:
                config.hydra.run.dir = str(_make(config, "hydra.run.dir", config.hydra.run.dir))
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
            folder = str(_make(config, "hydra.sweep.dir", config.hydra.sweep.dir))
            if folder != config.hydra.sweep.dir:
                config.hydra.sweep.dir = folder
                # The configuration of each job is composed anew, from these.
                quoted = folder.replace("\\", "\\\\").replace("'", "\\'")
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")


def _make(config: DictConfig, key: str, wanted: str) -> Path:
    """A folder that did not exist: the wanted one, or with ``-2`` … where its name was our idea."""
    path = Path(wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_given = any(line.lstrip("+").startswith(f"{key}=") for line in config.hydra.overrides.hydra)
    for number in count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            if is_given:
                raise UserError(
                    f"{key}={folder} exists already: choose another folder, or go on with the run "
                    f"in it by aam-train resume={folder}"
                ) from None
        else:
            return folder
    raise AssertionError("unreachable")


@contextmanager
def _past_hydra() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PastHydraError(error) from error
