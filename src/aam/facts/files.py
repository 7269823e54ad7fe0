"""Files that survive a kill: whole-file writes by rename, and append-only files of whole lines."""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aam.errors import UserError

_log = logging.getLogger(__name__)
_BLOCK = 1 << 16


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place once it is wholly on disk.

    If the block or the disk fails, the file that was there before stays as it was and the temporary
    one is removed. The folder must exist. An ``OSError`` of the disk names the path.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with _naming(path, temporary), temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put ``content`` (text as UTF-8) at ``path``: readers see the old file or the new, whole."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


class LineFile:
    """An append-only file that holds whole lines whatever happens to the writer.

    Opening it cuts a torn last line back to the last newline and logs the loss. It is locked while
    open, since a second writer would take a line that is being written for a torn one. With
    ``outlives_lock`` a lock of another process is known to be one that nobody holds any more: a
    network file system may keep that of a machine that is gone.

    Raises
    ------
    UserError
        If another process has the file open for writing.
    """

    def __init__(self, path: Path, *, outlives_lock: bool = False) -> None:
        self.path = path
        is_new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            self._lock(outlives_lock)
            self._heal()
        except BaseException:
            self.close()
            raise
        if is_new:
            _sync_folder(path.parent)

    def append(self, lines: str) -> None:
        """Add ``lines``, each ended by a newline, and wait until they are on disk.

        Raises
        ------
        OSError
            If the disk refuses; nothing of ``lines`` is left in the file then.
        """
        size = os.fstat(self._fd).st_size
        rest = memoryview(lines.encode())
        try:
            with _naming(self.path):
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
                os.fsync(self._fd)
        except BaseException:  # a signal handler may raise between two parts of a line
            with suppress(OSError):
                os.ftruncate(self._fd, size)
            raise

    def close(self) -> None:
        """Close the file and give up the lock; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _lock(self, outlives_lock: bool) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if outlives_lock:
                return
            raise UserError(
                f"{self.path} is being written by another process: "
                "wait until that run ends or stop it, then try again"
            ) from None
        except OSError as error:  # some network file systems know no locks
            _log.debug("%s cannot be locked: %s", self.path, error)

    def _heal(self) -> None:
        size = os.fstat(self._fd).st_size
        whole = _end_of_last_line(self._fd, size)
        if whole < size:
            os.ftruncate(self._fd, whole)
            os.fsync(self._fd)
            _log.warning(
                "%s: the last line was torn (an earlier process died while it wrote it); "
                "its %d bytes were cut off",
                self.path,
                size - whole,
            )


@contextmanager
def _naming(path: Path, *aliases: Path) -> Iterator[None]:
    """Let an error of writing say which file it was."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, *map(str, aliases)):
            error.filename = str(path)
        raise


def _end_of_last_line(fd: int, size: int) -> int:
    """Offset just after the last newline of a file of ``size`` bytes; 0 where there is none."""
    stop = size
    while stop > 0:
        start = max(0, stop - _BLOCK)
        newline = os.pread(fd, stop - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        stop = start
    return 0


def _sync_folder(folder: Path) -> None:
    """Put the folder's entries on disk, so that a new name survives a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse to sync a folder
            os.fsync(fd)
    finally:
        os.close(fd)
