"""What a person sees while a run goes on: a progress bar, one line an epoch, a summary at the end.

Where the output is no terminal, plain lines at intervals take the place of the bar.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from aam.facts.listener import Progress
from aam.facts.reader import epoch_events, read_events
from aam.monitoring.end_report import End, end_report
from aam.monitoring.wording import duration, epoch_line, near, resumed_line, shown_values

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
        self._judged: list[dict[str, Any]] = []
        self._meta: dict[str, Any] = {}
        self._test: dict[str, Any] | None = None
        self._end, self._end_at = "Ended after", self._start

    def on_event(self, event: dict[str, Any]) -> None:
        """Write the line of an epoch; keep what the summary needs."""
        self._last, self._end_at = event, self._clock()
        self._best = event["best"] or self._best
        moment = event["moment"]
        self._judged.append(_judged(event))
        if moment in ("on_start", "on_resume"):
            self._begin(event)
        elif moment == "on_epoch_end":
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
        if self._last is None:
            return
        end = End(
            outcome=self._outcome(),
            best=self._best,
            meta=self._meta,
            test=self._test,
            lr=self._last["metrics"]["train"].get("suggested_lr"),
            judged=self._judged,
            run_dir=self._run_dir,
        )
        for line in end_report(end):
            self._write(line)

    def _begin(self, event: dict[str, Any]) -> None:
        self._start = self._line_at = self._clock()
        self._meta = event["meta"]
        if self._is_terminal:
            from tqdm.contrib.logging import logging_redirect_tqdm

            # So that a notice of the log does not tear the bar.
            self._held.enter_context(logging_redirect_tqdm())
        if self._run_dir is not None:
            self._write(f"Run folder: {near(self._run_dir)}")
        if event["moment"] == "on_resume" and self._run_dir is not None:
            events = read_events(self._run_dir)
            self._judged = [_judged(one) for one in events]
            past = epoch_events(events)
            self._val_losses = {one["epoch"]: one["val_loss"] for one in past}
            self._num_done = event["epoch"]
            self._write(resumed_line(event))

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


def _judged(event: dict[str, Any]) -> dict[str, Any]:
    """What ``spells`` needs of an event, so that no more is held of it."""
    return {name: event[name] for name in ("moment", "epoch", "diagnostics")}


def _has_width(stream: TextIO) -> bool:
    """A terminal that says it has no columns, as under some schedulers, shows no bar."""
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        return True
