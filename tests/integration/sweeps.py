"""What the tests of schedulers share: a sweep that takes a while, and waiting for what it does."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aam.facts.reader import epoch_events, read_events

from . import waiting

BIN = Path(sys.executable).parent
EPOCHS = 25
# Each epoch takes less than a second.
SWEEP = (
    "loop=pretrain",
    "scheduler=warmup_cosine,cosine,plateau,onecycle",
    f"trainer.epochs={EPOCHS}",
    "early_stopping.patience=null",
    "trainer.num_threads=1",
    "loop.min_updates=6",
    "model.num_clades=8",
    "logging=none",
)
ONE_RUN = tuple(word for word in SWEEP if not word.startswith("scheduler="))


wait_for = partial(waiting.wait_for, every_s=0.5)  # schedulers and commands are asked


def call(command: Sequence[str | Path], **options: object) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def num_epochs(run_dir: Path) -> int:
    """Epochs whose facts are written; 0 for a run that has none yet."""
    events = run_dir / "facts" / "events.jsonl"
    return len(epoch_events(read_events(run_dir))) if events.is_file() else 0


def run_of(folder: Path, job: str) -> Path:
    """The run folder of a job; a name that is not there as long as it is not."""
    return next(folder.glob(f"run_*_{job}"), folder / "none")


def check_went_on(run_dir: Path, output: str, *, is_killed: bool = False) -> None:
    """It was interrupted in the middle, went on by itself, and its facts have all epochs once."""
    events = read_events(run_dir)
    moments = [event["moment"] for event in events]
    assert moments[0] == "on_start"
    assert moments[-1] == "on_test_end"
    resumed = [event["epoch"] for event in events if event["moment"] == "on_resume"]
    assert resumed
    assert all(0 < epoch < EPOCHS for epoch in resumed)
    assert [event["epoch"] for event in epoch_events(events)] == list(range(EPOCHS))
    assert ("run.sh: exit code 85" in output) != is_killed
    assert ("on_stop" in moments) != is_killed
    assert f"Resumed: goes on with epoch {resumed[0] + 1}" in output
    assert "run.sh: exit code 0" in output
