"""Which runs there are below a folder, and which of them have changed since one looked last."""

import hashlib
import os
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aam.errors import UserError
from aam.facts.presence import is_written
from aam.facts.reader import EVENTS
from aam.facts.stopping import is_asked_to_stop
from aam.facts.summary import RUNNING, RunSummary, find_runs, summarize
from aam.monitoring.live.figures import Figure, list_figures
from aam.monitoring.live.followed import Followed

# What can be told of a run without reading its facts: whether they were added to, and so on.
Mark = tuple[object, ...]


@dataclass
class Entry:
    """A run on the board. ``revision`` grows with all that its page shows."""

    key: str
    """Stands for the run in addresses: made from its path, and of letters and digits only."""
    run_dir: Path
    mark: Mark
    summary: RunSummary | None
    """None as long as its facts hold no start, or cannot be read."""
    is_asked_to_stop: bool
    revision: int = 0
    figures: list[Figure] = field(default_factory=list)
    followed: Followed | None = None

    @property
    def file(self) -> object:
        """What tells the file of its facts from all others."""
        status = self.mark[0]
        return status[:2] if isinstance(status, tuple) else None

    @property
    def is_running(self) -> bool:
        """Whether it goes on, so that it can be stopped."""
        return self.summary is not None and self.summary.state == RUNNING


class Board:
    """The runs below a folder. A scan costs a few looks at each run's files.

    Any thread may call. Only :meth:`scan` takes its time, on a file system that does not answer
    perhaps for ever: nothing else waits for it. ``revision`` grows whenever the list of runs shows
    something else than before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.revision = 0
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._scanned_at = float("-inf")

    @property
    def exists(self) -> bool:
        """Whether the folder is there: it may go, and come back."""
        return self.folder.is_dir()

    def scan(self, opened: Collection[str] = ()) -> None:
        """Look at all runs; at the figures, too, of those that have a page ``opened`` (keys)."""
        with self._lock:
            found = {_key(run, self.folder): run for run in find_runs(self.folder)}
            gone = self._entries.keys() - found.keys()
            for key in gone:
                del self._entries[key]
            changed = [self._look(key, run_dir) for key, run_dir in found.items()]
            self.revision += bool(gone) or any(changed)
            for entry in self._entries.values():
                _look_closely(entry, entry.key in opened)
            self._scanned_at = time.monotonic()

    def refresh(self, max_age_s: float = 0.5) -> None:
        """Scan, if the last time was longer ago; pages that are open stay as they are."""
        if time.monotonic() - self._scanned_at > max_age_s:
            self.scan([entry.key for entry in self._all() if entry.followed])

    def entries(self) -> list[Entry]:
        """All runs of which there is something to tell, the one started last first.

        A run that is found on several ways, by links, is there once: by the shortest.
        """
        found = sorted(self._all(), key=lambda one: -len(one.run_dir.parts))
        told = {
            one.file: (one.summary.started, one.run_dir.name, one)
            for one in found
            if one.summary is not None
        }
        return [one for *_, one in sorted(told.values(), key=lambda row: row[:2], reverse=True)]

    def entry(self, key: str) -> Entry | None:
        """The run of a key; None if there is none (any more)."""
        return self._entries.get(key)

    def state(self, key: str | None) -> dict[str, int | None]:
        """The revisions of the list and of one run."""
        entry = None if key is None else self._entries.get(key)
        return {"list": self.revision, "run": None if entry is None else entry.revision}

    def has_running(self) -> bool:
        """Whether any run goes on."""
        return any(entry.is_running for entry in self._all())

    def _all(self) -> list[Entry]:
        """Those of this moment: a scan may add to the dict meanwhile."""
        return list(self._entries.values())

    def _look(self, key: str, run_dir: Path) -> bool:
        """Bring one run up to date; whether it has changed."""
        asked = is_asked_to_stop(run_dir)
        mark = (_status(run_dir / EVENTS), is_written(run_dir), asked)
        entry = self._entries.get(key)
        if entry is not None and entry.mark == mark:
            return False
        summary = _summary(run_dir)
        if entry is None:
            self._entries[key] = Entry(key, run_dir, mark, summary, asked)
        else:
            entry.mark, entry.summary, entry.is_asked_to_stop = mark, summary, asked
            entry.revision += 1
        return True


def _look_closely(entry: Entry, is_opened: bool) -> None:
    if not is_opened:
        entry.followed = None
        return
    figures = list_figures(entry.run_dir)
    if figures != entry.figures:
        entry.figures = figures
        entry.revision += 1


def _key(run_dir: Path, folder: Path) -> str:
    # A path may hold bytes that are no text, and signs that mean something in an address.
    return hashlib.blake2b(os.fsencode(run_dir.relative_to(folder)), digest_size=8).hexdigest()


def _status(path: Path) -> Mark | None:
    with suppress(OSError):
        status = path.stat()
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return None


def _summary(run_dir: Path) -> RunSummary | None:
    try:
        return summarize(run_dir)
    except (UserError, OSError):  # gone this moment, or not for us to read
        return None
