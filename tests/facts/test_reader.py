import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aam.errors import UserError
from aam.facts.reader import epoch_events, read_events, series
from aam.facts.schema import blank_event

Fields = Callable[..., dict[str, Any]]


@pytest.fixture
def event(epoch_fields: Fields) -> dict[str, Any]:
    base = {"run_id": "r", "loop": "pretrain", "timestamp": "2026-11-21T14:09:53Z"}
    event = blank_event() | base | {"moment": "on_epoch_end"} | epoch_fields(0)
    event["metrics"]["test"] = {}
    return event


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ('"train_loss": 1.0', '"train_loss": NaN'),
        ('"train_loss": 1.0', '"train_loss": -Infinity'),
        ('"train_loss": 1.0', '"train_loss": 1e999'),
        ('"train_loss": 1.0', '"train_loss": 1' + "0" * 400),
        ('"train_loss": 1.0', '"train_loss": "1.0"'),
        ('"unifrac_loss": 0.5', '"unifrac_loss": [0.5]'),
        ('"schema_version": 1', '"schema_version": 2'),
        ('"run_id": "r", ', ""),
        ('"epoch": 0, "step"', '"epoch": null, "step"'),
        ('"epoch": 0, "step"', '"epoch": "0", "step"'),
        ('"epoch": 0, "step"', '"epoch": -1, "step"'),
        ('"best": {"epoch": 0', '"best": {"epoch": -1'),
        ('"best": {"epoch": 0, ', '"best": {'),
        ('"best": {"epoch": 0, "metric": "val_loss"', '"best": {"epoch": 0, "metric": 1'),
        ('"diagnostics": []', '"diagnostics": [{"kind": "plateau"}]'),
        ('"artifacts": {}', '"artifacts": {"best": null}'),
        ('"moment": "on_epoch_end"', '"moment": "on_start"'),  # which needs its meta
        ('"moment": "on_epoch_end"', '"moment": "on_exception"'),
        ('"meta": null', '"meta": {"inputs": {"table": "table.biom"}}'),
        ('"test": {}', '"test": null'),
        ('"run_id": "r"', r'"run_id": "\ud800"'),  # half of a surrogate pair: nothing can show it
        ('"test": {}', '"test": {}, "later": ' + "[" * 500 + "]" * 500),
        ("}\n", "}"),  # no newline: it may still be being written
    ],
)
def test_lines_that_are_no_event_are_skipped(
    tmp_path: Path, event: dict[str, Any], found: str, put: str
) -> None:
    path = tmp_path / "events.jsonl"
    whole = json.dumps(event) + "\n"
    assert found in whole
    path.write_text(whole + whole.replace(found, put))
    assert read_events(path) == [event]


def test_fields_unknown_to_an_earlier_version_are_empty(
    tmp_path: Path, event: dict[str, Any]
) -> None:
    path = tmp_path / "events.jsonl"
    old = {k: v for k, v in event.items() if k not in ("history", "diagnostics", "nonfinite")}
    path.write_text(json.dumps(old | {"later_field": 1}) + "\n")
    assert read_events(path) == [event | {"later_field": 1}]


def test_whole_surrogate_pairs_and_many_objects_are_read(
    tmp_path: Path, event: dict[str, Any]
) -> None:
    path = tmp_path / "events.jsonl"
    event |= {"run_id": "🧬", "later": [[{}]] * 200}
    path.write_text(json.dumps(event) + "\n", encoding="ascii")
    assert read_events(path) == [event]


def test_series_leave_out_what_has_no_value(event: dict[str, Any]) -> None:
    events = [event | {"epoch": epoch, "val_loss": v} for epoch, v in enumerate((0.5, None, 2))]
    assert series(events, "val", "loss") == ([0, 2], [0.5, 2.0])
    assert series(events, "train", "unifrac_loss") == ([0, 1, 2], [0.5] * 3)
    assert series(events, "val", "r2") == ([], [])
    assert [e["epoch"] for e in epoch_events(reversed(events))] == [0, 1, 2]


def test_an_absent_run_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UserError, match="does not exist: give a run folder that holds facts"):
            read_events(path)
