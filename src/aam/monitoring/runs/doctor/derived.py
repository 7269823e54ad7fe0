"""Checks of what is made from the events: ``scalars.csv`` and ``training_metrics.json``."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aam.facts.reader import best, epoch_events
from aam.facts.scalars import COLUMNS
from aam.monitoring.runs.doctor.findings import ERROR, WARNING, Finding, listed

Event = dict[str, Any]
SCALARS = Path("facts", "scalars.csv")
METRICS = Path("training_metrics.json")
_ANEW = "the events are right: make it anew from them, or let aam-train resume= do so"
_PREFIX = "metric_"


def check_scalars(run_dir: Path, events: Sequence[Event], is_written: bool) -> Iterator[Finding]:
    """Whether every row of ``scalars.csv`` is there, and as its event has it."""
    try:
        text = (run_dir / SCALARS).read_bytes().decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except FileNotFoundError:
        yield Finding(ERROR, str(SCALARS), "it does not exist", _ANEW)
        return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        yield Finding(ERROR, str(SCALARS), f"it cannot be read: {error}", _ANEW)
        return
    header, *body = rows or [[]]
    lost = [name for name in COLUMNS if name not in header]
    if lost:
        yield Finding(ERROR, f"{SCALARS}:1", f"the header lacks {', '.join(lost)}", _ANEW)
        return
    is_torn = text != "" and not text.endswith("\n")
    body = body[:-1] if is_torn else body
    expected = [_row(event, split, header) for event, split in _rows_of(events)]
    pairs = enumerate(zip(body, expected, strict=False), start=2)
    wrong = [number for number, (row, wanted) in pairs if row != wanted]
    if wrong:
        which = f"rows {listed(wrong)} differ" if len(wrong) > 1 else f"row {wrong[0]} differs"
        yield Finding(ERROR, f"{SCALARS}:{wrong[0]}", f"{which} from the events", _ANEW)
    if is_written:  # the newest rows may come before or after the events were read
        return
    if is_torn:
        yield Finding(WARNING, f"{SCALARS}:{len(rows)}", "the last row is torn", _ANEW)
    if len(body) != len(expected):
        what = f"it has {len(body)} rows where the events have {len(expected)}"
        yield Finding(ERROR, str(SCALARS), what, _ANEW)


def check_training_metrics(
    run_dir: Path, events: Sequence[Event], is_written: bool
) -> Iterator[Finding]:
    """Whether ``training_metrics.json`` says what the events say."""
    epochs = epoch_events(events)
    if not epochs or is_written:
        return
    try:
        found = json.loads((run_dir / METRICS).read_bytes())
    except FileNotFoundError:
        yield Finding(ERROR, str(METRICS), "it does not exist", _ANEW)
        return
    except (OSError, ValueError, RecursionError) as error:
        yield Finding(ERROR, str(METRICS), f"it cannot be read: {error}", _ANEW)
        return
    expected = _training_metrics(epochs, events)
    wrong = [name for name, value in expected.items() if not _is(found, name, value)]
    if wrong:
        what = f"{', '.join(wrong)} differ{'s' * (len(wrong) == 1)} from the events"
        yield Finding(ERROR, str(METRICS), what, _ANEW)


def _rows_of(events: Sequence[Event]) -> Iterator[tuple[Event, str]]:
    """What ``scalars.csv`` has a row of: each epoch, and the tests since the last resume."""
    for event in epoch_events(events):
        has_val = event["metrics"]["val"] or event["val_loss"] is not None
        yield from ((event, split) for split in (("train", "val") if has_val else ("train",)))
    resumes = [place for place, one in enumerate(events) if one["moment"] == "on_resume"]
    for event in events[resumes[-1] if resumes else 0 :]:
        if event["moment"] == "on_test_end":
            yield event, "test"


def _row(event: Event, split: str, header: Sequence[str]) -> list[str]:
    values = [
        event["metrics"][split].get(name.removeprefix(_PREFIX))
        if name.startswith(_PREFIX)
        else (event | {"split": split}).get(name)
        for name in header
    ]
    return ["" if value is None else str(value) for value in values]


def _training_metrics(epochs: Sequence[Event], events: Sequence[Event]) -> dict[str, Any]:
    at_best = best(events)
    losses = {event["epoch"]: event["val_loss"] for event in epochs}
    return {
        "train_loss": [event["train_loss"] for event in epochs],
        "val_loss": [event["val_loss"] for event in epochs],
        "best_epoch": None if at_best is None else at_best["epoch"] + 1,
        "best_val_loss": None if at_best is None else losses.get(at_best["epoch"]),
    }


def _is(found: object, name: str, value: Any) -> bool:
    return isinstance(found, dict) and found.get(name, ...) == value
