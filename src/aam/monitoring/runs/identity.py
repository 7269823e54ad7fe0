"""What runs must have in common, or else their numbers are about different things."""

from collections.abc import Mapping
from typing import Any

# Named in the facts by their content, not by where they lay.
INPUT_FILES = ("table", "tree", "rep_seqs", "metadata", "distances")


def identity_of(loop: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The loop, the target and the input files (by SHA-256) of a run, by config key.

    ``meta`` is that of its ``on_start``; what an earlier version did not tell is None.
    """
    target, inputs = meta.get("target") or {}, meta.get("inputs") or {}
    columns, classes = (list(target.get(name) or ()) for name in ("columns", "classes"))
    return {
        "loop": loop,
        "data.target": columns,
        "task": target.get("task"),
        "classes": classes,
        "data.group_column": target.get("group_column"),
        **{f"data.{name}": inputs.get(name, {}).get("sha256") for name in INPUT_FILES},
    }
