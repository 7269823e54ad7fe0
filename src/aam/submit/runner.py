"""``python -m aam.submit.runner FOLDER JOB …``: the process that runs jobs on this machine."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, signal

from aam.errors import EXIT_INTERRUPTED, EXIT_NOTHING_TO_RESUME, EXIT_OK, EXIT_USER_ERROR
from aam.monitoring.runs.jobs import log_path
from aam.submit.experiment import Experiment, Job, load
from aam.submit.notes import exited, started

# Tried again is what fails by an error, or is killed, as for want of memory.
_NO_FAILURE = (EXIT_OK, EXIT_USER_ERROR, EXIT_INTERRUPTED, EXIT_NOTHING_TO_RESUME, 128 + SIGTERM)


class Runner:
    """Runs jobs until they are done, or until a signal tells it to stop."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.is_stopped = False
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, jobs: Sequence[Job]) -> None:
        """Run them all, ``jobs_at_once`` at a time."""
        ids = [f"{os.getpid()}.{number}" for number in range(len(jobs))]
        with ThreadPoolExecutor(self.experiment.settings.jobs_at_once or 1) as pool:
            started_jobs = [pool.submit(self._run, *one) for one in zip(jobs, ids, strict=True)]
        for one in started_jobs:
            one.result()  # raises what went wrong here, rather than in a job

    def stop(self, *_: object) -> None:
        """Have the jobs save and end; start no other."""
        self.is_stopped = True
        for process in list(self._running):
            process.terminate()

    def _run(self, job: Job, job_id: str) -> None:
        """Once, and again while it fails."""
        for _ in range(1 + self.experiment.settings.max_retries):
            if self.is_stopped or self._attempt(job, job_id) in _NO_FAILURE:
                return

    def _attempt(self, job: Job, job_id: str) -> int:
        folder = self.experiment.folder
        errors = folder / "jobs" / f"{job.name}.err"
        with (
            log_path(folder, job.name).open("a") as log,
            errors.with_suffix(".out").open("ab") as out,
            errors.open("ab") as err,
        ):
            # The job has the lock as long as it lives, even where this process is killed.
            fcntl.flock(log, fcntl.LOCK_EX)
            print(started(job_id, socket.gethostname()), file=log, flush=True)
            process = subprocess.Popen(
                [sys.executable, "-m", "aam.cli.train", *job.arguments],
                cwd=self.experiment.started_in,
                env=os.environ | {"OMP_NUM_THREADS": str(self.experiment.settings.cpus)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=[log.fileno()],
            )
            self._running.add(process)
            if self.is_stopped:  # while it was started
                process.terminate()
            code = process.wait()
            self._running.discard(process)
            code = 128 - code if code < 0 else code  # as a shell tells of signals
            said = "" if code == EXIT_OK else self.experiment.last_error(job)
            print(exited(job_id, code, said), file=log, flush=True)
        return code


def main(words: Sequence[str]) -> None:
    """Run the jobs of these names."""
    experiment = load(Path(words[0]))
    runner = Runner(experiment)
    for number in (SIGTERM, SIGINT, SIGHUP):
        signal(number, runner.stop)
    runner.run([job for job in experiment.jobs() if job.name in words[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
