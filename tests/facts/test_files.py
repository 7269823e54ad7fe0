import logging
import os
from pathlib import Path

import pytest

from aam.errors import UserError
from aam.facts.files import LineFile, atomic_file, write_atomically


def test_write_atomically_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "long old content ä")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("failing", ["block", "fsync", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if failing != "block":
        owner = os if failing == "fsync" else Path
        monkeypatch.setattr(owner, failing, fail)

    def write() -> None:
        with atomic_file(path) as file:
            file.write(b"half of the new")
            file.flush()
            if failing == "block":
                fail()

    with pytest.raises(OSError, match="No space"):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("torn", [b"", b"torn", b"x" * 200_000])
def test_opening_cuts_a_torn_last_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: bytes
) -> None:
    path = tmp_path / "lines"
    whole = b"first\n" + b"y" * 100_000 + b"\n"
    path.write_bytes(whole + torn)
    file = LineFile(path)
    file.append("next\n")
    file.close()
    assert path.read_bytes() == whole + b"next\n"
    notices = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(notices) == bool(torn)
    assert all(f"{len(torn)} bytes" in notice for notice in notices)


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"z" * 150_000)
    LineFile(path).close()
    assert path.read_bytes() == b""


def test_a_line_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LineFile(tmp_path / "lines")
    file.append("whole\n")
    write = os.write
    parts = iter([3])

    def short(fd: int, data: memoryview) -> int:
        size = next(parts, None)
        if size is None:
            raise KeyboardInterrupt
        return write(fd, data[:size])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(KeyboardInterrupt):
        file.append("interrupted\n")
    monkeypatch.undo()
    file.append("after\n")
    file.close()
    assert (tmp_path / "lines").read_text() == "whole\nafter\n"


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    first = LineFile(tmp_path / "lines")
    with pytest.raises(UserError, match="is being written by another process"):
        LineFile(tmp_path / "lines")
    first.close()
    LineFile(tmp_path / "lines").close()
