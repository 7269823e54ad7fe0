"""A command line that trains: one run, a sweep, or a run that goes on."""

import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from aam.cli.composing import FULL_ERROR, as_config, through_hydra
from aam.cli.live_page import LivePage
from aam.cli.logs import console, train_log
from aam.cli.outcome import EXIT_NOTHING_TO_RESUME, attempt
from aam.cli.resume import find_run, is_resume, note
from aam.config import Config
from aam.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USER_ERROR
from aam.loops import find_loop
from aam.loops.run import Run
from aam.training.signals import stopped_by_signals

_log = logging.getLogger(__name__)


def launch(arguments: Sequence[str]) -> int:
    """Train as the arguments say; returns the exit code."""
    # Before torch is loaded: threads that wait by spinning make a small model several times slower
    # where others use the cores too.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    codes: list[int] = []
    page = LivePage()

    def job(config: DictConfig) -> None:
        codes.append(_job(config, page))

    with console(tracebacks=os.environ.get(FULL_ERROR) == "1"), stopped_by_signals():
        if is_resume(arguments):
            return attempt(lambda: codes.append(_resume(arguments, page)), arguments) or codes[0]
        code = attempt(lambda: through_hydra(job), arguments)
        num_failed = sum(one != EXIT_OK for one in codes)
        if num_failed and len(codes) > 1:
            _log.error("%d of the %d jobs of the sweep failed", num_failed, len(codes))
    return next((one for one in [code, *codes] if one != EXIT_OK), EXIT_OK)


def _job(composed: DictConfig, page: LivePage) -> int:
    """One run that Hydra has composed and made a folder for."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    is_sweep = not OmegaConf.is_missing(hydra.job, "num")
    run_dir = Path(hydra.runtime.output_dir) if composed.logging.save_artifacts else None
    if is_sweep:
        print(f"\nJob {hydra.job.num} of the sweep: {' '.join(overrides)}", flush=True)
    with train_log(run_dir):
        _log.info("%s", shlex.join(["aam-train", *overrides]))
        if composed.monitor and run_dir is not None:
            page.show(Path(hydra.sweep.dir) if is_sweep else run_dir)
        code = attempt(
            lambda: _train(as_config(composed), Run(run_dir=run_dir)), overrides, run_dir
        )
    if code in (EXIT_INTERRUPTED, EXIT_NOTHING_TO_RESUME):
        raise SystemExit(code)  # past Hydra, which would go on with the next job of a sweep
    return code


def _resume(arguments: Sequence[str], page: LivePage) -> int:
    config, run_dir, changes = find_run(arguments)
    noted = note(run_dir, changes) if changes else None
    with train_log(run_dir):
        _log.info("%s", shlex.join(["aam-train", *arguments]))
        # The page of the start may be open still: another one only where it is asked for now.
        if config.monitor and any(change.startswith("monitor=") for change in changes):
            page.show(run_dir)
        code = attempt(
            lambda: _train(config, Run(run_dir=run_dir, resume=True)), arguments, run_dir
        )
    if noted is not None and code == EXIT_USER_ERROR:
        noted.unlink()  # refused: nothing was changed
    return code


def _train(config: Config, run: Run) -> None:
    find_loop(config.loop.name)(config, run)
