"""What the diagnosis of a real run says, on the screen and in facts, and that its advice runs."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aam.cli.train import main
from aam.config import DiagnosticsConfig
from aam.facts.reader import epoch_events, read_events
from aam.monitoring.diagnostics import replay, spells

SMALLEST = ("loop.min_updates=2", "model.num_clades=8", "logging=none", "trainer.num_threads=1")


@pytest.fixture
def aam_train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The command in this process, which has torch already, with a space in its outputs' path."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["aam-train", *arguments])
        return main()

    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "my outputs"))
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "cache"))
    return run


def only_run(tmp_path: Path) -> Path:
    (run_dir,) = (tmp_path / "my outputs" / "runs").iterdir()
    return run_dir


def rates(run_dir: Path) -> list[Any]:
    return [event["lr"] for event in epoch_events(read_events(run_dir))]


def test_the_advice_of_a_run_that_learned_nothing_lets_it_learn(
    aam_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = ("optimizer.lr=1e-8", "scheduler=constant", "trainer.epochs=3")
    assert aam_train(*slow, "logging.diagnostics.flat_epochs=2", *SMALLEST) == 0
    run_dir = only_run(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("Diagnosis:")
    assert lines[at + 1].startswith("  learning rate, epoch 3: nothing is learned: ")
    assert lines[at + 1].endswith("the learning rate is too low")
    assert lines[at + 2] == "    Go on at ten times the rate:"
    command = shlex.split(lines[at + 3])
    changes = ["optimizer.lr=1e-07", "trainer.epochs=13"]
    assert command == ["aam-train", f"resume={run_dir}", *changes]
    (spell,) = spells(read_events(run_dir))
    assert (spell.kind, spell.first, spell.last, spell.holds) == ("learning_rate", 3, 3, True)
    assert spell.advice == f"go on at ten times the rate: {shlex.join(command)}"

    assert aam_train(*command[1:], "trainer.epochs=4") == 0
    # Another resume goes on at the new rate, and does not raise it again.
    assert aam_train(f"resume={run_dir}", "trainer.epochs=5") == 0
    assert rates(run_dir)[-3:] == pytest.approx([1e-8, 1e-7, 1e-7])
    events = read_events(run_dir)
    resumes = [event["meta"] for event in events if event["moment"] == "on_resume"]
    assert [meta["lr"] for meta in resumes] == [1e-7, 1e-7]
    # What was said of each epoch is what is found when the run is judged anew.
    told = [event["diagnostics"] for event in epoch_events(events)]
    assert told == replay(events, DiagnosticsConfig(flat_epochs=2))
    assert any(told)


def test_a_run_that_is_not_finite_says_how_to_go_on(
    aam_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aam_train("optimizer.lr=1e30", "trainer.epochs=3", *SMALLEST) == 1
    run_dir = only_run(tmp_path)
    (finding,) = read_events(run_dir)[-1]["diagnostics"]
    assert finding["kind"] == "nonfinite"
    assert finding["evidence"].startswith("epoch 1: ")
    assert " is nan in epoch 1, update " in finding["evidence"]
    assert "samples" not in finding["evidence"]
    command = shlex.join(["aam-train", f"resume={run_dir}", "optimizer.lr=1e+29"])
    assert finding["advice"] == f"begin again at a tenth of the rate: {command}"
    lines = capsys.readouterr().out.splitlines()
    assert f"    {command}" in lines
    assert aam_train(*shlex.split(command)[1:], "optimizer.lr=1e-3", "trainer.epochs=1") == 0
    assert rates(run_dir) == pytest.approx([1e-3 / 2], rel=1)
    assert [one.holds for one in spells(read_events(run_dir))] == []
