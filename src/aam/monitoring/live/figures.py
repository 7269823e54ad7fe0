"""The figures of a run, and nothing else of it: plain files that lie in its ``figures`` folder."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".pdf": "application/pdf"}


@dataclass(frozen=True)
class Figure:
    """A figure's file name, and a version that changes when it is drawn anew."""

    name: str
    version: str


def list_figures(run_dir: Path) -> list[Figure]:
    """Those there are, by name; links are none, for they may lead anywhere."""
    folder = run_dir / "figures"
    found: list[Figure] = []
    with suppress(OSError):
        if folder.is_symlink():
            return []
        with os.scandir(folder) as inside:
            for one in inside:
                if _is_name(one.name) and one.is_file(follow_symlinks=False):
                    status = one.stat(follow_symlinks=False)
                    found.append(Figure(one.name, f"{status.st_mtime_ns:x}-{status.st_size:x}"))
    return sorted(found, key=lambda figure: figure.name)


def read_figure(run_dir: Path, name: str) -> bytes | None:
    """The content of a figure; None if there is none of that name."""
    if not _is_name(name):
        return None
    # Each step refuses links: between a check and the reading, the file could be swapped for one.
    try:
        folder = os.open(run_dir / "figures", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            return file.read() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(folder)


def media_type(name: str) -> str:
    """How a browser shall read it."""
    return MEDIA_TYPES[Path(name).suffix]


def _is_name(name: str) -> bool:
    is_whole = name[:1] not in ("", ".") and "/" not in name and "\0" not in name
    return is_whole and name.isprintable() and Path(name).suffix in MEDIA_TYPES
