"""Stop requests from outside: Ctrl-C and what schedulers send before they take a machine away."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from aam.errors import StopRequestedError

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise ``StopRequestedError`` wherever the program stands."""
    before = {number: signal.signal(number, _raise) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """Turns SIGINT and SIGTERM into a flag while in use; a second signal ends at once."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in STOPPING:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_asked(self) -> None:
        """Raise ``StopRequestedError`` if a signal has come."""
        if self.name is not None:
            raise StopRequestedError(self.name)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        signal.signal(number, self._before[number])


def _raise(number: int, _: FrameType | None) -> None:
    raise StopRequestedError(signal.Signals(number).name)
