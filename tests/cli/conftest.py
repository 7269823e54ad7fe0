"""``aam-train`` within the test's own process, with its outputs in a folder of the test."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aam.cli import facts
from aam.cli.train import main
from aam.config import Config
from aam.loops.run import Run


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class FakeLoop:
    """Stands in for a loop: notes what it was called with, then does as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Config, Run]] = []
        self.then: Callable[[Config, Run], None] = lambda config, run: None

    def __call__(self, config: Config, run: Run) -> float:
        self.calls.append((config, run))
        self.then(config, run)
        return 0.0


@pytest.fixture
def aam_train(monkeypatch, tmp_path, capfd) -> Callable[..., Done]:
    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["aam-train", *arguments])
        try:
            code = main()
        except SystemExit as leaving:
            code = leaving.code
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr("aam.cli.folders.RunFolders.sweep", None)  # of a process: here, of a test
    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def loop(monkeypatch) -> FakeLoop:
    fake = FakeLoop()
    monkeypatch.setattr("aam.cli.jobs.find_loop", lambda name: fake)
    return fake


@pytest.fixture
def aam_facts(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aam-facts", *map(str, words)])
        code = facts.main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    return run


@pytest.fixture
def loaded_by() -> Callable[..., set[str]]:
    """Modules that ``aam-facts`` has loaded when it has done what the words say."""

    def run(*words: object) -> set[str]:
        code = (
            f"import sys; sys.argv = ['aam-facts', *{list(map(str, words))}]\n"
            "import aam.cli.facts as f; code = f.main()\n"
            "print(*sys.modules, file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return set(done.stderr.split())

    return run
