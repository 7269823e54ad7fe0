"""What a sweep leaves when its last job has ended: a leaderboard, and how many jobs failed."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aam.cli.folders import Sweep
from aam.errors import EXIT_FAILED, EXIT_OK, UserError
from aam.facts.summary import FINISHED, has_checkpoint, summarize

_log = logging.getLogger(__name__)


def end_sweep(sweep: Sweep, codes: Sequence[int]) -> int:
    """Print the leaderboard of the runs in the folder and write it there; returns an exit code.

    ``codes`` are those of the jobs that ran in this process.
    """
    _show_leaderboard(sweep.folder)
    codes = list(codes) if sweep.is_here else [_code_of(run) for run in _jobs_in(sweep.folder)]
    num_failed = sum(code != EXIT_OK for code in codes)
    if num_failed and len(codes) > 1:
        _log.error("%d of the %d jobs of the sweep failed", num_failed, len(codes))
    return next((code for code in codes if code != EXIT_OK), EXIT_OK)


def has_saved(sweep: Sweep) -> bool:
    """Whether there is a job that ``resume=`` takes up."""
    return any(has_checkpoint(run) for run in _jobs_in(sweep.folder))


def _show_leaderboard(folder: Path) -> None:
    from aam.monitoring.runs.boards import read_boards
    from aam.monitoring.runs.documents import write_table
    from aam.monitoring.runs.report import report

    try:
        boards, unstarted = read_boards([str(folder)])
        path = write_table(folder, boards)
    except UserError as error:  # no job came as far as its first fact
        _log.info("the sweep has no leaderboard: %s", error)
    except OSError as error:
        _log.warning("the leaderboard of the sweep cannot be written: %s", error)
    else:
        print(f"\n{report(boards, unstarted)}\n\nLeaderboard: {path}", flush=True)


def _jobs_in(folder: Path) -> list[Path]:
    return [path.parents[1] for path in folder.glob("**/.hydra/config.yaml")]


def _code_of(run_dir: Path) -> int:
    """How a job ended that ran elsewhere, as far as its facts tell."""
    with suppress(UserError):
        summary = summarize(run_dir)
        if summary is not None and summary.state == FINISHED:
            return EXIT_OK
    return EXIT_FAILED
