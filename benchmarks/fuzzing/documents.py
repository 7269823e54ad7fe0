"""Files of nested values: BIOM 1.0, facts, the sign of life."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.mutations import mutated, mutated_text
from fuzzing.texts import ASVS, SAMPLES, read_table
from fuzzing.values import mutated_value, nested
from fuzzing.worker import Reader

BIOM = {
    "id": "None",
    "format": "Biological Observation Matrix 1.0.0",
    "type": "OTU table",
    "matrix_type": "sparse",
    "matrix_element_type": "int",
    "shape": [5, 4],
    "rows": [{"id": name, "metadata": None} for name in ASVS],
    "columns": [{"id": name, "metadata": {"age": 3}} for name in SAMPLES],
    "data": [[0, 0, 5], [0, 2, 1.0], [1, 2, 7], [2, 1, 3], [3, 3, 9], [4, 0, 1]],
}
_EMPTY_METRICS: dict[str, dict[str, float]] = {"train": {}, "val": {}, "test": {}}
_META = {
    "git": {"commit": "0" * 40, "dirty": False},
    "hostname": "here",
    "pid": 1,
    "seed": 7,
    "device": "cpu",
    "versions": {"aam": "0.1.0", "torch": "2.6.0"},
    "inputs": {"table": {"path": "/data/t.biom", "sha256": "0" * 64, "bytes": 9}},
    "num_samples": {"train": 8, "val": 2, "test": 1},
    "num_epochs": 2,
    "command": "aam-train",
}
SIGN = {"hostname": "here", "pid": 1, "place": "here boot pid:[1]", "born": "123"}


def events() -> list[dict[str, Any]]:
    """The facts of a whole run that was resumed once."""
    blank = {
        "schema_version": 1,
        "moment": "on_start",
        "run_id": "r",
        "run_dir": "/runs/r",
        "loop": "pretrain",
        "timestamp": "2026-11-21T14:09:53Z",
        "metrics": _EMPTY_METRICS,
        "diagnostics": [],
        "artifacts": {},
        "nonfinite": [],
    }
    epoch = {
        **blank,
        "moment": "on_epoch_end",
        "epoch": 0,
        "step": 10,
        "train_loss": 1.0,
        "val_loss": 1.1,
        "lr": 1e-4,
        "metrics": {"train": {"total_loss": 1.0}, "val": {"total_loss": 1.1}, "test": {}},
        "best": {"epoch": 0, "metric": "val_loss", "value": 1.1},
        "diagnostics": [{"kind": "plateau", "evidence": "…", "advice": "…"}],
        "artifacts": {"best_model": "best_model.pt"},
    }
    test = {**blank, "moment": "on_test_end", "epoch": 0, "artifacts": {"test": "p.tsv"}}
    return [
        {**blank, "meta": _META},
        epoch,
        {**epoch, "moment": "on_validation_improved"},
        {**blank, "moment": "on_stop", "reason": "SIGTERM", "epoch": 1},
        {**blank, "moment": "on_resume", "epoch": 1, "meta": _META},
        {**epoch, "epoch": 1},
        {**blank, "moment": "on_train_end", "history": {"train_loss": [1.0, None]}, "epoch": 1},
        {**test, "metrics": {**_EMPTY_METRICS, "test": {"mae": 0.5}}},
    ]


def json_text(value: Any) -> str:
    """JSON that may hold what Python's own writer refuses: half surrogates, deep nesting."""
    return json.dumps(value, check_circular=False)


def broken_json(rng: random.Random, value: Any) -> bytes:
    """Another tree of values, or broken text."""
    try:
        text = json_text(mutated_value(rng, value) if rng.random() < 0.7 else value)
    except RecursionError:  # too deep for the writer; let it be deep for the reader
        text = json_text({}).replace("{}", '{"data": ' + rng.choice("[{") * 5000)
    if rng.random() < 0.3:
        return mutated_text(rng, text, ('"', "\\ud800", "NaN", "-Infinity", "1e999", "[[", "{}"))
    return text.encode()


def broken_biom(rng: random.Random) -> bytes:
    """As broken JSON, sometimes dense, sometimes with one cell that makes all others large."""
    document = dict(BIOM)
    kind = rng.random()
    if kind < 0.2:
        dense = [[1, 0, 0, 2]] * len(ASVS)
        document |= {"matrix_type": "dense", "data": dense}
    elif kind < 0.25:
        text = "x" * rng.choice((10, 10**4, 10**6))
        document["data"] = [[0, 0, text], *([0, 0, 1] for _ in range(rng.choice((3, 10**4))))]
    elif kind < 0.3:
        document["data"] = nested(rng.choice((3, 40, 70, 900)), in_lists=True)
    return broken_json(rng, document)


def broken_events(rng: random.Random) -> bytes:
    """Lines that are broken, torn, repeated, out of order, or of another kind."""
    lines = [
        broken_json(rng, event) if rng.random() < 0.3 else json_text(event).encode()
        for event in events()
    ]
    if rng.random() < 0.3:
        rng.shuffle(lines)
    content = rng.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n")).join(lines) + b"\n"
    return mutated(rng, content) if rng.random() < 0.3 else content


def read_events(folder: Path) -> None:
    """All that is made of the events of a run, without a figure."""
    from aam.facts.follow import Follower
    from aam.facts.reader import best, epoch_events, read_events, series
    from aam.facts.summary import summarize

    events = read_events(folder)
    for event in events:
        json.dumps(event, allow_nan=False, ensure_ascii=False).encode()
    epoch_events(events)
    best(events)
    series(events, "val", "loss")
    series(events, "train", "total_loss")
    assert Follower(folder).read() == events
    summary = summarize(folder)
    if summary is not None:
        told = [getattr(summary, name) for name in ("run_id", "loop", "data", "state")]
        " ".join(told).encode()
        assert summary.num_done >= 0
        str((summary.best, summary.num_epochs, summary.started, summary.updated))


def read_signs(folder: Path) -> None:
    """Whether somebody writes, and who asked the run to stop."""
    from aam.facts.presence import is_written
    from aam.facts.stopping import is_asked_to_stop, take_request

    is_written(folder)
    is_asked_to_stop(folder)
    (take_request(folder) or "").encode()


def document_reader(
    name: str,
    file: str,
    whole: Callable[[], bytes],
    broken: Callable[[random.Random], bytes],
    read: Callable[[Path], object],
    beside: dict[str, str] | None = None,
) -> Reader:
    """A reader of the file at this path of a folder; it is given the folder."""

    def write(folder: Path, content: bytes) -> None:
        for path, text in (beside or {}).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)

    return Reader(
        name,
        lambda rng, folder: write(folder, broken(rng)),
        lambda folder: write(folder, whole()),
        read,
    )


def readers() -> tuple[Reader, ...]:
    """All of them."""
    lines = "\n".join(map(json_text, events())) + "\n"
    return (
        document_reader(
            "BIOM 1.0", "table.biom", lambda: json_text(BIOM).encode(), broken_biom,
            lambda folder: read_table(folder / "table.biom"),
        ),
        document_reader(
            "events.jsonl", "facts/events.jsonl", lines.encode, broken_events, read_events
        ),
        document_reader(
            "writer.json", "facts/writer.json", lambda: json_text(SIGN).encode(),
            lambda rng: broken_json(rng, SIGN), read_signs, {"stop_request": "me\n"},
        ),
    )  # fmt: skip
