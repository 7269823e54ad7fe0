"""The facts of a run that a page is open of, read on as they come."""

import threading
from itertools import count
from pathlib import Path
from typing import Any

from aam.config import DiagnosticsConfig
from aam.errors import UserError
from aam.facts.follow import Follower
from aam.monitoring.settings import logging_of_run

Event = dict[str, Any]
_NUMBERS = count()


class Followed:
    """Keeps the events that a page is made of. Any thread may call."""

    def __init__(self, run_dir: Path) -> None:
        self.thresholds = DiagnosticsConfig()
        """The limits by which the run judges itself."""
        self._run_dir = run_dir
        self._follower = Follower(run_dir)
        self._lock = threading.Lock()
        self._number = next(_NUMBERS)  # two readers of one run never have the same generation
        self._generation = 0
        self._num_resumes = 0
        self._events: list[Event] = []

    def read(self) -> tuple[str, list[Event]]:
        """All events so far, and their generation: in another one, earlier epochs are void."""
        with self._lock:
            new = self._follower.read()
            if self._follower.generation != self._generation:
                self._generation = self._follower.generation
                self._events = []
            self._num_resumes += sum(event["moment"] == "on_resume" for event in new)
            self._events += map(_slim, filter(_matters, new))
            if any(event["meta"] is not None for event in new):
                self.thresholds = _thresholds(self._run_dir)
            generation = f"{self._number}.{self._generation}.{self._num_resumes}"
            return generation, list(self._events)


def _thresholds(run_dir: Path) -> DiagnosticsConfig:
    try:
        return logging_of_run(run_dir).diagnostics
    except (UserError, OSError):
        return DiagnosticsConfig()


def _matters(event: Event) -> bool:
    # What an improvement says stands in the event of its epoch too.
    return bool(event["moment"] != "on_validation_improved")


def _slim(event: Event) -> Event:
    """Without the curves of ``on_train_end``, which its epochs have brought already."""
    return event | {"history": None} if event["history"] else event
