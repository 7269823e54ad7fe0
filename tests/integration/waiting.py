"""Wait for what comes, without saying when."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(
    condition: Callable[[], Any],
    at_most_s: float = 60.0,
    seen: Callable[[], object] = lambda: "it never came",
    every_s: float = 0.02,
) -> Any:
    """What the condition gives, once that is true; else the test fails with what is ``seen``."""
    deadline = time.monotonic() + at_most_s
    while not (value := condition()):
        assert time.monotonic() < deadline, seen()
        time.sleep(every_s)
    return value
