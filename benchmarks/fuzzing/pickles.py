"""Pickles that run code when they are loaded: they make a file beside the folder of the input."""

import os
from pathlib import Path
from typing import Any

from fuzzing.worker import MARKER


class Malicious:
    """Makes the marker when it is unpickled; ``way`` chooses how."""

    def __init__(self, folder: Path, way: int = 0) -> None:
        self.marker = folder.parent / MARKER
        self.way = way

    def __reduce__(self) -> tuple[Any, ...]:
        touch = f"open({str(self.marker)!r}, 'w').close()"
        ways: tuple[tuple[Any, ...], ...] = (
            (Path.touch, (self.marker,)),
            (os.system, (f"touch {self.marker}",)),
            (eval, (touch,)),
            (exec, (touch,)),
        )
        return ways[self.way % len(ways)]
