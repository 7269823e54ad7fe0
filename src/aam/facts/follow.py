"""Read the facts of a run while they are written: each event once, as soon as its line is whole."""

import os
from pathlib import Path
from typing import Any

from aam.facts.reader import EVENTS, parse_event


class Follower:
    """Reads on where it stopped, without holding the file open.

    ``generation`` grows when the file is another one, or shorter than what was read: the events of
    :meth:`read` then begin anew, and those before are void.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.generation = 0
        self._offset = 0  # just after the last whole line that was read
        self._file: tuple[int, int] | None = None

    def read(self) -> list[dict[str, Any]]:
        """The events that came since the last call; none while there is no file."""
        try:
            with (self.run_dir / EVENTS).open("rb") as file:
                status = os.fstat(file.fileno())
                self._begin_anew_if_replaced((status.st_dev, status.st_ino), status.st_size)
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return []
        *lines, torn = content.split(b"\n")
        self._offset += len(content) - len(torn)
        return [event for event in map(parse_event, lines) if event is not None]

    def _begin_anew_if_replaced(self, file: tuple[int, int], size: int) -> None:
        if self._file not in (None, file) or size < self._offset:
            self.generation += 1
            self._offset = 0
        self._file = file
