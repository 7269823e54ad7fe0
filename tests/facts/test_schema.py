import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from aam.facts.schema import FIELD_TYPES, MOMENTS, blank_event, event_schema, validate

# Programs outside of this package rely on these names: to change them is a decision.
FROZEN_FIELDS = [
    "schema_version",
    "moment",
    "run_id",
    "run_dir",
    "loop",
    "timestamp",
    "epoch",
    "step",
    "train_loss",
    "val_loss",
    "lr",
    "metrics",
    "epoch_time_s",
    "total_time_s",
    "throughput",
    "max_memory_mib",
    "best",
    "diagnostics",
    "artifacts",
    "meta",
    "error",
    "history",
    "nonfinite",
    "reason",
    "resumed_from",
]
ADDED_LATER = ["reason", "resumed_from"]
FROZEN_MOMENTS = [
    "on_start",
    "on_epoch_end",
    "on_validation_improved",
    "on_train_end",
    "on_test_end",
    "on_exception",
    "on_stop",
    "on_resume",
]


def test_fields_and_moments_are_frozen() -> None:
    schema = event_schema()
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == FROZEN_FIELDS
    assert [*schema["required"], *ADDED_LATER] == FROZEN_FIELDS
    assert list(FIELD_TYPES) == list(blank_event()) == FROZEN_FIELDS
    assert schema["properties"]["moment"]["enum"] == list(MOMENTS) == FROZEN_MOMENTS
    assert schema["properties"]["schema_version"] == {"const": blank_event()["schema_version"]}


@pytest.fixture
def events(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A valid event of every moment."""
    common = {
        "run_id": "r",
        "run_dir": "/run",
        "loop": "pretrain",
        "timestamp": "2026-11-21T14:09:53Z",
        "epoch": 3,
        "step": 40,
        "best": {"epoch": 3, "metric": "val_loss", "value": 0.5},
    }
    bound: dict[str, dict[str, Any]] = {
        "on_start": {"meta": meta},
        "on_resume": {"meta": meta},
        "on_exception": {"error": {"type": "E", "message": "m", "traceback": "t"}},
        "on_train_end": {"history": {"train_loss": [1.0], "val_loss": [None], "lr": [0.1]}},
    }
    return {m: blank_event() | common | {"moment": m} | bound.get(m, {}) for m in MOMENTS}


def test_every_moment_has_a_valid_event(events: dict[str, dict[str, Any]]) -> None:
    for event in events.values():
        validate(event)


@pytest.mark.parametrize("field", ["meta", "error", "history"])
def test_bound_fields_belong_to_their_moments_only(
    events: dict[str, dict[str, Any]], field: str
) -> None:
    owners = [event for event in events.values() if event[field] is not None]
    for event in events.values():
        swapped = event | {field: owners[0][field] if event[field] is None else None}
        with pytest.raises(ValidationError):
            validate(swapped)


@pytest.mark.parametrize(
    ("moment", "path", "value"),
    [
        ("on_epoch_end", ["epoch"], None),
        ("on_epoch_end", ["epoch"], -1),
        ("on_epoch_end", ["epoch"], 1.5),
        ("on_epoch_end", ["step"], None),
        ("on_resume", ["epoch"], None),
        ("on_validation_improved", ["best"], None),
        ("on_epoch_end", ["best"], {"epoch": 1, "metric": "val_loss"}),
        ("on_epoch_end", ["train_loss"], "0.1"),
        ("on_epoch_end", ["metrics", "val"], {"r2": True}),
        ("on_epoch_end", ["metrics", "validation"], {}),
        ("on_epoch_end", ["timestamp"], "2026-11-21 14:09:53"),
        ("on_epoch_end", ["artifacts"], {"best": "/absolute.pt"}),
        ("on_epoch_end", ["diagnostics"], [{"kind": "plateau"}]),
        ("on_epoch_end", ["schema_version"], 2),
        ("on_epoch_end", ["loss"], 0.1),
        ("on_epoch_end", ["resumed_from"], -1),
        ("on_resume", ["resumed_from"], 2),
        ("on_start", ["meta", "git"], {"commit": "abc", "dirty": False}),
        ("on_start", ["meta", "versions"], {"aam": "1"}),
        ("on_start", ["meta", "inputs"], {"table": {"path": "t", "sha256": "", "num_bytes": 1}}),
        ("on_exception", ["error"], {"type": "E", "message": "m"}),
        ("on_train_end", ["history"], {"train_loss": [], "val_loss": []}),
    ],
)
def test_what_breaks_the_contract_is_refused(
    events: dict[str, dict[str, Any]], moment: str, path: list[str], value: object
) -> None:
    event = copy.deepcopy(events[moment])
    owner = event
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    with pytest.raises(ValidationError):
        validate(event)


@pytest.mark.parametrize("name", [name for name in FROZEN_FIELDS if name not in ADDED_LATER])
def test_no_field_may_be_missing(events: dict[str, dict[str, Any]], name: str) -> None:
    event = events["on_stop"]
    del event[name]
    with pytest.raises(ValidationError):
        validate(event)
