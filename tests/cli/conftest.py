"""``aam-train`` within the test's own process, with its outputs in a folder of the test."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aam.cli import facts
from aam.cli.train import main
from aam.config import Config
from aam.facts.recorder import Recorder
from aam.facts.seals import sealed
from aam.facts.tables import write_tsv
from aam.loops.run import Run

META = {
    "versions": {"aam": "0.1.0", "python": "3", "torch": "2", "numpy": "2"},
    "num_samples": {"train": 8, "val": 2, "test": 2},
    "num_epochs": 4,
    "command": "aam-train --multirun run_name=x,y",
    "working_dir": "/home/ana/study",
}


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
    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def loop(monkeypatch) -> FakeLoop:
    fake = FakeLoop()
    monkeypatch.setattr("aam.cli.launch.find_loop", lambda name: fake)
    return fake


@pytest.fixture
def outputs(monkeypatch, tmp_path) -> Path:
    """Where runs lie, as the environment says too."""
    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


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


@pytest.fixture
def record(outputs, start_meta) -> Callable[..., Path]:
    """Write a run folder below ``outputs/runs``, as a training of two of four epochs leaves it."""

    def make(name: str, *ends: tuple[str, dict[str, Any]], **changed: Any) -> Path:
        run = outputs / "runs" / name
        recorder = Recorder(run, loop=changed.pop("loop", "pretrain"), metric_names=["unifrac_r2"])
        table = {"val_unifrac": "predictions/val_unifrac.tsv"}
        write_tsv(run / table["val_unifrac"], {"true": [0.5], "predicted": [0.25]})
        recorder.emit("on_start", meta=start_meta | META | changed)
        for epoch, loss in enumerate((0.5, 0.25)):
            fact = epoch_fact(epoch, loss)
            recorder.emit("on_epoch_end", **fact)
            recorder.emit("on_validation_improved", **fact, artifacts=table)
        for moment, fields in ends:
            recorder.emit(moment, **fields)
        recorder.close()
        write_around(run)
        return run

    return make


def epoch_fact(epoch: int, loss: float, **changed: Any) -> dict[str, Any]:
    fact = {
        "epoch": epoch,
        "step": 10 * (epoch + 1),
        "train_loss": loss / 2,
        "val_loss": loss,
        "lr": 1e-3,
        "metrics": {"train": {}, "val": {"unifrac_r2": 1 - loss}},
        "epoch_time_s": 30.0,
        "total_time_s": 30.0 * (epoch + 1),
        "throughput": 4.0,
        "best": {"epoch": epoch, "metric": "val_loss", "value": loss},
    }
    return fact | changed


def write_around(run: Path) -> None:
    """What lies around the facts: settings, checkpoints, a figure."""
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text("loop: {name: pretrain}\n")
    (run / ".hydra" / "overrides.yaml").write_text("- run_name=a b\n- trainer.epochs=4\n")
    for name in ("last.pt", "best_model.pt"):
        (run / name).write_bytes(sealed(b"weights"))
    (run / "model.pt").symlink_to("best_model.pt")
    (run / "figures").mkdir()
    image = b"\x89PNG\r\n\x1a\n" + bytes(8) + b"IEND\xaeB`\x82"
    (run / "figures" / "losses-on_epoch_end.png").write_bytes(image)
