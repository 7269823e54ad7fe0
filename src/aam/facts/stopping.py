"""Asking a run to stop after its epoch: by a file in its folder, from whatever machine.

``touch RUN/stop_request`` does it too.
"""

from contextlib import suppress
from pathlib import Path

from aam.facts.files import write_atomically

REQUEST = "stop_request"
BY_REQUEST = "request of "
"""Begins what ``take_request`` says, and the ``reason`` of such a stop; no signal does."""


def request_stop(run_dir: Path, who: str) -> None:
    """Ask the run to stop after the epoch that it is in; ``who`` is written to its facts.

    Raises
    ------
    OSError
        If the folder is gone or may not be written.
    """
    write_atomically(run_dir / REQUEST, who + "\n")


def is_asked_to_stop(run_dir: Path) -> bool:
    """Whether a request waits to be followed, as far as can be seen."""
    try:
        return (run_dir / REQUEST).exists()
    except OSError:  # not for us to look into, or a folder gone stale on a network
        return False


def take_request(run_dir: Path) -> str | None:
    """Take a request away and say whose it was; None if there is none."""
    path = run_dir / REQUEST
    try:
        who, _, _ = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    except OSError:
        return None
    with suppress(OSError):
        path.unlink()
    return f"{BY_REQUEST}{who.strip() or 'somebody'}"
