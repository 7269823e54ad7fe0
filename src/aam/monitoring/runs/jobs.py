"""What became of the job that a run is or was, read from the log that lies beside its folder.

``EXP/run_…_job003`` has the log ``EXP/jobs/job003.log``: the event log of HTCondor, or lines
``TIME ID EVENT …`` of ``hpc/run.sh`` and ``aam-submit``. No command of a scheduler is asked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

QUEUED, RUNNING, HELD, DONE, FAILED, INTERRUPTED, REMOVED = STATES = (
    "queued",
    "running",
    "held",
    "done",
    "failed",
    "interrupted",
    "removed",
)
_NAME = re.compile(r"_(job[\w.]+)$")
# Events of HTCondor that change what a job is; all others leave it as it is.
_CONDOR_STATES = {
    "000": QUEUED,  # submitted
    "001": RUNNING,
    "004": QUEUED,  # evicted
    "007": QUEUED,  # lost its machine
    "009": REMOVED,
    "012": HELD,
    "013": QUEUED,  # released
    "024": QUEUED,  # its machine does not come back
}
_CONDOR_EVENT = re.compile(r"(\d{3}) \((\d{1,18})\.(\d{1,18})\.\d+\) ", re.ASCII)
_ID = re.compile(r"\d{1,18}([._]\d{1,18})?", re.ASCII)
_RETURNED = re.compile(r"\(return value (\d+)\)")
_EXIT_STATES = {"0": DONE, "85": INTERRUPTED, "130": INTERRUPTED, "143": INTERRUPTED}


@dataclass(frozen=True)
class JobState:
    """Where a job stands by its log: ``state`` is one of ``STATES``."""

    id: str
    """The scheduler's: ``12.3`` in HTCondor, ``12_3`` in an array of Slurm."""
    state: str
    said: str = ""
    """Why it is held, was removed, or failed, where the log says so."""


def job_of(run_dir: Path) -> JobState | None:
    """The newest job of a run; None where it was no job of a cluster."""
    named = _NAME.search(run_dir.name)
    return None if named is None else read_log(log_path(run_dir.parent, named[1]))


def log_path(folder: Path, job: str) -> Path:
    """Where the log of a job lies, below the folder that its run lies in."""
    return folder / "jobs" / f"{job}.log"


def read_log(path: Path) -> JobState | None:
    """The newest job that a log tells of; None if there is no log, or nothing in it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    states: dict[str, JobState] = {}
    newest = None
    for one, is_submission in _condor(text) if _CONDOR_EVENT.match(text) else _lines(text):
        if not is_submission or one.id not in states:  # else it was started before that was noted
            states[one.id] = one
        if is_submission or one.state == RUNNING:
            newest = one.id
    return None if newest is None else states[newest]


def _condor(text: str) -> Iterator[tuple[JobState, bool]]:
    for event in text.split("\n...\n")[:-1]:  # the last one may be being written
        head = _CONDOR_EVENT.match(event)
        if head is None:
            continue
        number, said = f"{int(head[2])}.{int(head[3])}", _second_line(event)
        if head[1] == "005":
            returned = _RETURNED.search(event)
            if returned is None:  # by a signal
                yield JobState(number, FAILED, said), False
            else:
                yield JobState(number, DONE if returned[1] == "0" else FAILED), False
        elif head[1] in _CONDOR_STATES:
            state = _CONDOR_STATES[head[1]]
            kept = said if state in (HELD, REMOVED) else ""
            yield JobState(number, state, kept), head[1] == "000"


def _second_line(event: str) -> str:
    return event.partition("\n")[2].partition("\n")[0].strip()


def _lines(text: str) -> Iterator[tuple[JobState, bool]]:
    for line in text.splitlines():
        _, _, rest = line.partition(" ")
        number, _, rest = rest.partition(" ")
        event, _, detail = rest.partition(" ")
        if not _ID.fullmatch(number):  # torn, or no line of ours
            continue
        if event in ("submitted", "requeued"):
            yield JobState(number, QUEUED), event == "submitted"
        elif event == "started":
            yield JobState(number, RUNNING), False
        elif event == "exited":
            code, _, said = detail.partition(" ")
            yield JobState(number, _EXIT_STATES.get(code, FAILED), said.strip()), False
