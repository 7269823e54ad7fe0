"""One run of a command, from its settings to its exit code."""

import logging
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from aam.cli.live_page import LivePage
from aam.cli.logs import console, train_log
from aam.cli.outcome import attempt
from aam.cli.printing import show
from aam.cli.resume import note, taken_up
from aam.composing.compose import as_config
from aam.config import Config
from aam.errors import EXIT_NOTHING_TO_RESUME, EXIT_USER_ERROR, UserError
from aam.facts.reader import at_best, read_events
from aam.loops import find_loop
from aam.loops.run import Run
from aam.training.ranks import rank
from aam.training.signals import stopped_by_signals

_log = logging.getLogger(__name__)


class Jobs:
    """What Hydra calls for each run. A launcher may call a copy of it in another process."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        """Exit codes of the runs that were made in this process."""
        self.page = LivePage()
        self._home = os.getpid()

    def __call__(self, composed: DictConfig) -> float | None:
        """Train; returns the optimized metric, None where the run has none, such as a failed one.

        Raises
        ------
        SystemExit
            If the run was interrupted: past Hydra, which would go on with the next job of a sweep.
        """
        if os.getpid() != self._home:
            with console(tracebacks=False), stopped_by_signals():
                return _run(composed, self.page, is_alone=False)[1]
        code, value = _run(composed, self.page, is_alone=True)
        self.codes.append(code)
        if code in (composed.checkpoint.exit_code, EXIT_NOTHING_TO_RESUME):
            raise SystemExit(code)
        return value


def resume(arguments: Sequence[str], page: LivePage) -> int:
    """Go on with a run; returns the exit code."""
    config, run_dir, changes = taken_up(arguments)
    if rank() > 0:
        run = Run(run_dir=None, resume=True)
        code = config.checkpoint.exit_code
        return attempt(lambda: _train(config, run), arguments, None, code, is_training=True)
    noted = note(run_dir, changes) if changes else None
    with train_log(run_dir):
        _log.info("%s", shlex.join(["aam-train", *arguments]))
        # The page of the start may be open still: another one only where it is asked for now.
        if config.monitor and any(change.startswith("monitor=") for change in changes):
            page.show(run_dir)
        code = attempt(
            lambda: _train(config, Run(run_dir=run_dir, resume=True)),
            arguments,
            run_dir,
            config.checkpoint.exit_code,
            is_training=True,
        )
    if noted is not None and code == EXIT_USER_ERROR:
        noted.unlink()  # refused: nothing was changed
    return code


def _run(composed: DictConfig, page: LivePage, *, is_alone: bool) -> tuple[int, float | None]:
    """One run that Hydra has composed and made a folder for: exit code, optimized metric."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    is_sweep = not OmegaConf.is_missing(hydra.job, "num")
    is_kept = composed.logging.save_artifacts and not composed.preflight and rank() == 0
    run_dir = Path(hydra.runtime.output_dir) if is_kept else None
    if is_sweep:
        print(f"\nJob {hydra.job.num} of the sweep: {' '.join(overrides)}", flush=True)
    values: list[float | None] = []

    def train() -> None:
        config = as_config(composed)
        config.logging.console &= is_alone  # lines of several runs at once are read by nobody
        _train(config, Run(run_dir=run_dir))
        if run_dir is not None:
            with suppress(UserError):  # a loop that tells no facts has no metric
                values.append(at_best(read_events(run_dir), config.optimized_metric))

    with train_log(run_dir):
        _log.info("%s", shlex.join(["aam-train", *overrides]))
        if composed.monitor and run_dir is not None:
            page.show(Path(hydra.sweep.dir) if is_sweep else run_dir)
        interrupted = composed.checkpoint.exit_code
        code = attempt(train, overrides, run_dir, interrupted, is_training=True)
    return code, values[0] if values else None


def _train(config: Config, run: Run) -> None:
    from aam.training.distributed import joined

    with joined(config.trainer, partial(_tell, run.run_dir)):
        if config.preflight:
            _look(config)
        else:
            find_loop(config.loop.name)(config, run)


def _look(config: Config) -> None:
    from aam.cli.preflight_text import preflight_text
    from aam.loops.preflight import preflight

    show(preflight_text(preflight(config)))


def _tell(run_dir: Path | None, error: Exception) -> None:
    """Log what cannot be raised."""

    def fail() -> None:
        raise error

    attempt(fail, [], run_dir)
