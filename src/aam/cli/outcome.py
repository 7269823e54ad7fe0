"""How a command ends: one sentence and an exit code for whatever went wrong."""

import logging
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from aam.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_TO_RESUME,
    EXIT_OK,
    EXIT_USER_ERROR,
    NonFiniteError,
    RankLostError,
    StopAfterEpochError,
    StopRequestedError,
    SweepStoppedError,
    UserError,
    is_out_of_memory,
)
from aam.facts.summary import has_checkpoint

_OF_HYDRA = ("hydra.errors.HydraException", "omegaconf.errors.OmegaConfBaseException")
_log = logging.getLogger(__name__)


def attempt(
    action: Callable[[], object],
    arguments: Sequence[str],
    run_dir: Path | None = None,
    interrupted: int = EXIT_INTERRUPTED,
    *,
    is_training: bool = False,
) -> int:
    """Do it; if it fails, log one sentence and give the exit code.

    ``arguments`` are those of the command line that it came from, ``interrupted`` is the code of a
    run that was stopped and can go on. Where memory ran out, one ``is_training`` is told how to do
    with less.
    """
    try:
        action()
    except (Exception, KeyboardInterrupt, StopRequestedError) as error:
        code, sentence = _judge(error, arguments, run_dir, is_training)
        if code == EXIT_INTERRUPTED:
            code = interrupted
        level = logging.WARNING if code == EXIT_OK else logging.ERROR
        _log.log(level, "%s", sentence, exc_info=error, extra={"foreseen": code != EXIT_FAILED})
        return code
    return EXIT_OK


def _judge(
    error: BaseException, arguments: Sequence[str], run_dir: Path | None, is_training: bool
) -> tuple[int, str]:
    if isinstance(error, UserError):
        return EXIT_USER_ERROR, str(error)
    if _is_of_hydra(error):
        from aam.composing.explain import explain

        return EXIT_USER_ERROR, explain(error, arguments)
    if isinstance(error, StopAfterEpochError):
        return EXIT_OK, f"stopped after the epoch by {error}; {_go_on(run_dir)}"
    if isinstance(error, SweepStoppedError):
        names = shlex.join(["aam-facts", "ls", str(error.folder)])
        return EXIT_INTERRUPTED, (
            f"stopped by {error}; its jobs go on one by one: {names}, then aam-train resume=JOB"
        )
    if isinstance(error, KeyboardInterrupt | StopRequestedError):
        return _interrupted(str(error) or "SIGINT", run_dir)
    if isinstance(error, NonFiniteError):
        # No advice to go on: a run that is repeated exactly fails exactly so again.
        return EXIT_FAILED, f"{error}{_kept(run_dir)}"
    if isinstance(error, OSError | RankLostError):
        what = str(error)
        if isinstance(error, OSError):
            what = (error.strerror or what) + (f" ({error.filename})" if error.filename else "")
        go_on = f"; {_go_on(run_dir)}" if _can_resume(run_dir) else ""
        return EXIT_FAILED, f"{what}{_kept(run_dir)}{go_on}"
    if is_out_of_memory(error):
        spare = f"; {_spare(run_dir)}" if is_training else ""
        return EXIT_FAILED, f"out of memory{_kept(run_dir)}{spare}"
    where = "set HYDRA_FULL_ERROR=1 to see the traceback"
    if run_dir is not None:
        where = f"the traceback is in {run_dir / 'train.log'}"
    return EXIT_FAILED, f"{type(error).__name__}: {error}; {where}"


def _is_of_hydra(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf refused. Neither is loaded for it: aam-facts needs none."""
    names = {f"{one.__module__}.{one.__name__}" for one in type(error).__mro__}
    return not names.isdisjoint(_OF_HYDRA)


def _interrupted(signal: str, run_dir: Path | None) -> tuple[int, str]:
    if _can_resume(run_dir):
        return EXIT_INTERRUPTED, f"stopped by {signal}; {_go_on(run_dir)}"
    if run_dir is None:
        return EXIT_NOTHING_TO_RESUME, f"stopped by {signal}"
    return EXIT_NOTHING_TO_RESUME, f"stopped by {signal} before anything was saved: start it again"


def _kept(run_dir: Path | None) -> str:
    """What is left of a run; empty where the command was about none, as that of aam-facts."""
    if run_dir is None:
        return ""
    return ". What was saved is intact" if _can_resume(run_dir) else ". Nothing had been saved yet"


def _spare(run_dir: Path | None) -> str:
    """How a training does with less memory."""
    less = "a lower data.batch_size or data.token_limit, or a smaller model="
    if not _can_resume(run_dir):
        return f"a training takes less with trainer.memory_gib=, {less}"
    return f"{_go_on(run_dir)} trainer.memory_gib=GIB, or start anew with {less}"


def _go_on(run_dir: Path | None) -> str:
    return f"go on with: aam-train {shlex.quote(f'resume={run_dir}')}"


def _can_resume(run_dir: Path | None) -> bool:
    return run_dir is not None and has_checkpoint(run_dir)
