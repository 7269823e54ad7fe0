"""What a person sees while a run goes on: a progress bar, one line an epoch, a summary at the end.

Where the output is no terminal, plain lines at intervals take the place of the bar.
"""

import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from aam.facts.listener import Progress
from aam.facts.reader import epoch_events, read_events
from aam.monitoring.scores import of_model
from aam.monitoring.verdict import COLUMNS, verdict

SHOWN = {
    "total_loss": "Total Loss",
    "unifrac_loss": "UniFrac Loss",
    "nuc_loss": "Nuc Loss",
    "target_loss": "Target Loss",
    "lr": "LR",
}
ENDS = {"on_train_end": "Trained", "on_stop": "Stopped after", "on_exception": "Failed after"}


class Console:
    """Listener that writes for people; ``interval_s`` is the pause between plain lines."""

    def __init__(
        self,
        run_dir: Path | None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 60.0,
    ) -> None:
        self._run_dir = run_dir
        self._stream = sys.stdout if stream is None else stream
        self._clock = clock
        self._interval_s = interval_s
        self._is_terminal = self._stream.isatty() and _has_width(self._stream)
        self._bar: Any = None
        self._held = ExitStack()
        self._start = self._line_at = clock()
        self._first_epoch: int | None = None
        self._num_epochs: int | None = None
        self._val_losses: dict[int, float | None] = {}
        self._num_done = 0
        self._last: dict[str, Any] | None = None
        self._best: dict[str, Any] | None = None
        self._diagnostics: list[dict[str, str]] = []
        self._meta: dict[str, Any] = {}
        self._test: dict[str, Any] | None = None
        self._end, self._end_at = "Ended after", self._start

    def on_event(self, event: dict[str, Any]) -> None:
        """Write the line of an epoch; keep what the summary needs."""
        self._last, self._end_at = event, self._clock()
        self._best = event["best"] or self._best
        self._diagnostics = event["diagnostics"] or self._diagnostics
        moment = event["moment"]
        if moment in ("on_start", "on_resume"):
            self._begin(event)
        elif moment == "on_epoch_end":
            self._diagnostics = event["diagnostics"]
            self._end_epoch(event)
        elif moment == "on_test_end":
            self._test = event
        elif moment in ENDS:
            self._end = ENDS[moment]
            self._close_bar()

    def on_progress(self, progress: Progress) -> None:
        """Move the bar on, or write a plain line if the last is long ago."""
        if self._first_epoch is None:
            self._first_epoch = progress.epoch
        self._num_epochs = progress.num_epochs
        if self._is_terminal:
            self._move_bar(progress)
        elif self._clock() - self._line_at >= self._interval_s:
            head = f"Epoch {progress.epoch + 1}/{progress.num_epochs}"
            step = f"step {progress.step}/{progress.num_steps}"
            values = [f"{name} {value}" for name, value in shown_values(progress).items()]
            self._write(" | ".join([head, step, *values, f"ETA {self._eta(progress)}"]))

    def close(self) -> None:
        """Write the summary."""
        self._close_bar()
        self._held.close()
        if self._last is not None:
            for line in self._summary():
                self._write(line)

    def _begin(self, event: dict[str, Any]) -> None:
        self._start = self._line_at = self._clock()
        self._meta = event["meta"]
        if self._is_terminal:
            from tqdm.contrib.logging import logging_redirect_tqdm

            # So that a notice of the log does not tear the bar.
            self._held.enter_context(logging_redirect_tqdm())
        if self._run_dir is not None:
            self._write(f"Run folder: {_near(self._run_dir)}")
        if event["moment"] == "on_resume" and self._run_dir is not None:
            past = epoch_events(read_events(self._run_dir))
            self._val_losses = {one["epoch"]: one["val_loss"] for one in past}
            self._num_done = event["epoch"]
            self._write(f"Resumed: goes on with epoch {event['epoch'] + 1}")

    def _end_epoch(self, event: dict[str, Any]) -> None:
        epoch = event["epoch"]
        self._close_bar()
        self._write(epoch_line(event, self._val_losses.get(epoch - 1), self._num_epochs))
        self._val_losses[epoch] = event["val_loss"]
        self._num_done = epoch + 1

    def _move_bar(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=progress.num_steps,
                desc=f"Epoch {progress.epoch + 1}/{progress.num_epochs}",
                file=self._stream,
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc} |{bar:10}| {n_fmt}/{total_fmt}{postfix}",
            )
        # ETA first: a narrow terminal cuts off the end.
        eta = {"ETA": self._eta(progress)}
        self._bar.set_postfix(eta | shown_values(progress), refresh=False)
        self._bar.update(progress.step - self._bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _eta(self, progress: Progress) -> str:
        """How long the rest of the run takes at the pace since it started or was resumed."""
        first = self._first_epoch or 0
        done = (progress.epoch - first) * progress.num_steps + progress.step
        left = (progress.num_epochs - first) * progress.num_steps - done
        return duration((self._clock() - self._start) / done * left)

    def _summary(self) -> list[str]:
        assert self._last is not None
        lines = ["", self._outcome()]
        if self._best is not None:
            value = number(self._best["value"])
            lines.append(f"Best epoch: {self._best['epoch'] + 1} ({self._best['metric']} {value})")
        if self._test is not None:
            lines += self._tested(self._test)
        lines += [
            f"Diagnosis: {one['kind']}: {one['evidence']}. Advice: {one['advice']}"
            for one in self._diagnostics
        ]
        if self._run_dir is not None:
            lines.append(f"Run folder: {_near(self._run_dir)}")
            figures = sorted((self._run_dir / "figures").glob("[!.]*.*"))
            lines += ["Figures:"] if figures else []
            lines += [f"  {_near(figure)}" for figure in figures]
        return lines

    def _tested(self, event: dict[str, Any]) -> list[str]:
        """The test's metrics in a line; of a target, the verdict below, and the rest of them."""
        target = self._meta.get("target")
        told = COLUMNS[target["task"]] if target else ()
        metrics = of_model(event["metrics"]["test"])
        rest = [f"{name} {number(value)}" for name, value in metrics.items() if name not in told]
        lines = [f"Test: {', '.join(rest)}"] if rest else []
        if target:
            size = self._meta["num_samples"].get("test")
            lines += ["", *verdict(event, target, event["loop"], size), ""]
        return lines

    def _outcome(self) -> str:
        assert self._last is not None
        epochs = f"{self._num_done} epoch{'' if self._num_done == 1 else 's'}"
        since = " since it was resumed" if self._first_epoch else ""
        outcome = f"{self._end} {epochs} ({duration(self._end_at - self._start)}{since})"
        error = self._last["error"]
        return f"{outcome}: {error['type']}: {error['message']}" if error else outcome

    def _write(self, line: str) -> None:
        """Write a line past the bar; signs that the stream does not know become question marks."""
        encoding = self._stream.encoding or "utf-8"
        line = line.encode(encoding, "replace").decode(encoding)
        if self._bar is None:
            print(line, file=self._stream, flush=True)
        else:
            self._bar.write(line, file=self._stream)
        self._line_at = self._clock()


def epoch_line(event: dict[str, Any], val_before: float | None, num_epochs: int | None) -> str:
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


def number(value: float | None, sign: str = "") -> str:
    """Four decimals, or three significant digits where those would hide the value."""
    if value is None or not math.isfinite(value):
        return "nan"
    if value == 0 or 0.001 <= abs(value) < 10_000:
        return f"{value:{sign}.4f}"
    return f"{value:{sign}.3g}"


def shown_values(progress: Progress) -> dict[str, str]:
    """The values of a step that the bar shows, under the names that people read."""
    return {
        label: f"{progress.values[name]:.2e}" if name == "lr" else number(progress.values[name])
        for name, label in SHOWN.items()
        if name in progress.values
    }


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: ``1:02:03`` or ``02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _has_width(stream: TextIO) -> bool:
    """A terminal that says it has no columns, as under some schedulers, shows no bar."""
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        return True


def _near(path: Path) -> Path:
    """A path as one would type it here."""
    full = path.resolve()
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full
