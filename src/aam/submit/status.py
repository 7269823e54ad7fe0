"""What became of the jobs of an experiment: by the scheduler, their logs and their run folders."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aam.errors import UserError
from aam.facts.summary import RunSummary, summarize
from aam.monitoring.runs.jobs import (
    DONE,
    FAILED,
    HELD,
    INTERRUPTED,
    QUEUED,
    REMOVED,
    RUNNING,
    JobState,
)
from aam.submit.backends import find_backend
from aam.submit.experiment import Experiment, Job

# Its log says that it waits or runs, and the scheduler does not know it (any more).
VANISHED = "vanished"
UNSUBMITTED = "not submitted"
UNKNOWN = "unknown"
_PASSING = (QUEUED, RUNNING, HELD)
AGAIN = (FAILED, HELD, INTERRUPTED, REMOVED, VANISHED, UNSUBMITTED)
"""States of jobs that ``requeue`` submits anew."""


@dataclass(frozen=True)
class Standing:
    """Where a job stands."""

    job: Job
    id: str
    state: str
    said: str
    """Why it is held or failed."""
    run: RunSummary | None
    differs: tuple[str, ...]
    """What its command line has that not all others have."""


def standings(experiment: Experiment) -> list[Standing]:
    """All jobs of an experiment, in the order of ``jobs.txt``.

    Raises
    ------
    UserError
        If a file of it cannot be read, or the scheduler does not answer.
    """
    jobs = experiment.jobs()
    live = find_backend(experiment.settings.backend).live(experiment, jobs)
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if jobs else set()
    return [
        Standing(
            job=job,
            id="" if logged is None else logged.id,
            state=_state(logged, live.get(job.name)),
            said=_said(experiment, job, logged),
            run=_run(experiment.run_dir(job)),
            differs=tuple(one for one in job.overrides if one not in shared),
        )
        for job in jobs
        for logged in [experiment.logged(job)]
    ]


def told(all_of_them: Sequence[Standing]) -> list[str]:
    """Lines for people: a table, what the log says of those that need a look, and the numbers."""
    head = ("job", "state", "id", "epochs", "best", "what differs")
    rows = [_cells(one) for one in all_of_them]
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    lines = []
    for row, said in zip([head, *rows], ["", *(one.said for one in all_of_them)], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
        lines += [f"  {said}"] if said else []
    counts = Counter(one.state for one in all_of_them)
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    number = f"{len(all_of_them)} job{'' if len(all_of_them) == 1 else 's'}"
    return [*lines, f"{number}: {states}"]


def _state(logged: JobState | None, live: str | None) -> str:
    if logged is None:
        return UNSUBMITTED
    if logged.state == DONE:
        return DONE
    if live is not None:
        return live
    return VANISHED if logged.state in _PASSING else logged.state


def _said(experiment: Experiment, job: Job, logged: JobState | None) -> str:
    """What the log says, or else the last line of its errors."""
    if logged is None or logged.said or logged.state != FAILED:
        return "" if logged is None else logged.said
    return experiment.last_error(job)


def _run(run_dir: Path) -> RunSummary | None:
    try:
        return summarize(run_dir)
    except (UserError, OSError, ValueError):  # none yet, not for us to read, or no name of a file
        return None


def _cells(one: Standing) -> tuple[str, ...]:
    epochs = best = ""
    if one.run is not None:
        epochs = f"{one.run.num_done}/{one.run.num_epochs or '?'}"
        known = one.run.best
        best = "" if known is None else f"{known['metric']} {known['value']:.4g}"
    return (one.job.name, one.state, one.id, epochs, best, " ".join(one.differs))
