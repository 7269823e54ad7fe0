"""A command line that trains: one run, a sweep, or a run that goes on."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from aam.cli.auto_resume import AUTO, settle
from aam.cli.folders import RunFolders
from aam.cli.jobs import Jobs, resume
from aam.cli.logs import console, silence
from aam.cli.outcome import attempt
from aam.cli.resume import is_resume
from aam.cli.sweep_end import end_sweep, has_saved
from aam.composing.compose import FULL_ERROR, through_hydra
from aam.errors import (
    EXIT_FAILED,
    EXIT_NOTHING_TO_RESUME,
    EXIT_OK,
    StopRequestedError,
    SweepStoppedError,
)
from aam.training.ranks import FIRST_IS_GONE, is_launched, rank
from aam.training.signals import stopped_by_signals

_SILENT_S = 30.0


def launch(arguments: Sequence[str]) -> int:
    """Train as the arguments say; returns the exit code."""
    if rank() == 0:
        with console(tracebacks=os.environ.get(FULL_ERROR) == "1"):
            return _launch(arguments)
    code: object = EXIT_FAILED
    try:
        with silence():
            code = ended = _launch(arguments)
        return ended
    except SystemExit as left:  # a run that was interrupted, past Hydra
        code = left.code
        raise
    finally:
        # torchrun ends all ranks with the first that fails: the one that speaks comes first. One
        # that was itself told to end waits for nobody.
        if code not in (EXIT_OK, EXIT_NOTHING_TO_RESUME):
            FIRST_IS_GONE.wait(_SILENT_S)


def _launch(arguments: Sequence[str]) -> int:
    # Before torch is loaded: threads that wait by spinning make a small model several times slower
    # where others use the cores too.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if is_launched():
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # each rank would give advice
    jobs = Jobs()
    with stopped_by_signals():
        if AUTO in arguments:
            settled: list[list[str]] = []
            code = attempt(lambda: settled.append(settle(arguments)), arguments)
            if code != EXIT_OK or not settled[0]:
                return code
            sys.argv[1:] = arguments = settled[0]
        if is_resume(arguments):
            codes: list[int] = []
            code = attempt(lambda: codes.append(resume(arguments, jobs.page)), arguments)
            return code or codes[0]
        code = attempt(lambda: _through_hydra(jobs), arguments)
        if RunFolders.sweep is not None and code != EXIT_OK:
            with suppress(OSError):  # it holds something
                RunFolders.sweep.folder.rmdir()
    return next((one for one in [code, *jobs.codes] if one != EXIT_OK), EXIT_OK)


def _through_hydra(jobs: Jobs) -> None:
    """Make the runs; at the end of a sweep, add its exit code to those of the jobs."""
    try:
        through_hydra(jobs)
        if RunFolders.sweep is not None:
            jobs.codes.append(end_sweep(RunFolders.sweep, jobs.codes))
    except (KeyboardInterrupt, StopRequestedError) as error:
        if RunFolders.sweep is not None and has_saved(RunFolders.sweep):
            raise SweepStoppedError(str(error), RunFolders.sweep.folder) from error
        raise
