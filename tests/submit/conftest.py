"""``aam-submit`` within the test's own process, and stand-ins for the commands of schedulers."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aam.cli.submit import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass
class FakeScheduler:
    """Notes what it is asked, and answers by the name of the command."""

    answers: dict[str, str] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], folder: Path | None = None) -> str:
        self.calls.append([Path(command[0]).name, *command[1:]])
        return self.answers[command[0]]


@pytest.fixture
def scheduler(monkeypatch) -> FakeScheduler:
    fake = FakeScheduler()
    for backend in ("htcondor", "slurm"):
        monkeypatch.setattr(f"aam.submit.backends.{backend}.call", fake)
    return fake


@pytest.fixture
def aam_submit(monkeypatch, tmp_path, capfd) -> Callable[..., Done]:
    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["aam-submit", *arguments])
        code = main()
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("AAM_CACHE", raising=False)
    monkeypatch.delenv("AAM_VENV", raising=False)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def the_experiment(tmp_path) -> Callable[[], Path]:
    """The folder of the one sweep that there is."""

    def find() -> Path:
        (folder,) = tmp_path.glob("*/multiruns/*")
        return folder

    return find
