"""Stop requests from outside: Ctrl-C and what schedulers send before they take a machine away."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from aam.errors import StopRequestedError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# A scheduler may signal a process twice for one reason: itself, and by a wrapper that passes it on.
_ECHO_S = 0.1


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Have the signals of ``STOPPING`` raise ``StopRequestedError`` wherever the program stands."""
    before = {number: signal.signal(number, _raise) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """Turns the first signal of ``STOPPING`` into a flag while in use; a second one raises at once.

    Raises
    ------
    StopRequestedError
        Wherever the program stands, by a second signal; ``is_urgent`` then.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.is_urgent = False
        self._came_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in STOPPING:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def number(self) -> int:
        """The signal that has come; 0 if none has."""
        return 0 if self.name is None else signal.Signals[self.name]

    def _note(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.name is None:
            self.name, self._came_at = signal.Signals(number).name, now
        elif now - self._came_at > _ECHO_S:
            self.is_urgent = True
            raise StopRequestedError(signal.Signals(number).name)


def stop_by(number: int) -> StopRequestedError:
    """The error that a signal is told by."""
    return StopRequestedError(signal.Signals(number).name)


def _raise(number: int, _: FrameType | None) -> None:
    raise StopRequestedError(signal.Signals(number).name)
