"""The numbers of the four panels that show how a training goes, for figure and live page alike.

Nothing is judged here: which epochs are marked is what the findings in the facts say of them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics import limits_of, rolling_std

Values = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Four panels over E epochs; ``dataclasses.asdict`` of it is strict JSON.

    Every ``Values`` has E entries, None where there is no finite value. All are in the unit of the
    loss.
    """

    epochs: tuple[int, ...]
    """Counted from 1, as all epochs here."""
    losses: dict[str, Values]
    """Panel 1, by split (``train``, ``val``): those that have a finite value at all."""
    judged: str
    """The split of panels 2 and 4: ``val``, or ``train`` where there is no validation."""
    change: Values
    """Panel 2: loss of the judged split - that of the epoch before; below 0 is better."""
    gap: Values | None
    """Panel 3: validation - training loss; None where there is no validation."""
    gap_limit: float
    """A gap above this that grows is overfitting."""
    std: Values
    """Panel 4: population standard deviation of the last ``std_epochs`` judged losses."""
    std_epochs: int
    std_limit: float
    """A standard deviation above this, of losses that do not just fall, is instability."""
    found: dict[str, tuple[int, ...]]
    """By kind of finding, the epochs whose facts hold it: those to mark. ``worsening`` belongs to
    panel 1, ``plateau`` to panel 2, ``overfitting`` to panel 3 and ``instability`` to panel 4."""
    best_epoch: int | None
    """The best epoch so far; None where none is known."""

    @classmethod
    def of(cls, epochs: Sequence[Mapping[str, Any]], thresholds: DiagnosticsConfig) -> "Curves":
        """Make them from the events of :func:`aam.facts.reader.epoch_events`."""
        losses = {split: _losses(epochs, split) for split in ("train", "val")}
        losses = {s: one for s, one in losses.items() if any(v is not None for v in one)}
        judged = "val" if "val" in losses else "train"
        of_judged = losses.get(judged, (None,) * len(epochs))
        limits = limits_of(epochs, thresholds)
        best = next((event["best"] for event in reversed(epochs) if event["best"]), None)
        return cls(
            epochs=tuple(event["epoch"] + 1 for event in epochs),
            losses=losses,
            judged=judged,
            change=(None, *_differences(of_judged[:-1], of_judged[1:])) if epochs else (),
            gap=_differences(losses["train"], losses["val"]) if len(losses) == 2 else None,
            gap_limit=limits.gap,
            std=_finite(
                rolling_std(
                    [math.nan if v is None else v for v in of_judged], thresholds.std_epochs
                )
            ),
            std_epochs=thresholds.std_epochs,
            std_limit=limits.std,
            found=_found(epochs),
            best_epoch=best["epoch"] + 1 if best else None,
        )


def _losses(epochs: Sequence[Mapping[str, Any]], split: str) -> Values:
    return _finite(event[f"{split}_loss"] for event in epochs)


def _finite(values: Iterable[float | None]) -> Values:
    return tuple(None if v is None or not math.isfinite(v) else float(v) for v in values)


def _differences(before: Values, after: Values) -> Values:
    return tuple(
        None if one is None or other is None else other - one
        for one, other in zip(before, after, strict=True)
    )


def _found(epochs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for event in epochs:
        for finding in event["diagnostics"]:
            found.setdefault(finding["kind"], []).append(event["epoch"] + 1)
    return {kind: tuple(numbers) for kind, numbers in found.items()}
