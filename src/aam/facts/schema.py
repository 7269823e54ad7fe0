"""The shape of an event: one line of ``facts/events.jsonl``, schema version 1.

``events.schema.json`` beside this file is the contract in full; here stand the parts of it that
writing and reading need, so that neither has to load a validator.
"""

import json
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

SCHEMA_VERSION = 1

MOMENTS = (
    "on_start",
    "on_epoch_end",
    "on_validation_improved",
    "on_train_end",
    "on_test_end",
    "on_exception",
    "on_stop",
    "on_resume",
)

SPLITS = ("train", "val", "test")

# Fields that belong to some moments, where they must be given, and are null at all others.
BOUND_FIELDS = {
    "meta": ("on_start", "on_resume"),
    "error": ("on_exception",),
    "history": ("on_train_end",),
    "reason": ("on_stop",),
}

# Moments that make no sense without an epoch.
EPOCH_MOMENTS = ("on_epoch_end", "on_validation_improved", "on_resume")

# Moments that a resume may bring a second time, and that say so by ``resumed_from``.
DONE_AGAIN_MOMENTS = ("on_epoch_end", "on_validation_improved")

_NUMBER = (int, float, NoneType)
FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "schema_version": (int,),
    "moment": (str,),
    "run_id": (str,),
    "run_dir": (str, NoneType),
    "loop": (str,),
    "timestamp": (str,),
    "epoch": (int, NoneType),
    "step": (int, NoneType),
    "train_loss": _NUMBER,
    "val_loss": _NUMBER,
    "lr": _NUMBER,
    "metrics": (dict,),
    "epoch_time_s": _NUMBER,
    "total_time_s": _NUMBER,
    "throughput": _NUMBER,
    "max_memory_mib": _NUMBER,
    "best": (dict, NoneType),
    "diagnostics": (list,),
    "artifacts": (dict,),
    "meta": (dict, NoneType),
    "error": (dict, NoneType),
    "history": (dict, NoneType),
    "nonfinite": (list,),
    "reason": (str, NoneType),  # the first versions had none
    "resumed_from": (int, NoneType),  # nor this
}

# What stands in the fields that are objects or lists, as far as readers build on it: types, a list
# with the shape of its items, or names with their shapes. A name with a question mark may be
# missing, and ``*`` is every name.
_TEXT = (str, NoneType)
_SHAPES: dict[str, Any] = {
    "best": {"epoch": int, "metric": str, "value": _NUMBER},
    "diagnostics": [{"kind": str, "evidence": str, "advice": str}],
    "artifacts": {"*": str},
    "error": {"type": str, "message": str, "samples?": [str]},
    "history": {"*": [_NUMBER]},
    "nonfinite": [str],
    "meta": {
        "command?": str,
        "device?": str,
        "git?": {"*": (str, bool, NoneType)},
        "hostname?": str,
        "inputs?": {"*": {"path": str, "sha256": str}},
        "num_samples?": {"*": int},
        "target?": {
            "task": str,
            "columns": [str],
            "split": {"kind": str, "fold": int, "folds": int, "repeats": int},
        },
        "versions?": {"*": _TEXT},
        "working_dir?": str,
    },
}


def blank_event() -> dict[str, Any]:
    """Every field of an event, in the order of the file, with its empty value."""
    return {
        **dict.fromkeys(FIELD_TYPES),
        "schema_version": SCHEMA_VERSION,
        "metrics": {split: {} for split in SPLITS},
        "diagnostics": [],
        "artifacts": {},
        "nonfinite": [],
    }


def misfit(event: dict[str, Any]) -> str | None:
    """The first field whose value readers cannot build on; None if there is none.

    Cheap enough for every event. The recorder writes no event that has one, and the reader takes a
    line that has one for foreign.
    """
    for name, types in FIELD_TYPES.items():
        if not isinstance(event[name], types):
            return name
    for split in SPLITS:
        if not _holds_numbers(event["metrics"].get(split)):
            return f"metrics.{split}"
    for name, shape in _SHAPES.items():
        if event[name] is not None and not _has_shape(event[name], shape):
            return name
    if event["meta"] is None and event["moment"] in BOUND_FIELDS["meta"]:
        return "meta"
    if event["error"] is None and event["moment"] in BOUND_FIELDS["error"]:
        return "error"
    if event["epoch"] is None and event["moment"] in EPOCH_MOMENTS:
        return "epoch"
    if event["epoch"] is not None and event["epoch"] < 0:
        return "epoch"
    if event["best"] is not None and event["best"]["epoch"] < 0:
        return "best"
    return None


def _holds_numbers(metrics: object) -> bool:
    return isinstance(metrics, dict) and all(isinstance(v, _NUMBER) for v in metrics.values())


def _has_shape(value: object, shape: Any) -> bool:
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has_shape(item, shape[0]) for item in value)
    if not isinstance(shape, dict):
        return isinstance(value, shape)
    if not isinstance(value, dict):
        return False
    if "*" in shape:
        return all(_has_shape(item, shape["*"]) for item in value.values())
    return all(
        _has_shape(value[name.rstrip("?")], inner) if name.rstrip("?") in value else name[-1] == "?"
        for name, inner in shape.items()
    )


@cache
def event_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an event, as it lies in the package."""
    schema: dict[str, Any] = json.loads(
        Path(__file__).with_name("events.schema.json").read_text(encoding="utf-8")
    )
    return schema


def validate(event: dict[str, Any]) -> None:
    """Check an event against the schema; needs ``jsonschema``, which only tests install.

    Raises
    ------
    jsonschema.ValidationError
        If the event breaks the contract.
    """
    from jsonschema import Draft202012Validator

    Draft202012Validator(event_schema()).validate(event)
