"""``aam-train … hydra.run.dir=FOLDER resume=auto``: one command line starts a run and goes on.

So a scheduler may run a job's command line again and again, wherever it was interrupted.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from aam.errors import UserError
from aam.facts.presence import MAX_AGE_S, is_written
from aam.facts.reader import EVENTS
from aam.facts.settings import read_changes, read_overrides
from aam.facts.summary import FINISHED, has_checkpoint, summarize
from aam.training.ranks import rank

AUTO = "resume=auto"
RUN_DIR = "hydra.run.dir="
_MAY_EXIST = "hydra.callbacks.run_folder.may_exist=true"
_LOOK_AGAIN_S = 1.0
_PATIENCE_S = MAX_AGE_S + 30.0
_log = logging.getLogger(__name__)


def settle(arguments: Sequence[str]) -> list[str]:
    """The command line that this one stands for now; none if the run is finished.

    ``resume=FOLDER`` with what was changed since, where there is a checkpoint; else the same
    without ``resume=auto``. Facts of an attempt that saved nothing are kept as ``facts-1``.

    Raises
    ------
    UserError
        If no folder is given, it holds something else, or another process writes it.
    """
    rest = [argument for argument in arguments if argument != AUTO]
    others = [argument for argument in rest if argument.startswith(("-", "resume="))]
    if others:
        raise UserError(f"{AUTO} goes with one run and takes no {others[0]}: leave it out")
    run_dir = _folder(arguments)
    if not run_dir.exists():
        return rest
    _wait_until_free(run_dir)
    given = [line for line in rest if not line.lstrip("+").startswith("hydra.")]
    is_finished = _is_finished(run_dir)
    if is_finished or has_checkpoint(run_dir):
        changes = _changes(run_dir, given)
        if is_finished and not changes:
            print(f"{run_dir} is finished: there is nothing to do", flush=True)
            return []
        return [f"resume={run_dir}", *changes]
    if rank() == 0:
        _clear(run_dir)
    return [*rest, _MAY_EXIST]


def _folder(arguments: Iterable[str]) -> Path:
    from aam.composing.compose import value_of

    given = [argument for argument in arguments if argument.startswith(RUN_DIR)]
    if not given or "${" in given[-1]:
        raise UserError(f"{AUTO} needs a folder that stays the same: give {RUN_DIR}FOLDER too")
    return Path(str(value_of(given[-1]))).expanduser().absolute()


def _wait_until_free(run_dir: Path) -> None:
    """A process that was killed on another machine leaves a sign of life, which grows old.

    By the clock of the file server, which may be ahead of this one's.
    """
    if not is_written(run_dir):
        return
    _log.warning("%s is being written by another process: waiting for its end", run_dir)
    waited_until = time.monotonic() + _PATIENCE_S
    while is_written(run_dir):
        if time.monotonic() > waited_until:
            raise UserError(
                f"{run_dir} is being written by another process: wait until that run ends or stop "
                "it, then try again"
            )
        time.sleep(_LOOK_AGAIN_S)


def _is_finished(run_dir: Path) -> bool:
    if not (run_dir / EVENTS).is_file():
        return False
    summary = summarize(run_dir)
    return summary is not None and summary.state == FINISHED


def _changes(run_dir: Path, given: Sequence[str]) -> list[str]:
    """What the command line gives otherwise than the run was started and taken up with."""
    started, noted = (_by_key(lines) for lines in (read_overrides(run_dir), read_changes(run_dir)))
    now = _by_key(given)
    missing = [line for key, line in started.items() if key not in now]
    if missing:
        raise UserError(
            f"{run_dir} holds a run that was started with {missing[0]}: give it again, or choose "
            f"another {RUN_DIR}"
        )
    return [line for key, line in now.items() if line not in (started.get(key), noted.get(key))]


def _by_key(lines: Iterable[str]) -> dict[str, str]:
    return {line.lstrip("+").partition("=")[0]: line for line in lines}


def _clear(run_dir: Path) -> None:
    """Make way for a new start in the folder of a run that came to nothing."""
    if not run_dir.is_dir() or (any(run_dir.iterdir()) and not (run_dir / ".hydra").is_dir()):
        raise UserError(
            f"{RUN_DIR}{run_dir} exists already and holds no run: choose another folder"
        )
    facts = run_dir / EVENTS.parent
    if facts.is_dir():
        _log.warning("%s had saved nothing when it ended: it starts anew", run_dir)
        kept = (run_dir / f"{facts.name}-{number}" for number in count(1))
        facts.rename(next(one for one in kept if not one.exists()))
