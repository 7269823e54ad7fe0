"""A live page that is served by the real command, and runs that go on while a test looks."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from aam.cli.monitor import main
from aam.facts.recorder import Recorder

Event = dict[str, Any]
AAM_MONITOR = Path(sys.executable).with_name("aam-monitor")


class Page:
    """Asks a live page as a browser would, without one."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def ask(self, path: str, method: str = "GET", **parameters: Any) -> tuple[int, Any, bytes]:
        """Status, headers and content."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        try:
            with urlopen(Request(f"{self.url}{path}{query}", method=method), timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def json(self, path: str, method: str = "GET", **parameters: Any) -> Any:
        return json.loads(self.ask(path, method, **parameters)[2])

    def key(self, name: str) -> str:
        """The key of the run in a folder of this name, as soon as it is found."""
        return next(run["key"] for run in self.runs_with(name) if run["name"] == name)

    def runs_with(self, name: str) -> list[Any]:
        """The list of runs, as soon as it has this one."""
        while True:
            runs: list[Any] = self.json("api/runs")["runs"]
            if any(run["name"] == name for run in runs):
                return runs
            time.sleep(0.05)

    @contextmanager
    def changes(self, **parameters: Any) -> Iterator[Iterator[tuple[str, Any]]]:
        """The stream of changes: event and data of each."""
        with urlopen(f"{self.url}api/changes?{urlencode(parameters)}", timeout=30) as stream:
            yield _messages(stream)


def _messages(stream: Any) -> Iterator[tuple[str, Any]]:
    event = "message"
    for line in stream:
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            event = value
        if name.startswith("data"):
            yield event, json.loads(value) if value else None


@contextmanager
def _monitor(folder: Path, *words: str) -> Iterator[Page]:
    """The command on a free port; it is ended by SIGINT, and must end well."""
    process = subprocess.Popen(
        [AAM_MONITOR, str(folder), "port=0", "open=false", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(2)]
    try:
        yield Page(said[1].strip(), process)
    finally:
        if process.poll() is None:
            process.send_signal(2)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Path:
    """The folder of all runs of a test module."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def page(watched) -> Iterator[Page]:
    """The live page of ``watched``."""
    with _monitor(watched) as served:
        yield served


@pytest.fixture
def monitor() -> Callable[..., Any]:
    """Serve the live page of a folder, with words for the command, while a block runs."""
    return _monitor


@pytest.fixture
def aam_monitor(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """The command in an empty folder, where it ends by itself: exit code, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["aam-monitor", *words])
        code = main()
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def going_on(start_meta: dict[str, Any]) -> Iterator[Callable[..., Recorder]]:
    """Make runs that go on: this process writes them."""
    recorders = []

    def make(run_dir: Path, num_epochs: int = 3, loop: str = "pretrain") -> Recorder:
        recorder = Recorder(run_dir, loop=loop, metric_names=["total_loss"])
        recorders.append(recorder)
        recorder.emit("on_start", meta={**start_meta, "num_epochs": num_epochs})
        return recorder

    yield make
    for recorder in recorders:
        recorder.close()


@pytest.fixture
def epoch_fact() -> Callable[..., Event]:
    """Make what ``on_epoch_end`` says, at the least."""
    return _epoch_fact


def _epoch_fact(epoch: int, loss: float = 1.0) -> Event:
    return {
        "epoch": epoch,
        "step": epoch + 1,
        "train_loss": loss,
        "val_loss": loss,
        "metrics": {"train": {"total_loss": loss}, "val": {"total_loss": loss}},
        "best": {"epoch": epoch, "metric": "val_loss", "value": loss},
    }
