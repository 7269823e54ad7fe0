"""The whole check of a run folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aam.facts.presence import is_written
from aam.facts.reader import EVENTS
from aam.facts.summary import DIED, state_of
from aam.monitoring.runs.doctor.derived import check_scalars, check_training_metrics
from aam.monitoring.runs.doctor.files import check_files
from aam.monitoring.runs.doctor.findings import ERROR, LEVELS, WARNING, Finding
from aam.monitoring.runs.doctor.lines import Line, check_history, read_lines
from aam.monitoring.runs.telling import resume_command


def examine(run_dir: Path) -> list[Finding]:
    """All that is to be said of a run folder, the gravest first; empty for a healthy one.

    Nothing is changed, and no content of a file raises. A run may go on meanwhile.
    """
    return sorted(_findings(run_dir), key=lambda one: LEVELS.index(one.level))


def _findings(run_dir: Path) -> Iterator[Finding]:
    # In this order: what a writer adds meanwhile is then missed, not taken for damage.
    somebody_writes = is_written(run_dir)
    try:
        content = (run_dir / EVENTS).read_bytes()
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        advice = "a run that failed before its first fact says why in train.log: start it again"
        if isinstance(error, PermissionError):
            advice = "ask who owns the folder to let you read it"
        yield Finding(ERROR, str(EVENTS), what, advice)
        return
    lines, findings = read_lines(content)
    events = [line.event for line in lines]
    yield from (one for one in findings if not (somebody_writes and "torn" in one.what))
    if lines or not somebody_writes:
        yield from check_history(lines)
    yield from _check_end(run_dir, lines, somebody_writes)
    if events:
        yield from check_scalars(run_dir, events, somebody_writes)
        yield from check_training_metrics(run_dir, events, somebody_writes)
    yield from check_files(run_dir, events, somebody_writes)


def _check_end(run_dir: Path, lines: Sequence[Line], somebody_writes: bool) -> Iterator[Finding]:
    starts = [line.event for line in lines if line.event["moment"] in ("on_start", "on_resume")]
    if not lines or state_of(lines[-1].event, _start(starts), somebody_writes) != DIED:
        return
    resume = resume_command(run_dir, None)
    advice = f"go on with it: {resume}" if resume else "nothing of it was saved: start it again"
    what = f"the run died: its facts end with {lines[-1].event['moment']}"
    yield Finding(WARNING, lines[-1].where, what, advice)


def _start(starts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return starts[-1] if starts else {"meta": {}}
