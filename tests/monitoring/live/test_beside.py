"""The live page beside a training: apart from it, found by its address, and never in its way."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from aam.cli.live_page import LivePage
from aam.config import Config, LoggingConfig
from aam.errors import UserError
from aam.monitoring.live import beside


def process_of(folder: Path) -> int:
    """The process that serves the page of a folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"aam.monitoring.live.beside" in words and os.fsencode(folder) in words:
            return int(entry.name)
    raise AssertionError("no such process")


def ended(pid: int) -> None:
    """Wait until a process is gone, or only its name is left."""
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_is_a_process_apart_that_the_page_can_end(tmp_path, going_on, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "from elsewhere")  # no browser is opened
    going_on(tmp_path)
    url = beside.start(tmp_path)
    pid = process_of(tmp_path)
    try:
        assert os.getsid(pid) != os.getsid(0)  # Ctrl-C here is none there
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.nice(0) + beside.NICENESS)
        streams = {str(Path(f"/proc/{pid}/fd/{stream}").readlink()) for stream in range(3)}
        assert streams == {os.devnull}  # whoever pipes the training sees its end
        with urlopen(f"{url}api/runs", timeout=30) as answer:
            assert b'"is_run":true' in answer.read()
        urlopen(Request(f"{url}api/close", method="POST"), timeout=30).close()
        ended(pid)
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def test_a_sweep_has_one(tmp_path, monkeypatch, capsys):
    started: list[Path] = []

    def start(folder: Path) -> str:
        started.append(folder)
        return "http://127.0.0.1:8585/token/"

    monkeypatch.setattr(beside, "start", start)
    page = LivePage()
    page.show(tmp_path)
    page.show(tmp_path)
    assert started == [tmp_path]
    assert capsys.readouterr().out.startswith("Live page: http://127.0.0.1:8585/token/\n")


@pytest.mark.parametrize("error", [UserError("it is not installed"), OSError(12, "No memory")])
def test_one_that_cannot_start_is_one_warning(tmp_path, monkeypatch, caplog, error):
    def start(_: Path) -> str:
        raise error

    monkeypatch.setattr(beside, "start", start)
    page = LivePage()
    with caplog.at_level(logging.INFO):
        page.show(tmp_path)
        page.show(tmp_path)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == f"monitor=true: the training goes on without a live page: {error}"


def test_what_its_process_says_before_it_dies_is_the_reason(tmp_path, monkeypatch):
    for said, reason in (("print('so', file=sys.stderr);", "so"), ("", "its process ended with")):
        program = tmp_path / "python"
        program.write_text(f"#!{sys.executable}\nimport sys; {said} sys.exit(2)\n")
        program.chmod(0o755)
        monkeypatch.setattr(beside.sys, "executable", str(program))
        with pytest.raises(UserError, match=f"^{reason}"):
            beside.start(tmp_path)
        monkeypatch.undo()


def test_there_is_no_page_of_a_run_that_writes_nothing():
    with pytest.raises(UserError, match="leave out one of the two"):
        Config(monitor=True, logging=LoggingConfig(save_artifacts=False))
