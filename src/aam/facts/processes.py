"""Processes, told apart over machines and over time."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any


def myself() -> dict[str, Any]:
    """Where this process runs, and since when."""
    return {
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "place": place(),
        "born": born(os.getpid()),
    }


def place() -> str:
    """Where process ids mean the same: a machine since it was started, or a container in it."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def born(pid: object) -> str | None:
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
