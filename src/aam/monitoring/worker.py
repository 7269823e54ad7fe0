"""The process that draws, so that drawing never holds up training.

``python -m aam.monitoring.worker RUN_DIR CONFIG`` with the logging config as JSON. It reads
requests "moment epoch" from its standard input, one a line, and leaves when that is closed and all
is drawn.
What it has to say (a figure that failed, facts that are missing) goes to standard error, one line
each, led by a level of logging.
"""

import contextlib
import json
import os
import select
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.facts.reader import read_events
from aam.monitoring.drawing import FactsMissing, draw
from aam.monitoring.plan import Drawing, kind_of, plan

NICENESS = 10
# After drawing, rest this many times as long: epochs of a second must not keep a core busy.
REST = 4.0


class Inbox:
    """Requests that wait, the newest of each figure only."""

    def __init__(self, fd: int, drawings: list[Drawing]) -> None:
        self.open = True
        self.waiting: dict[Drawing, str] = {}
        self._fd = fd
        self._drawings = drawings
        self._torn = b""

    def read(self, timeout_s: float | None) -> None:
        """Take what has come; wait at most so long for something, None for ever."""
        while self.open and select.select([self._fd], [], [], timeout_s)[0]:
            self._take(os.read(self._fd, 1 << 16))
            timeout_s = 0.0

    def pop(self) -> tuple[Drawing, str]:
        """Take out the figure that has waited longest, and the epoch it was last asked for."""
        drawing = next(iter(self.waiting))
        return drawing, self.waiting.pop(drawing)

    def _take(self, data: bytes) -> None:
        self.open = bool(data)
        *lines, self._torn = (self._torn + data).split(b"\n")
        for line in lines:
            moment, _, epoch = line.decode().partition(" ")
            self.waiting.update({d: epoch for d in self._drawings if d.moment == moment})


def serve(run_dir: Path, logging: LoggingConfig, fd: int) -> None:
    """Draw what is asked for until the inbox is closed and empty."""
    # The facts hold the start of the run by now: without it, nothing would be asked for.
    inbox = Inbox(fd, plan(logging, kind_of(read_events(run_dir))))
    said: set[tuple[str, str]] = set()
    rested_at = 0.0
    while inbox.open or inbox.waiting:
        if not inbox.waiting:
            inbox.read(None)
        elif (rest_s := rested_at - time.monotonic()) > 0 and inbox.open:
            inbox.read(rest_s)
        else:
            inbox.read(0.0)
            start = time.monotonic()
            _draw(run_dir, logging, *inbox.pop(), said)
            rested_at = time.monotonic() + REST * (time.monotonic() - start)


def _draw(
    run_dir: Path, logging: LoggingConfig, drawing: Drawing, epoch: str, said: set[tuple[str, str]]
) -> None:
    try:
        draw(run_dir, drawing, logging)
    except FactsMissing as error:
        _say_once("INFO", drawing, f"was not drawn: {error}", said)
    except Exception as error:
        what = f"failed at epoch {epoch}: {type(error).__name__}: {error}"
        _say_once("WARNING", drawing, what, said)


def _say_once(level: str, drawing: Drawing, what: str, said: set[tuple[str, str]]) -> None:
    if (drawing.family, level) in said:
        return
    said.add((drawing.family, level))
    with contextlib.suppress(OSError):  # the trainer may be gone; the figures matter still
        print(level, f"figure {drawing.file}", " ".join(what.split()), file=sys.stderr, flush=True)


def logging_of(values: dict[str, Any]) -> LoggingConfig:
    """Make the config from what ``dataclasses.asdict`` gave, after a way through JSON."""
    families = {name: FamilyConfig(**family) for name, family in values["families"].items()}
    nested = {"families": families, "diagnostics": DiagnosticsConfig(**values["diagnostics"])}
    return LoggingConfig(
        **{field.name: values[field.name] for field in fields(LoggingConfig)} | nested
    )


def main() -> None:
    """Serve the run folder and config that the command line names."""
    run_dir, config = sys.argv[1:]
    os.nice(NICENESS)
    serve(Path(run_dir), logging_of(json.loads(config)), sys.stdin.fileno())


if __name__ == "__main__":
    main()
