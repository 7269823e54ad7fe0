"""Whether a process writes the facts of a run: a sign of life beside them, which is its claim too.

``facts/writer.json`` says who writes; its time of change is renewed every few seconds. On the same
machine the process itself is looked for; from another one, over a shared file system, the sign's
age decides. A sign is never replaced but taken away and put down, which only one process can do, on
network file systems too.
"""

import json
import logging
import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.processes import born, myself, place

SIGN = Path("facts", "writer.json")
INTERVAL_S = 10.0
# File systems on a network tell of changes a minute late.
MAX_AGE_S = 120.0
_LOOK_AGAIN_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sign:
    """A sign as it was read."""

    content: bytes
    renewed_at: float  # by the clock of the file system

    @property
    def writer(self) -> dict[str, Any]:
        """Who left it; empty if it cannot be read."""
        try:
            writer = json.loads(self.content)
            json.dumps(writer, ensure_ascii=False).encode()  # half a surrogate pair shows nowhere
        except (ValueError, RecursionError):
            return {}
        return writer if isinstance(writer, dict) else {}

    @property
    def lives(self) -> bool | None:
        """Whether its process lives, where that can be told from here."""
        writer = self.writer
        if writer.get("place") != place():
            return None
        return writer.get("born") is not None and writer["born"] == born(writer.get("pid"))

    def __str__(self) -> str:
        return f"process {self.writer.get('pid', '?')} on {self.writer.get('hostname', '?')}"


class Presence:
    """Claims a run folder, and gives signs of life from a thread of its own until it is closed.

    A sign of another machine is watched until it is renewed or ``MAX_AGE_S`` old; then it is taken
    over. Where signs cannot be written at all, there are none: they are worth no training.

    Raises
    ------
    UserError
        If another process lives that writes here.
    """

    def __init__(self, run_dir: Path, interval_s: float = INTERVAL_S) -> None:
        self.took_over = False  # from a process that this machine cannot see
        self._run_dir = run_dir
        self._path = run_dir / SIGN
        self._content = json.dumps({**myself(), "claim": secrets.token_hex(8)}).encode() + b"\n"
        self._interval_s = interval_s
        self._closed = threading.Event()
        with suppress(OSError):
            self._claim()
        self._thread = threading.Thread(target=self._renew, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the sign away; a second call does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            with suppress(OSError):
                if self._is_ours():
                    self._path.unlink()

    def refuse_if_lost(self) -> None:
        """Raise if the run was taken over, as when this process was suspended for long.

        Raises
        ------
        UserError
            Naming the other process.
        """
        sign = None
        with suppress(OSError):
            sign = _read(self._path)
        if sign is not None and sign.content != self._content and sign.writer:
            raise UserError(
                f"{self._run_dir} was taken over by {sign} while this process gave no sign of life:"
                " that one goes on with the run, and this one ends"
            )

    def _renew(self) -> None:
        while not self._closed.wait(self._interval_s):
            with suppress(OSError):
                if self._is_ours():
                    os.utime(self._path)

    def _is_ours(self) -> bool:
        sign = _read(self._path)
        return sign is not None and sign.content == self._content

    def _claim(self) -> None:
        mine = self._path.with_name(f".{SIGN.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            mine.write_bytes(self._content)
            # The clock of this machine may not be that of the file system.
            clock_s = mine.stat().st_mtime - time.monotonic()
            while not _put(mine, self._path):
                sign = _read(self._path)
                if sign is None:
                    continue
                if sign.content == self._content:  # the network lost the answer to the first try
                    break
                if self._is_left(sign, clock_s):
                    _take_away(self._path, sign)
            os.utime(self._path)
        finally:
            mine.unlink(missing_ok=True)

    def _is_left(self, sign: _Sign, clock_s: float) -> bool:
        """Whether nobody stands behind a sign any more; False as well if it is another one now."""
        lives = sign.lives
        if lives is None:
            now = self._watched(sign, clock_s)
            if now is None or now.content != sign.content:
                return False
            lives = now.renewed_at != sign.renewed_at
            self.took_over = not lives
        if lives:
            raise UserError(
                f"{self._run_dir} is being written by another process ({sign}): "
                "wait until that run ends or stop it, then try again"
            )
        return True

    def _watched(self, sign: _Sign, clock_s: float) -> _Sign | None:
        """The sign as soon as it changes, and the same one if it grows too old."""
        now_s = time.monotonic()
        end_s = min(sign.renewed_at - clock_s, now_s) + MAX_AGE_S  # its clock may have been wrong
        if end_s > now_s:
            _log.warning(
                "%s may be written by %s: watching for a sign of life, for %d s at most",
                self._run_dir, sign, end_s - now_s,
            )  # fmt: skip
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_LOOK_AGAIN_S, left_s))
            now = _read(self._path)
            if now != sign:
                return now
        _log.warning(
            "%s was written by %s, of which there is no sign of life any more: taken over",
            self._run_dir, sign,
        )  # fmt: skip
        return sign


def writer_of(run_dir: Path) -> dict[str, Any]:
    """Who left a sign in a run folder, alive or not; empty if there is none that can be read."""
    try:
        sign = _read(run_dir / SIGN)
    except OSError:
        return {}
    return {} if sign is None else sign.writer


def is_written(run_dir: Path) -> bool:
    """Whether a process writes the facts of this run, as far as can be told from here."""
    try:
        sign = _read(run_dir / SIGN)
    except OSError:
        return False
    if sign is None or not sign.writer:
        return False
    lives = sign.lives
    return time.time() - sign.renewed_at < MAX_AGE_S if lives is None else lives


def _read(path: Path) -> _Sign | None:
    """The sign as it stands, if there is one; opening it has a network file system look anew."""
    try:
        with path.open("rb") as file:
            return _Sign(file.read(), os.fstat(file.fileno()).st_mtime)
    except FileNotFoundError:
        return None


def _put(mine: Path, path: Path) -> bool:
    """Put a sign down; False if there is one. A link is made by one process alone."""
    try:
        path.hardlink_to(mine)
    except FileExistsError:
        return False
    except OSError:  # no links here
        content = mine.read_bytes()
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
    return True


def _take_away(path: Path, sign: _Sign) -> None:
    """Take a sign away, but none that another process has put down meanwhile.

    Were a third one to come in while that is put back, the other would notice before it writes.
    """
    taken = path.with_name(f".{SIGN.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.rename(taken)
    except FileNotFoundError:
        return
    if _read(taken) != sign:
        _put(taken, path)
    taken.unlink()
