"""Checks of ``facts/events.jsonl``: line by line, and whether the lines make one history."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aam.facts.reader import EVENTS, parse_event
from aam.facts.schema import SCHEMA_VERSION, blank_event, misfit
from aam.monitoring.runs.doctor.findings import ERROR, NOTE, WARNING, Finding, listed

Event = dict[str, Any]
_STARTS = ("on_start", "on_resume")
_ENDS = ("on_train_end", "on_stop", "on_exception", "on_test_end")
_TWO_WRITERS = (
    "two processes may have written here: keep the run whose curve makes sense, and start the "
    "other one again in a folder of its own"
)


@dataclass(frozen=True)
class Line:
    """An event, and the number of its line, from 1."""

    number: int
    event: Event

    @property
    def where(self) -> str:
        """As in ``facts/events.jsonl:12``."""
        return f"{EVENTS}:{self.number}"


def read_lines(content: bytes) -> tuple[list[Line], list[Finding]]:
    """The events of a file, and what is wrong with its other lines."""
    *raw, torn = content.split(b"\n")
    events, foreign = [], defaultdict(list)
    for number, line in enumerate(raw, start=1):
        event = parse_event(line)
        if event is None:
            foreign[_why_foreign(line)].append(number)
        else:
            events.append(Line(number, event))
    findings = [
        Finding(
            ERROR,
            f"{EVENTS}:{numbers[0]}",
            f"line{'s' * (len(numbers) > 1)} {listed(numbers)}: {why}",
            "readers skip it; if another program writes to this file, keep it from doing so",
        )
        for why, numbers in foreign.items()
    ]
    if torn:
        what = f"the last line is torn: {len(torn)} bytes without an end"
        advice = "readers skip it, and aam-train resume= cuts it off"
        findings.append(Finding(WARNING, f"{EVENTS}:{len(raw) + 1}", what, advice))
    return events, findings


def check_history(lines: Sequence[Line]) -> Iterator[Finding]:
    """Whether the events are those of one run, written by one process after the other."""
    if not lines:
        advice = "wait if the run has just been started; else look into train.log and start again"
        yield Finding(ERROR, str(EVENTS), "there is no event in it", advice)
        return
    first = lines[0]
    if first.event["moment"] != "on_start":
        what = f"the facts begin with {first.event['moment']}, not with on_start"
        yield Finding(ERROR, first.where, what, "its beginning is lost: copy the file anew")
    for line in lines[1:]:
        if line.event["moment"] == "on_start":
            yield Finding(ERROR, line.where, "a second on_start: two runs share it", _TWO_WRITERS)
        for field in ("run_id", "loop"):
            if line.event[field] != first.event[field]:
                what = f"its {field} is {line.event[field]}, not {first.event[field]}"
                yield Finding(ERROR, line.where, what, _TWO_WRITERS)
                return  # every line from here on may say the same
    yield from _check_epochs(lines)
    yield from _check_numbers(lines)


def _check_epochs(lines: Sequence[Line]) -> Iterator[Finding]:
    """Epochs go on one by one; an ``on_resume`` alone takes them back or goes on after an end."""
    expected = 0
    ended: str | None = None
    for line in lines:
        moment, epoch = line.event["moment"], line.event["epoch"]
        if moment in _STARTS:
            expected, ended = epoch or 0, None
        elif moment in _ENDS:
            ended = moment
        elif moment == "on_epoch_end":
            if ended:
                what = f"epoch {epoch + 1} comes after {ended} without an on_resume"
                yield Finding(ERROR, line.where, what, _TWO_WRITERS)
                ended = None
            elif epoch < expected:
                what = f"epoch {epoch + 1} comes after epoch {expected} without an on_resume"
                yield Finding(ERROR, line.where, what, _TWO_WRITERS)
            elif epoch > expected:
                # Not listed one by one: a foreign line may say any epoch.
                missing = f"{expected + 1}-{epoch}" if epoch > expected + 1 else str(epoch)
                what = f"epochs are missing before epoch {epoch + 1}: {missing}"
                yield Finding(WARNING, line.where, what, "lines are lost: copy the file anew")
            expected = epoch + 1


def _check_numbers(lines: Sequence[Line]) -> Iterator[Finding]:
    """Numbers that were NaN or infinite: grave in a loss, worth a note elsewhere."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        for key in line.event["nonfinite"]:
            found[key].append(line)
    for key, where in found.items():
        epochs = {one.event["epoch"] + 1 for one in where if one.event["epoch"] is not None}
        what = f"{key} was NaN or infinite"
        if epochs:
            what += f" in epoch{'s' * (len(epochs) > 1)} {listed(sorted(epochs))}"
        if key.endswith("loss"):
            yield Finding(WARNING, where[0].where, what, "start anew with a lower optimizer.lr")
        else:
            advice = "it may be undefined for so few samples, as AUROC of one class is"
            yield Finding(NOTE, where[0].where, what, advice)


def _why_foreign(line: bytes) -> str:
    """Why a line is no event."""
    if not line.strip():
        return "empty"
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(value, dict):
        return "no JSON object"
    if value.get("schema_version") != SCHEMA_VERSION:
        version = value.get("schema_version")
        return (
            f"schema_version is {json.dumps(version)[:20]}, and this program reads {SCHEMA_VERSION}"
        )
    field = misfit(blank_event() | value)
    return f"{field} is not as the schema has it" if field else "a number that JSON does not have"
