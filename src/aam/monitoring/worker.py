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
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from aam.config import LoggingConfig
from aam.facts.follow import Follower
from aam.monitoring.drawing import FOLDER, FactsMissing, render, save
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import Drawing, kind_of, plan
from aam.monitoring.settings import logging_of

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


class Painter:
    """Draws a run as its facts stand, and says once what goes wrong."""

    def __init__(self, run_dir: Path, logging: LoggingConfig) -> None:
        self._run_dir = run_dir
        self._logging = logging
        self._follower = Follower(run_dir)
        self._generation = 0
        self._events: list[dict[str, Any]] = []
        self._has_saved = False
        self._said: set[tuple[str, str]] = set()

    def events(self) -> list[dict[str, Any]]:
        """All events so far; only those that came since the last call are read."""
        new = self._follower.read()
        if self._follower.generation != self._generation:
            self._generation = self._follower.generation
            self._events.clear()
        self._events += new
        return self._events

    def paint(self, drawing: Drawing, epoch: str) -> None:
        """Draw one figure; whatever goes wrong is told, and no reason to end."""
        facts = RunFacts.of(self.events(), self._run_dir, drawing.moment, self._logging.diagnostics)
        try:
            image = render(facts, drawing)
        except FactsMissing as lacks:
            self._say("INFO", drawing.family, f"figure {drawing.file} was not drawn: {lacks}")
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            text = f"figure {drawing.file} failed at epoch {epoch}: {what}"
            self._say("WARNING", drawing.family, text)
        else:
            self._save(drawing, image)

    def _save(self, drawing: Drawing, image: bytes) -> None:
        folder = self._run_dir / FOLDER
        if self._has_saved and not folder.exists():
            self._say("WARNING", FOLDER, f"{folder} was deleted: it is made again")
        try:
            save(folder, drawing, image)
            self._has_saved = True
        except OSError as error:  # of the folder: the other figures would only say the same
            what = f"figures cannot be written to {folder} ({error.strerror or error})"
            self._say("WARNING", FOLDER, f"{what}; it is tried again with every new one")

    def _say(self, level: str, about: str, text: str) -> None:
        """One line, once for each level of what it is about."""
        if (level, about) in self._said:
            return
        self._said.add((level, about))
        with contextlib.suppress(OSError):  # the trainer may be gone; the figures matter still
            print(level, " ".join(text.split()), file=sys.stderr, flush=True)


def serve(run_dir: Path, logging: LoggingConfig, fd: int) -> None:
    """Draw what is asked for until the inbox is closed and empty."""
    painter = Painter(run_dir, logging)
    # The facts hold the start of the run by now: without it, nothing would be asked for.
    inbox = Inbox(fd, plan(logging, kind_of(painter.events())))
    rested_at = 0.0
    while inbox.open or inbox.waiting:
        if not inbox.waiting:
            inbox.read(None)
        elif (rest_s := rested_at - time.monotonic()) > 0 and inbox.open:
            inbox.read(rest_s)
        else:
            inbox.read(0.0)
            start = time.monotonic()
            painter.paint(*inbox.pop())
            rested_at = time.monotonic() + REST * (time.monotonic() - start)


def _stand_back() -> None:
    """Leave the machine to the training, and outlive what only stops that."""
    os.nice(NICENESS)
    # On Linux: where memory ends this process goes first, and where whole sessions are weighed
    # against each other, its own (if it has one: never that of whoever started it) weighs little.
    standings = {"oom_score_adj": "1000"}
    if os.getsid(0) == os.getpid():
        standings["autogroup"] = str(NICENESS)
    for file, text in standings.items():
        with contextlib.suppress(OSError):
            Path("/proc/self", file).write_text(text, encoding="ascii")
    # A scheduler may signal all processes of a job; the trainer then has figures to finish.
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # of libraries; they help nobody


def main() -> None:
    """Serve the run folder and config that the command line names."""
    run_dir, config = sys.argv[1:]
    _stand_back()
    serve(Path(run_dir), logging_of(json.loads(config)), sys.stdin.fileno())


if __name__ == "__main__":
    main()
