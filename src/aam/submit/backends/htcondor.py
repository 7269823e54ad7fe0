"""HTCondor: ``hpc/htcondor/train.sub``, filled in for a sweep, and ``condor_submit``."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aam.facts.files import write_atomically
from aam.monitoring.runs.jobs import DONE, HELD, QUEUED, REMOVED, RUNNING
from aam.submit.backends.filling import fill
from aam.submit.commands import call
from aam.submit.experiment import RUN_SH, Experiment, Job
from aam.submit.sandbox import JOBS

# JobStatus of the manual; 6 transfers its output, 7 is suspended.
_STATES = {
    "1": QUEUED,
    "2": RUNNING,
    "3": REMOVED,
    "4": DONE,
    "5": HELD,
    "6": RUNNING,
    "7": RUNNING,
}
_HEAD = """\
# Written by aam-submit for the jobs at its end; their command lines are in {jobs}.
# Submitted again, by condor_submit {name}, it leaves alone what is finished.

exp = {folder}
initialdir = {initialdir}"""
# A job is brought its files, and its run folder goes to and fro: at the end, when it is evicted,
# and when it has saved (exit code 85).
_TRANSFER = (
    f"transfer_input_files = {JOBS}, $(files)",
    "when_to_transfer_output = ON_EXIT_OR_EVICT",
    "transfer_output_files = $(run)",
    "transfer_checkpoint_files = $(run)",
)


def prepare(experiment: Experiment, jobs: Sequence[Job], name: str) -> list[str]:
    """Write ``NAME.sub``."""
    path = experiment.folder / f"{name}.sub"
    settings = experiment.settings
    is_shared = settings.shared_filesystem
    head = _HEAD.format(
        jobs=JOBS,
        name=path.name,
        folder=experiment.folder,
        initialdir=experiment.started_in if is_shared else "$(exp)",
    )
    *lines, last = fill("htcondor/train.sub", _values(experiment))
    assert last == "queue"
    added = [*_added(experiment), *([] if is_shared else _TRANSFER)]
    names = "job" if is_shared else "job, run, files"
    rows = [f"\t{_row(experiment, job)}" for job in jobs]
    queue = ["", f"queue {names} from (", *rows, ")", ""]
    write_atomically(path, "\n".join([head, *lines, *added, *queue]))
    return ["condor_submit", str(path)]


def submit(experiment: Experiment, jobs: Sequence[Job], command: Sequence[str]) -> str:
    """``condor_submit``; HTCondor writes the logs."""
    said = call([command[0], "-terse", *command[1:]], experiment.started_in)
    cluster = said.partition(".")[0].strip()
    return f"cluster {cluster}; condor_rm {cluster} takes them back"


def live(experiment: Experiment, jobs: Sequence[Job]) -> Mapping[str, str]:
    """``condor_q``."""
    names = {one.id: job.name for job in jobs if (one := experiment.logged(job)) is not None}
    if not names:
        return {}
    clusters = sorted({number.partition(".")[0] for number in names})
    lines = call(["condor_q", *clusters, "-af:j", "JobStatus"]).splitlines()
    states = dict(line.split() for line in lines if line.strip())
    return {
        name: _STATES.get(states[number], QUEUED)
        for number, name in names.items()
        if number in states
    }


def remove(ids: Sequence[str]) -> None:
    """``condor_rm``."""
    call(["condor_rm", *ids])


def _values(experiment: Experiment) -> dict[str, str | None]:
    """Key of ``train.sub`` → its value for a sweep."""
    settings = experiment.settings
    is_shared = settings.shared_filesystem
    jobs = experiment.folder / JOBS if is_shared else Path(JOBS)
    # Elsewhere there is another one, in the image or on the machine.
    venv = settings.venv or (sys.prefix if is_shared and settings.image is None else None)
    variables = {
        "AAM_VENV": venv,
        "AAM_PROCESSES": "$(request_gpus:1)",
        "AAM_CACHE": os.environ.get("AAM_CACHE") if is_shared else None,
        "AAM_RUN_DIR": None if is_shared else "$(run)",
        "AAM_MAX_S": str(round(settings.max_hours * 3600)) if settings.max_hours else None,
    }
    return {
        "arguments": _in_quotes(f"--job {_word(str(jobs))} $(job)"),
        "executable": f"$(exp)/{RUN_SH}",
        "transfer_executable": "false" if is_shared else "true",
        "venv": None,
        "outputs": None,
        "job": None,
        "jobs": "$(exp)/jobs",
        "environment": _environment(variables),
        "should_transfer_files": "NO" if is_shared else "YES",
        "request_cpus": str(settings.cpus),
        "request_memory": f"{round(settings.memory_gib * 1024)}M",
        "request_disk": f"{round(settings.disk_gib * 1024)}M",
        "max_retries": str(settings.max_retries),
    }


def _environment(variables: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in variables.items() if value is not None}
    return _in_quotes(" ".join(f"{name}={_word(value)}" for name, value in given.items()))


def _in_quotes(words: str) -> str:
    """As the manual has arguments and the environment, of which each word may be a ``_word``."""
    return '"' + words.replace('"', '""') + '"'


def _word(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _added(experiment: Experiment) -> list[str]:
    """Lines that ``train.sub`` has not."""
    settings = experiment.settings
    given: dict[str, str | None] = {
        "batch_name": experiment.folder.name,
        "request_gpus": str(settings.gpus) if settings.gpus else None,
        "requirements": settings.requirements,
        "container_image": settings.image,
        "accounting_group": settings.account,
    }
    for name, text in settings.attributes.items():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        given[f"+{name}"] = f'"{escaped}"'
    given |= settings.extra
    return [f"{key} = {value}" for key, value in given.items() if value is not None]


def _row(experiment: Experiment, job: Job) -> str:
    """What ``queue … from`` reads of a job: ``job003``, or ``job003, run_…_job003, FILES``."""
    if experiment.settings.shared_filesystem:
        return job.name
    return ", ".join([job.name, job.run_dir.name, *experiment.files_of(job)])
