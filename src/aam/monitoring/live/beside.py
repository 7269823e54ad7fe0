"""A live page beside a training: a process of its own that outlives it, and ends by itself.

``python -m aam.monitoring.live.beside FOLDER PID OPEN`` says where the page is and leaves; a child
of it serves the page while the process PID lives, a run goes on or a page is open, and for
``IDLE_S`` after that.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from aam.errors import EXIT_OK, EXIT_USER_ERROR, UserError

NICENESS = 10
IDLE_S = 30 * 60.0
_PATIENCE_S = 60.0


def start(folder: Path) -> str:
    """Start a process that serves the page of a folder, and give the page's address.

    Raises
    ------
    UserError, OSError
        If there can be none.
    """
    from aam.monitoring.live.address import check_installed, has_display

    check_installed()
    words = [str(folder.absolute()), str(os.getpid()), str(int(has_display()))]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C stops the training; the page stays for review
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"it did not start within {_PATIENCE_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UserError(said[-1] if said else f"its process ended with code {done.returncode}")
    return done.stdout.strip()


def main() -> int:
    """Announce the page, then serve it in the background."""
    from aam.monitoring.live.address import take_address
    from aam.monitoring.live.server import serve

    folder, pid, is_shown = sys.argv[1:]
    os.nice(NICENESS)
    try:
        address = take_address()
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    print(address.url, flush=True)
    if os.fork():
        # Past Python's end: the child has the socket and all else now.
        os._exit(EXIT_OK)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    if is_shown == "1":
        import webbrowser

        webbrowser.open(address.url)
    serve(Path(folder), address, idle_s=IDLE_S, is_needed=partial(_lives, int(pid)))
    return EXIT_OK


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


if __name__ == "__main__":
    sys.exit(main())
