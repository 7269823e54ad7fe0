"""Slurm: ``hpc/slurm/train.sbatch``, filled in for an array, and ``sbatch``."""

import sys
from collections.abc import Mapping, Sequence
from shlex import quote

from aam.errors import UserError
from aam.facts.files import write_atomically
from aam.monitoring.runs.jobs import HELD, QUEUED, RUNNING
from aam.submit.backends.filling import fill
from aam.submit.commands import call
from aam.submit.experiment import RUN_SH, Experiment, Job
from aam.submit.notes import submitted
from aam.submit.sandbox import JOBS

# Of those that squeue shows. What completes is as good as gone: the log tells of it.
_STATES = {
    "PENDING": QUEUED,
    "REQUEUED": QUEUED,
    "REQUEUE_FED": QUEUED,
    "REQUEUE_HOLD": HELD,
    "RESV_DEL_HOLD": HELD,
    "SPECIAL_EXIT": HELD,
    "CONFIGURING": RUNNING,
    "RESIZING": RUNNING,
    "RUNNING": RUNNING,
    "SIGNALING": RUNNING,
    "STAGE_OUT": RUNNING,
    "STOPPED": RUNNING,
    "SUSPENDED": RUNNING,
}
_HEAD = """\
#!/usr/bin/env bash
# Written by aam-submit for the jobs of its array; their command lines are in {jobs}.
# Submitted again, by sbatch {name}, it leaves alone what is finished.
"""
_MARK = "#SBATCH --"


def prepare(experiment: Experiment, jobs: Sequence[Job], name: str) -> list[str]:
    """Write ``NAME.sbatch``: an array whose indices are the numbers of the jobs."""
    path = experiment.folder / f"{name}.sbatch"
    lines = fill("slurm/train.sbatch", _values(experiment), _MARK)
    added = {f"{_MARK}{key}=": quote(one) for key, one in _added(experiment, jobs).items()}
    # Of two lines for one option the later would count.
    kept = [line for line in lines if not line.startswith(tuple(added))]
    head = _HEAD.format(jobs=JOBS, name=path.name)
    ours = [key + value for key, value in added.items()]
    write_atomically(path, "\n".join([head, *ours, *kept, ""]))
    return ["sbatch", str(path)]


def submit(experiment: Experiment, jobs: Sequence[Job], command: Sequence[str]) -> str:
    """``sbatch``; the logs are ours to begin."""
    said = call([command[0], "--parsable", *command[1:]], experiment.started_in)
    array = said.partition(";")[0].strip()
    for job in jobs:
        experiment.note(job, submitted(f"{array}_{_number(job)}"))
    return f"array {array}; scancel {array} takes them back"


def live(experiment: Experiment, jobs: Sequence[Job]) -> Mapping[str, str]:
    """``squeue``."""
    names = {one.id: job.name for job in jobs if (one := experiment.logged(job)) is not None}
    lines = call(["squeue", "--me", "--noheader", "--array", "--format=%i %T"]).splitlines()
    states = dict(line.split() for line in lines if line.strip())
    return {
        name: _STATES[states[number]]
        for number, name in names.items()
        if states.get(number) in _STATES
    }


def remove(ids: Sequence[str]) -> None:
    """``scancel``."""
    call(["scancel", *ids])


def _number(job: Job) -> int:
    """The index of a job in the array."""
    digits = job.name.removeprefix("job")
    if not digits.isdigit() or f"{int(digits):03d}" != digits:  # as train.sbatch makes it a name
        raise UserError(f"{job.name} has no number for an array of Slurm: name it job000, job001 …")
    return int(digits)


def _logs(experiment: Experiment) -> str:
    """``%a`` is the index of a job in the array."""
    return str(experiment.folder / "jobs").replace("%", "%%") + "/job%3a"


def _values(experiment: Experiment) -> dict[str, str | None]:
    """Key of ``train.sbatch`` → its value for a sweep."""
    settings, folder = experiment.settings, quote(str(experiment.folder))
    return {
        "job-name": quote(experiment.folder.name),
        "cpus-per-task": str(settings.cpus),
        "mem": f"{round(settings.memory_gib * 1024)}M",
        "time": str(max(1, round(settings.max_hours * 60))) if settings.max_hours else None,
        "output": quote(f"{_logs(experiment)}.out"),
        "run_sh": f"{folder}/{RUN_SH}",
        "venv": quote(settings.venv or sys.prefix),
        "runs": folder,
        "job": '$(printf job%03d "$SLURM_ARRAY_TASK_ID")',
        "arguments": f'(--job {folder}/{JOBS} "$job")',
        "max_retries": str(settings.max_retries),
    }


def _added(experiment: Experiment, jobs: Sequence[Job]) -> dict[str, str]:
    """Options that ``train.sbatch`` has not."""
    settings = experiment.settings
    at_once = f"%{settings.jobs_at_once}" if settings.jobs_at_once else ""
    given: dict[str, str | None] = {
        "array": ",".join(str(_number(job)) for job in jobs) + at_once,
        "chdir": str(experiment.started_in),
        "error": f"{_logs(experiment)}.err",
        "partition": settings.partition,
        "account": settings.account,
        "gpus": str(settings.gpus) if settings.gpus else None,
    }
    return {key: value for key, value in (given | settings.extra).items() if value is not None}
