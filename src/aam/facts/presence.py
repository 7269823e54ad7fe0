"""Whether a process is writing the facts of a run: a sign of life beside them.

``facts/writer.json`` says who writes; its time of change is renewed every few seconds. On the same
machine the process itself is looked for; from another one, over a shared file system, the sign's
age decides.
"""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from aam.facts.files import write_atomically

SIGN = Path("facts", "writer.json")
INTERVAL_S = 10.0
# File systems on a network tell of changes a minute late.
MAX_AGE_S = 120.0


class Presence:
    """Gives signs of life from a thread of its own until it is closed.

    A sign that cannot be written is left out: it is worth no training.
    """

    def __init__(self, run_dir: Path, interval_s: float = INTERVAL_S) -> None:
        self._path = run_dir / SIGN
        self._interval_s = interval_s
        self._closed = threading.Event()
        with suppress(OSError):
            write_atomically(self._path, json.dumps(_myself()) + "\n")
        self._thread = threading.Thread(target=self._renew, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the sign away; a second call does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            with suppress(OSError):
                self._path.unlink()

    def _renew(self) -> None:
        while not self._closed.wait(self._interval_s):
            with suppress(OSError):
                os.utime(self._path)


def is_written(run_dir: Path) -> bool:
    """Whether a process writes the facts of this run, as far as can be told from here."""
    path = run_dir / SIGN
    try:
        sign = json.loads(path.read_bytes())
        age_s = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return False
    if not isinstance(sign, dict):
        return False
    if sign.get("place") == _place():
        return sign.get("born") is not None and sign["born"] == _born(sign.get("pid"))
    return age_s < MAX_AGE_S


def _myself() -> dict[str, Any]:
    return {
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "place": _place(),
        "born": _born(os.getpid()),
    }


def _place() -> str:
    """Where process ids mean the same: a machine since it was started, or a container in it."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _born(pid: object) -> str | None:
    """When a process was started, in whatever unit: ids are used again. None if there is none."""
    if not isinstance(pid, int):
        return None
    try:
        # The name, in brackets, may hold anything; the start is the 20th field after it.
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:  # no Linux: the id alone must do
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "unknown"
