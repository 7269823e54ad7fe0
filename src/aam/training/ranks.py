"""Which of several processes this one is, by what ``torchrun`` says in the environment.

Without torch: commands ask before they load it.
"""

import os
import threading

_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
FIRST_IS_GONE = threading.Event()
"""Set when another rank knows that the first has ended."""


def is_launched() -> bool:
    """Whether ``torchrun``, or what does as it does, started this process."""
    return all(os.environ.get(name) for name in _TOLD)


def rank() -> int:
    """The number of this process, from 0; the first alone writes and speaks."""
    return int(os.environ["RANK"]) if is_launched() else 0


def num_launched() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if is_launched() else 1


def num_local() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if is_launched() else 1


def local_rank() -> int:
    """The number of this process among those of its machine."""
    return int(os.environ["LOCAL_RANK"]) if is_launched() else 0
