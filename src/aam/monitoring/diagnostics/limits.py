"""From the thresholds of the configuration to limits in the unit of the loss."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics.history import WINDOW, History

_IN_LOSS = ("gap", "plateau_change", "std", "rise", "jump")


def scaled(thresholds: DiagnosticsConfig, start: float) -> DiagnosticsConfig:
    """Limits in the unit of the loss: in relative mode, those on losses times ``start``."""
    if not thresholds.relative:
        return thresholds
    limits: dict[str, Any] = {name: start * getattr(thresholds, name) for name in _IN_LOSS}
    return replace(thresholds, relative=False, **limits)


def limits_of(
    epochs: Iterable[Mapping[str, Any]], thresholds: DiagnosticsConfig
) -> DiagnosticsConfig:
    """The limits that a run is held to, from the events of its epochs."""
    run = History()
    for event in islice(epochs, WINDOW):
        run.add(event)
    return scaled(thresholds, run.start)
