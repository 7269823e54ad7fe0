"""What a run that goes on must find as it was: its settings and its input files."""

from collections.abc import Mapping, Sequence
from typing import Any

from aam.config.changes import illicit_changes
from aam.errors import UserError, shown
from aam.loops.pretrained import PRETRAINED


def refuse_other_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """A run goes on with the settings of its checkpoint, but for those that may change.

    Raises
    ------
    UserError
        Naming the keys that differ, as after an edit of ``.hydra/config.yaml``.
    """
    changes = sorted(illicit_changes(before, now).items())
    if changes:
        told = [f"{key} was {was} and is {is_now}" for key, (was, is_now) in changes]
        raise UserError(
            f"the run cannot go on with other settings than it was started with: {shown(told, 10)};"
            " bring them back in .hydra/config.yaml, or start a new run"
        )


def refuse_other_inputs(events: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]) -> None:
    """A run goes on with the very files that it was started with.

    But for ``pretrained``: what was taken from it is in the run's own checkpoint since.

    Raises
    ------
    UserError
        Naming the file whose content has changed.
    """
    before: dict[str, Any] = next(
        (event["meta"]["inputs"] for event in events if event["moment"] == "on_start"), {}
    )
    for key, file in inputs.items():
        if key in before and key != PRETRAINED and before[key]["sha256"] != file["sha256"]:
            raise UserError(
                f"data.{key} ({file['path']}) is not the file that the run was started with: its "
                "content has changed; bring that back, or start a new run"
            )
