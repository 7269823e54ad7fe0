"""Read the facts of a run, whole or half-written, from its folder alone."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from aam.errors import UserError
from aam.facts.schema import SCHEMA_VERSION, blank_event, misfit

EVENTS = Path("facts", "events.jsonl")
_MAX_DIGITS = 300  # longer integers do not fit a float
_DEEPEST = 100  # levels of lists and objects; more would exhaust those who walk them


def read_events(run: Path) -> list[dict[str, Any]]:
    """All events of a run, in the order in which they were written.

    ``run`` is a run folder or an ``events.jsonl``. A line counts if a newline ends it and it holds
    an event of this schema version; torn and foreign lines are skipped. Fields that an earlier
    minor version did not know have their empty value.

    Raises
    ------
    UserError
        If there is no such file. Its content never raises.
    """
    path = run / EVENTS if run.is_dir() else run
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} does not exist: give a run folder that holds facts") from None
    # Split the bytes at newlines only: str.splitlines would also break at other separators.
    events = (parse_event(line) for line in content.split(b"\n")[:-1])
    return [event for event in events if event is not None]


def epoch_events(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ``on_epoch_end`` event of each epoch, by epoch: one curve, however often resumed.

    The last one written of an epoch wins. An ``on_resume`` drops the epochs that it does again, so
    that a curve never goes on into what the resumed run has left behind.
    """
    epochs: dict[int, dict[str, Any]] = {}
    for event in events:
        epoch = event["epoch"]
        if event["moment"] == "on_resume":
            epochs = {done: kept for done, kept in epochs.items() if done < epoch}
        elif event["moment"] == "on_epoch_end":
            epochs[epoch] = event
    return [epochs[epoch] for epoch in sorted(epochs)]


def best(events: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The newest ``best`` (epoch, metric, value) that no later ``on_resume`` has undone."""
    bests: list[dict[str, Any]] = []
    for event in events:
        if event["moment"] == "on_resume":
            bests = [one for one in bests if one["epoch"] < event["epoch"]]
        if event["best"] is not None:
            bests.append(event["best"])
    return bests[-1] if bests else None


def at_best(events: Sequence[dict[str, Any]], metric: str | None) -> float | None:
    """What a validation metric is at the best epoch; by default the one that was watched.

    None where there is no such value. It is never one of the test set.
    """
    found = best(events)
    if found is None or metric in (None, found["metric"]):
        return None if found is None else found["value"]
    epochs = {event["epoch"]: event for event in epoch_events(events)}
    event = epochs.get(found["epoch"], blank_event())
    value: float | None = event["val_loss"]
    return value if metric == "val_loss" else event["metrics"].get("val", {}).get(metric)


def series(
    events: Iterable[dict[str, Any]], split: str, metric: str
) -> tuple[list[int], list[float]]:
    """Epochs (from 0) and values of one metric over the epochs of :func:`epoch_events`.

    ``split`` is ``train`` or ``val``; the metric ``loss`` stands for the event's ``train_loss`` or
    ``val_loss``. Epochs without a (finite) value are left out.
    """
    epochs, values = [], []
    for event in epoch_events(events):
        value = event[f"{split}_loss"] if metric == "loss" else event["metrics"][split].get(metric)
        if value is not None:
            epochs.append(event["epoch"])
            values.append(float(value))
    return epochs, values


def parse_event(line: bytes) -> dict[str, Any] | None:
    """The event that a line holds, with all fields; None if it holds none."""
    if b"{" not in line:  # a file may be broken into a million blank lines
        return None
    try:
        event = json.loads(
            line.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_short_int,
        )
        _refuse_unwritable(event, line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("schema_version") != SCHEMA_VERSION:
        return None
    event = blank_event() | event
    return event if misfit(event) is None else None


def _refuse_unwritable(event: object, line: bytes) -> None:
    """Raise ``ValueError`` for what reads but cannot be shown or written anywhere."""
    if b"\\u" in line:  # half of a surrogate pair
        json.dumps(event, ensure_ascii=False).encode()
    if line.count(b"[") + line.count(b"{") <= _DEEPEST:
        return
    level = [event]
    for _ in range(_DEEPEST):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    if level:
        raise ValueError("it is nested too deeply")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _short_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text[:9]}… is too large")
    return int(text)
