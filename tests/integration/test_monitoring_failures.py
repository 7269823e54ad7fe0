"""Whatever happens to figures, a training goes on to its end, with one warning and all facts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aam.cli.train import main
from aam.facts.reader import EVENTS, read_events
from aam.facts.schema import validate
from aam.loops import session
from aam.monitoring.drawing import draw_all
from aam.monitoring.figures import Figures
from aam.monitoring.settings import logging_of_run

from .waiting import wait_for

BIN = Path(sys.executable).parent
EPOCHS = 3
SMALLEST = (
    "loop.min_updates=2",
    "model.num_clades=8",
    "trainer.num_threads=1",
    "scheduler=constant",
    f"trainer.epochs={EPOCHS}",
    "logging=plots_minimal",
    "logging.tensorboard=false",
    "logging.families.losses.dpi=20",
    "logging.families.unifrac.dpi=20",
)
FIGURES = ["losses-on_epoch_end.png", "unifrac_test.png"]
Act = Callable[[Path, Figures], object]


class Saboteur:
    """Listener that does something to the run when it has the figure of its first epoch."""

    def __init__(self, act: Act, figures: Figures) -> None:
        self.act, self.figures = act, figures
        self.is_done = False

    def on_event(self, event: dict[str, Any]) -> None:
        if self.is_done or event["moment"] != "on_epoch_end" or event["epoch"] == 0:
            return
        self.is_done = True
        run_dir = Path(event["run_dir"])
        wait_for(lambda: (run_dir / "figures" / FIGURES[0]).is_file())
        self.act(run_dir, self.figures)

    def on_progress(self, progress: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def outputs(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("AAM_CACHE", str(cache))
    return tmp_path / "outputs"


@pytest.fixture
def train_with(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Path, str]]:
    """Train by the command in this process; give the run folder and what went to stderr."""

    def train(act: Act | None = None) -> tuple[Path, str]:
        def listeners(*given: Any) -> list[Any]:
            made = made_by_all(*given)
            (figures,) = (one for one in made if isinstance(one, Figures))
            return [Saboteur(act, figures), *made] if act else made

        made_by_all = session.listeners
        monkeypatch.setattr(session, "listeners", listeners)
        monkeypatch.setattr(sys, "argv", ["aam-train", *SMALLEST])
        assert main() == 0
        (run_dir,) = (outputs / "runs").iterdir()
        return run_dir, capsys.readouterr().err

    return train


@pytest.fixture
def mount() -> Iterator[Callable[[Path, str], None]]:
    """Mount a small file system, or skip where that is not possible."""
    mounted: list[Path] = []

    def mount_at(folder: Path, options: str) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
            capture_output=True,
            check=True,
        )
        mounted.append(folder)

    yield mount_at
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def can_mount(tmp_path: Path) -> None:
    done = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, text=True, check=False
        )
        if shutil.which("mount")
        else None
    )
    if done is None or done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done and done.stderr.strip()}")
    subprocess.run(["umount", tmp_path], check=True)


def assert_whole(run_dir: Path) -> None:
    """All facts of a training that went on to its end, and its model."""
    lines = (run_dir / EVENTS).read_text().splitlines()
    for line in lines:
        validate(json.loads(line))
    moments = [event["moment"] for event in read_events(run_dir)]
    assert len(moments) == len(lines)
    assert moments[0] == "on_start"
    assert moments[-2:] == ["on_train_end", "on_test_end"]
    assert moments.count("on_epoch_end") == EPOCHS
    assert moments.count("on_validation_improved") == len(moments) - EPOCHS - 3
    assert len((run_dir / "facts" / "scalars.csv").read_text().splitlines()) == 2 * EPOCHS + 2
    assert (run_dir / "best_model.pt").is_file()


def drawn(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "figures").iterdir())


def children_of(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task")
    if not tasks.is_dir():
        pytest.skip("there is no /proc here to find the drawing process by")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def test_a_killed_worker(outputs: Path) -> None:
    """The installed command; then its figures are those that aam-facts plot draws."""
    with subprocess.Popen(
        [BIN / "aam-train", *SMALLEST], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as training:
        wait_for(lambda: list(outputs.glob("runs/*/figures/*.png")))
        (worker,) = children_of(training.pid)
        os.kill(worker, signal.SIGKILL)
        _, said = training.communicate(timeout=120)
    assert training.returncode == 0
    (run_dir,) = (outputs / "runs").iterdir()
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert "the drawing process is lost (it was ended by SIGKILL)" in warning
    assert drawn(run_dir) == FIGURES
    again = outputs / "again"
    subprocess.run([BIN / "aam-facts", "plot", run_dir, f"output={again}"], check=True)
    for name in FIGURES:
        assert (again / name).read_bytes() == (run_dir / "figures" / name).read_bytes()


def test_a_deleted_folder(train_with: Callable[..., tuple[Path, str]]) -> None:
    run_dir, said = train_with(lambda run_dir, _: shutil.rmtree(run_dir / "figures"))
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert warning == f"{run_dir}/figures was deleted: it is made again"
    assert drawn(run_dir) == FIGURES


@pytest.mark.usefixtures("can_mount")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("size=4k", "No space left on device"),
        pytest.param("ro", "Read-only file system", marks=pytest.mark.slow),
    ],
)
def test_a_folder_that_takes_nothing(
    train_with: Callable[..., tuple[Path, str]],
    mount: Callable[[Path, str], None],
    options: str,
    reason: str,
) -> None:
    run_dir, said = train_with(lambda run_dir, _: mount(run_dir / "figures", options))
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert warning.startswith(f"figures cannot be written to {run_dir}/figures ({reason})")
    assert drawn(run_dir) == []


@pytest.mark.slow
def test_a_file_in_place_of_the_folder(train_with: Callable[..., tuple[Path, str]]) -> None:
    def act(run_dir: Path, _: Figures) -> None:
        (run_dir / "figures").rename(run_dir / "elsewhere")
        (run_dir / "figures").touch()

    run_dir, said = train_with(act)
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert warning.startswith(f"figures cannot be written to {run_dir}/figures (File exists)")
    (run_dir / "figures").unlink()
    draw_all(run_dir, logging_of_run(run_dir))
    assert drawn(run_dir) == FIGURES


def test_a_worker_that_hangs(
    train_with: Callable[..., tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(run_dir: Path, figures: Figures) -> None:
        assert figures._worker is not None
        os.kill(figures._worker.process.pid, signal.SIGSTOP)
        monkeypatch.setattr(figures, "_patience_s", 0.2)

    run_dir, said = train_with(act)
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert "the drawing process is lost (it takes too long)" in warning


def test_a_worker_that_cannot_start(
    train_with: Callable[..., tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Figures.__init__.__kwdefaults__, "command", ("/absent/python",))
    run_dir, said = train_with()
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert "the drawing process is lost (it cannot be started" in warning


def test_a_listener_that_raises(train_with: Callable[..., tuple[Path, str]]) -> None:
    def act(run_dir: Path, _: Figures) -> None:
        raise RuntimeError("on purpose")

    run_dir, said = train_with(act)
    assert_whole(run_dir)
    (warning,) = said.splitlines()
    assert warning.startswith("the listener Saboteur failed (RuntimeError: on purpose)")
    assert drawn(run_dir) == FIGURES
