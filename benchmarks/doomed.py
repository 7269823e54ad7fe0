"""A training that ends by SIGKILL, at a chosen operation on a file or when it is told to.

``Doomed`` runs the command ``aam-train`` in a process of its own: a fork of one that has loaded
everything, for loading takes longer than what is tried here.
"""

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AAM_TRAIN = Path(sys.executable).with_name("aam-train")
NAMING = ("os.rename", "os.link", "os.remove", "os.symlink", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR
TIMEOUT_S = 600
PRELOADED = ("hydra.main", "aam.cli.launch", "aam.loops.pretrain", "aam.loops.finetune")


@dataclass(frozen=True)
class Doom:
    """When a process ends itself.

    ``number`` says at which of the operations that count: on files below ``folder`` whose names
    the pattern ``files`` matches. Without ``share`` it is just before a file is opened for writing,
    renamed, linked or removed. With it, as a file is synced, and that share of what was written
    since the sync before is left on disk: what a kill amid the bytes leaves, or a power cut.
    """

    folder: Path
    files: str
    number: int
    share: float | None


class Doomed:
    """``aam-train`` with these arguments, as it goes; what it says is written beside ``run``."""

    def __init__(self, arguments: Sequence[str], run: Path, doom: Doom | None = None) -> None:
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload(list(PRELOADED))
        self._said = run.with_name(f"{run.name}.said")
        told = (list(arguments), self._said, dict(os.environ), doom)
        self._process = processes.Process(target=_train, args=told)
        self._process.start()

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end, whichever."""
        return not self._process.is_alive()

    def kill(self) -> None:
        """Do so."""
        self._process.kill()

    def ended(self) -> tuple[int | None, str]:
        """Wait for the end: exit code (below 0 a signal) and what it said."""
        end = time.monotonic() + TIMEOUT_S
        self._process.join(TIMEOUT_S)
        assert time.monotonic() < end, "it hangs"
        return self._process.exitcode, self._said.read_text() if self._said.exists() else ""


def _train(arguments: list[str], said: Path, environment: dict[str, str], doom: Any) -> None:
    from aam.cli.train import main

    with said.open("wb") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
        os.dup2(file.fileno(), sys.stdout.fileno())
    os.environ.update(environment)
    sys.argv = [str(AAM_TRAIN), *arguments]
    if doom is not None:
        executioner = _Executioner(doom)
        sys.addaudithook(executioner.hear)
        os.fsync = executioner.sync
    sys.exit(main())


class _Executioner:
    """Counts operations until the last."""

    def __init__(self, doom: Doom) -> None:
        self.folder = doom.folder
        self.files = re.compile(doom.files)
        self.left = doom.number
        self.share = doom.share
        self.synced: dict[Path, int] = {}  # bytes that are safe
        self.fsync = os.fsync

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: just before an operation."""
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            path = self.meant(arguments[0])
            if path is not None and path.exists():
                self.synced.setdefault(path, path.stat().st_size)
            names = arguments[:1]
        elif event in NAMING:
            names = arguments[:2]
        else:
            return
        if self.share is None and any(map(self.meant, names)) and self.is_due():
            die()

    def sync(self, fd: int) -> None:
        """In place of ``os.fsync``."""
        path = self.meant(Path(f"/proc/self/fd/{fd}").readlink())
        if path is not None and self.share is not None and self.is_due():
            safe = self.synced.get(path, 0)
            os.ftruncate(fd, safe + int(self.share * (os.fstat(fd).st_size - safe)))
            die()
        self.fsync(fd)
        if path is not None:
            self.synced[path] = os.fstat(fd).st_size

    def meant(self, name: object) -> Path | None:
        """The path if it counts."""
        if not isinstance(name, str | os.PathLike):
            return None
        path = Path(os.fspath(name)).absolute()
        return path if self.folder in path.parents and self.files.search(path.name) else None

    def is_due(self) -> bool:
        self.left -= 1
        return self.left == 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
