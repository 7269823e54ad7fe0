"""What is left of a run: are its files whole, and is it as one that nobody killed?"""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from aam.errors import UserError
from aam.facts.reader import EVENTS, epoch_events, parse_event, read_events
from aam.facts.schema import validate
from aam.facts.tables import read_tsv
from aam.monitoring.runs.doctor.checkup import examine
from aam.training.checkpoint import BEST, LAST, load_checkpoint

CALIBRATION = "calibration.pt"
LINES = (EVENTS, Path("facts", "scalars.csv"))
TIMED = ("epoch_time_s", "total_time_s", "throughput", "max_memory_mib")
OF_THIS_RUN = ("run_id", "run_dir", "timestamp", "resumed_from")


def torn_lines(run: Path) -> int:
    """How many of the files that grow end in the middle of a line; a resume heals that."""
    ends = [(run / name).read_bytes()[-1:] for name in LINES if (run / name).exists()]
    return sum(end not in (b"", b"\n") for end in ends)


def corrupt_files(run: Path) -> Iterator[str]:
    """The files that are there under their own names and not whole, but for a torn last line."""
    for path in sorted(run.rglob("*")):
        if path.is_dir() or path.name.startswith(".") or ".hydra" in path.parts:
            continue
        try:
            why = _why_corrupt(path)
        except (UserError, ValueError) as error:
            why = str(error)
        if why is not None:
            yield f"{path.relative_to(run)}: {why}"


def _why_corrupt(path: Path) -> str | None:
    match path.suffix:
        case ".jsonl":
            lines = path.read_bytes().split(b"\n")[:-1]
            return None if all(map(parse_event, lines)) else "a line in its middle is torn"
        case ".csv":
            lines = path.read_bytes().split(b"\n")[:-1]
            same = len({line.count(b",") for line in lines}) <= 1
            return None if same else "its rows differ in length"
        case ".pt":
            load_checkpoint(path)
        case ".tsv":
            read_tsv(path)
        case ".json":
            json.loads(path.read_bytes())
    return None


def differences(run: Path, whole: Path) -> Iterator[str]:
    """Everything in which a run that was killed ended otherwise than the one that was not."""
    if not (run / EVENTS).exists():
        yield "it never came to its end"
        return
    for name in (LAST, BEST, CALIBRATION):
        if (whole / name).exists():
            states = [timeless(load_checkpoint(folder / name)) for folder in (run, whole)]
            yield from (f"{name}: {where}" for where in unequal(*states))
    histories = [list(history(folder)) for folder in (run, whole)]
    yield from (f"events: {where}" for where in unequal(*histories))
    for event in read_events(run):
        validate(event)
    tables = [scalars(folder) for folder in (run, whole)]
    yield from (f"scalars.csv: {where}" for where in unequal(*tables))
    names = ["training_metrics.json", "split.tsv"]
    names += [f"predictions/{path.name}" for path in sorted((whole / "predictions").iterdir())]
    for name in names:
        if (run / name).read_bytes() != (whole / name).read_bytes():
            yield f"{name} differs"
    yield from (f"doctor: {one.where}: {one.what}" for one in examine(run) if one.level != "note")


def timeless(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint but for how long it took."""
    so_far = {key: value for key, value in state.get("so_far", {}).items() if key != "seconds"}
    return {key: value for key, value in state.items() if key != "seconds"} | {"so_far": so_far}


def history(run: Path) -> Iterator[dict[str, Any]]:
    """The epochs as a reader sees them, the end and the test: all but times and names."""
    events = read_events(run)
    last = {event["moment"]: event for event in events}
    for event in (*epoch_events(events), last.get("on_train_end"), last.get("on_test_end")):
        told = json.dumps(event).replace(str(run), "RUN")  # an advice may name the folder
        yield {k: v for k, v in json.loads(told).items() if k not in (*TIMED, *OF_THIS_RUN)}


def scalars(run: Path) -> list[dict[str, str]]:
    with (run / "facts" / "scalars.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(file)]


def unequal(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where two values differ by a single bit."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys(), key=str):
            if key in expected and key in found:
                yield from unequal(found[key], expected[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is there once"
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(expected) != len(found):
            yield f"{where} has {len(found)} items, not {len(expected)}"
        for index, pair in enumerate(zip(found, expected, strict=False)):
            yield from unequal(*pair, f"{where}[{index}]")
    elif isinstance(expected, torch.Tensor):
        if not torch.equal(found, expected):
            yield f"{where} differs"
    elif found != expected and not (is_nan(found) and is_nan(expected)):
        yield f"{where} is {found!r}, not {expected!r}"


def is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
