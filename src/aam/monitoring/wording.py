"""Numbers, durations, epochs and paths in the words of the console."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aam.facts.listener import Progress

_SHOWN = {
    "total_loss": "Total Loss",
    "unifrac_loss": "UniFrac Loss",
    "nuc_loss": "Nuc Loss",
    "target_loss": "Target Loss",
    "lr": "LR",
}


def epoch_line(event: Mapping[str, Any], val_before: float | None, num_epochs: int | None) -> str:
    """One epoch in a line: ``Epoch 10/20 | Train 0.3245 | Val 0.3512 | Gap +0.0267 | Δ -0.0023``.

    Gap is validation - training loss, Δ the change of the validation loss since the epoch before;
    what cannot be computed is left out. A new best is marked ``★ best``.
    """
    train, val = event["train_loss"], event["val_loss"]
    parts = [f"Epoch {event['epoch'] + 1}" + (f"/{num_epochs}" if num_epochs else "")]
    parts.append(f"Train {number(train)}")
    if val is not None or "val_loss" in event["nonfinite"]:
        parts.append(f"Val {number(val)}")
    if train is not None and val is not None:
        parts.append(f"Gap {number(val - train, '+')}")
    if val is not None and val_before is not None:
        parts.append(f"Δ {number(val - val_before, '+')}")
    line = " | ".join(parts)
    is_best = event["best"] is not None and event["best"]["epoch"] == event["epoch"]
    return f"{line} ★ best" if is_best else line


def resumed_line(event: Mapping[str, Any]) -> str:
    """Where a run goes on: with an epoch, or behind the last of them."""
    planned = event["meta"].get("num_epochs")
    if isinstance(planned, int) and event["epoch"] >= planned:
        return "Resumed: goes on behind its last epoch"
    return f"Resumed: goes on with epoch {event['epoch'] + 1}"


def number(value: float | None, sign: str = "") -> str:
    """Four decimals, or three significant digits where those would hide the value."""
    if value is None or not math.isfinite(value):
        return "nan"
    if value == 0 or 0.001 <= abs(value) < 10_000:
        return f"{value:{sign}.4f}"
    return f"{value:{sign}.3g}"


def rate(value: float) -> str:
    """A learning rate, as one would set it: two significant digits."""
    return f"{value:.2g}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: ``1:02:03`` or ``02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def shown_values(progress: Progress) -> dict[str, str]:
    """The values of a step that the bar shows, under the names that people read."""
    return {
        label: f"{progress.values[name]:.2e}" if name == "lr" else number(progress.values[name])
        for name, label in _SHOWN.items()
        if name in progress.values
    }


def span(first: int, last: int) -> str:
    """Epochs without a break: ``epoch 7`` or ``epochs 7-9``."""
    return f"epoch {first}" if first == last else f"epochs {first}-{last}"


def near(path: Path) -> Path:
    """A path as one would type it here."""
    full = path.resolve()
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full
