"""A search for good settings by Optuna: ``aam-train --multirun hydra/sweeper=optuna …``.

Any number of processes, on any machines that see the folder of the search, work on it: each asks
for a trial, trains it, and tells how it ended (``aam.search.study``).
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict

from aam.composing.compose import quoted
from aam.config import SearchConfig
from aam.errors import EXIT_NOTHING_TO_RESUME
from aam.search.space import read_space
from aam.search.study import Study
from aam.search.watch import Watch

if TYPE_CHECKING:
    import optuna
    from hydra.plugins.launcher import Launcher


def search(
    config: DictConfig,
    settings: Mapping[str, Any],
    arguments: list[str],
    *,
    launcher: "Launcher",
    go_on: Callable[[Path], int],
) -> None:
    """Ask, train and tell until the search has as many trials as it shall have.

    ``go_on`` takes up a run that was interrupted and gives the exit code.

    Raises
    ------
    UserError
        If a setting is wrong, nothing is varied, or the folder holds another search.
    SystemExit
        If a run was interrupted; its trial is put back.
    """
    wanted, space = SearchConfig(**settings), read_space(arguments)
    folder = Path(config.hydra.sweep.dir)
    metric = str(config.optimized_metric or config.early_stopping.best_metric)
    with Study(folder, space, wanted, metric) as study:
        if not (folder / "multirun.yaml").exists():
            OmegaConf.save(config, folder / "multirun.yaml")
        while (trial := study.ask()) is not None:
            begun = trial.user_attrs.get("run")
            name = begun or _name(config, trial.number)
            trial.set_user_attr("run", name)
            try:
                with Watch(trial, folder / name, metric):
                    if begun:
                        _take_up(folder / name, config, go_on)
                    else:
                        place = f"hydra.sweep.subdir={quoted(name)}"
                        _start(trial, [*space.fixed, place], launcher)
            except Exception:
                study.tell(trial.number, folder / name)
                raise
            except BaseException:
                study.put_back(trial.number)
                raise
            study.tell(trial.number, folder / name)
        print(f"\n{study.told()}", flush=True)


def _start(trial: "optuna.Trial", overrides: list[str], launcher: "Launcher") -> None:
    settings = [f"{key}={value}" for key, value in trial.params.items()]
    (job,) = launcher.launch([[*overrides, *settings]], initial_job_idx=trial.number)
    _ = job.return_value  # raises what Hydra or a launcher failed by


def _take_up(run_dir: Path, config: DictConfig, go_on: Callable[[Path], int]) -> None:
    """Go on with the settings that the run was started with."""
    print(f"\nGoing on with {run_dir}", flush=True)
    code = go_on(run_dir)
    if code in (config.checkpoint.exit_code, EXIT_NOTHING_TO_RESUME):
        raise SystemExit(code)


def _name(config: DictConfig, number: int) -> str:
    """The run folder of a trial: by its number, which no other process has too."""
    of_trial = deepcopy(config)
    OmegaConf.set_readonly(of_trial.hydra, False)
    with open_dict(of_trial):
        of_trial.hydra.job.num = number
    return str(of_trial.hydra.sweep.subdir)
