"""This machine: a process of its own runs the jobs, so many at a time, and survives the logout."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aam.monitoring.runs.jobs import QUEUED, RUNNING, log_path
from aam.submit.experiment import Experiment, Job
from aam.submit.notes import submitted


def prepare(experiment: Experiment, jobs: Sequence[Job], name: str) -> list[str]:
    """Nothing but the command."""
    names = [job.name for job in jobs]
    return [sys.executable, "-m", "aam.submit.runner", str(experiment.folder), *names]


def submit(experiment: Experiment, jobs: Sequence[Job], command: Sequence[str]) -> str:
    """Start the process, with a lock that tells whether it still lives."""
    folder = experiment.folder / "jobs"
    made = folder / f"runner-{os.getpid()}.new"
    with made.open("x") as lock, (folder / "runner.out").open("ab") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            command,
            cwd=experiment.started_in,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        made.rename(_lock_path(folder, process.pid))
    for number, job in enumerate(jobs):
        experiment.note(job, submitted(f"{process.pid}.{number}"))
    return f"process {process.pid}; kill {process.pid} stops them"


def live(experiment: Experiment, jobs: Sequence[Job]) -> Mapping[str, str]:
    """Look at the locks: of the logs of jobs that run, and of the processes that run them."""
    states = {}
    for job in jobs:
        if (logged := experiment.logged(job)) is None:
            continue
        if _is_locked(log_path(experiment.folder, job.name)):
            states[job.name] = RUNNING
        elif logged.state == QUEUED:
            pid = int(logged.id.partition(".")[0])
            if _is_locked(_lock_path(experiment.folder / "jobs", pid)):
                states[job.name] = QUEUED
    return states


def remove(ids: Sequence[str]) -> None:
    """Nothing is ever held here."""


def _lock_path(folder: Path, pid: int) -> Path:
    return folder / f"runner-{pid}.lock"


def _is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file, as it does until its end."""
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
