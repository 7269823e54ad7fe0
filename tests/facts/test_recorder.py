import csv
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.errors import UserError
from aam.facts.listener import Progress
from aam.facts.reader import read_events
from aam.facts.recorder import Recorder
from aam.facts.schema import validate

Open = Callable[..., Recorder]
Fields = Callable[..., dict[str, Any]]

HEADER = (
    "epoch,split,step,train_loss,val_loss,lr,epoch_time_s,throughput,max_memory_mib,"
    "metric_total_loss,metric_unifrac_loss"
)


class Ears:
    """A listener that remembers, and fails at a moment of choice."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.heard: list[str] = []

    def on_event(self, event: dict[str, Any]) -> None:
        self._hear(event["moment"])

    def on_progress(self, progress: Progress) -> None:
        self._hear(f"step {progress.step}")

    def close(self) -> None:
        self._hear("close")

    def _hear(self, what: str) -> None:
        self.heard.append(what)
        if what == self.fails_at:
            raise BrokenPipeError("the worker is gone")


def strict_lines(path: Path) -> list[dict[str, Any]]:
    """Every line as JSON that knows no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {path}")

    text = path.read_text(encoding="ascii")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_a_whole_run_on_disk(
    open_recorder: Open, epoch_fields: Fields, meta: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recorder = open_recorder()
    emitted = [recorder.emit("on_start", meta=meta)]
    for epoch in range(3):
        fields = epoch_fields(epoch) | {"best": epoch_fields(min(epoch, 1))["best"]}
        emitted.append(recorder.emit("on_epoch_end", **fields))
    emitted.append(recorder.emit("on_validation_improved", **epoch_fields(1)))
    emitted.append(recorder.emit("on_train_end", total_time_s=4.5, best=emitted[-1]["best"]))
    emitted.append(
        recorder.emit(
            "on_test_end",
            epoch=2,
            metrics={"test": {"unifrac_loss": 0.25}},
            artifacts={"test_unifrac": Path("predictions", "test_unifrac.tsv")},
        )
    )
    recorder.close()

    assert strict_lines(run / "facts" / "events.jsonl") == emitted == read_events(run)
    for event in emitted:
        validate(event)
    assert {event["run_id"] for event in emitted} == {recorder.run_id}
    assert emitted[-2]["history"] == {
        "train_loss": [1.0, 0.5, 1 / 3],
        "val_loss": [1.1, 0.55, 1.1 / 3],
        "lr": [1e-4] * 3,
    }
    assert json.loads((run / "training_metrics.json").read_text()) == {
        "train_loss": [1.0, 0.5, 1 / 3],
        "val_loss": [1.1, 0.55, 1.1 / 3],
        "best_epoch": 2,
        "best_val_loss": 0.55,
    }
    lines = (run / "facts" / "scalars.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[3:5] == [
        "1,train,20,0.5,0.55,0.0001,1.5,20.0,512.0,0.5,0.25",
        "1,val,20,0.5,0.55,0.0001,1.5,20.0,512.0,0.55,0.275",
    ]
    assert lines[7:] == ["2,test,,,,,,,,,0.25"]


def test_numbers_that_are_not_finite_become_null_and_are_named(
    open_recorder: Open, tmp_path: Path
) -> None:
    import torch

    recorder = open_recorder()
    event = recorder.emit(
        "on_epoch_end",
        epoch=np.int64(0),
        step=4,
        train_loss=torch.tensor(float("nan")),
        val_loss=np.float32("inf"),
        lr=torch.tensor(0.5, dtype=torch.bfloat16),
        metrics={"val": {"r2": float("-inf"), "mae": np.float64(2.5)}},
        throughput=np.int32(12),
        best={"epoch": 0, "metric": "val_loss", "value": float("nan")},
    )
    recorder.close()
    validate(event)
    assert event["nonfinite"] == ["train_loss", "val_loss", "metrics.val.r2", "best.value"]
    assert [event[k] for k in ("train_loss", "val_loss", "lr")] == [None, None, 0.5]
    assert event["metrics"] == {"train": {}, "val": {"r2": None, "mae": 2.5}, "test": {}}
    assert strict_lines(tmp_path / "run" / "facts" / "events.jsonl") == [event]
    rows = (tmp_path / "run" / "facts" / "scalars.csv").read_text().splitlines()
    assert rows[1:] == ["0,train,4,,,0.5,,12,,,", "0,val,4,,,0.5,,12,,,"]
    assert json.loads((tmp_path / "run" / "training_metrics.json").read_text()) == {
        "train_loss": [None],
        "val_loss": [None],
        "best_epoch": 1,
        "best_val_loss": None,
    }


def test_text_of_any_kind_stays_one_line_of_json(open_recorder: Open, tmp_path: Path) -> None:
    message = 'quote " back\\slash\nline\u2028separator ä \udcff'
    recorder = open_recorder()
    error = {"type": "E", "message": message, "traceback": ""}
    recorder.emit("on_exception", error=error)
    recorder.close()
    (event,) = strict_lines(tmp_path / "run" / "facts" / "events.jsonl")
    assert event["error"]["message"] == message.replace("\udcff", "?")


def test_epochs_without_validation_have_one_row(open_recorder: Open, tmp_path: Path) -> None:
    recorder = open_recorder()
    recorder.emit("on_epoch_end", epoch=0, step=1, train_loss=0.5)
    recorder.close()
    assert (tmp_path / "run" / "facts" / "scalars.csv").read_text().splitlines()[1:] == [
        "0,train,1,0.5,,,,,,,"
    ]


def test_a_metric_without_a_column_is_reported_once_and_stays_a_fact(
    open_recorder: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = open_recorder()
    for epoch in range(3):
        recorder.emit("on_epoch_end", epoch=epoch, step=1, metrics={"train": {"surprise": 1.0}})
    recorder.close()
    assert [r.getMessage() for r in caplog.records] == [
        "scalars.csv has no column for surprise, which was not announced at the start; "
        "see events.jsonl"
    ]
    assert [e["metrics"]["train"] for e in read_events(tmp_path / "run")] == [{"surprise": 1.0}] * 3
    with (tmp_path / "run" / "facts" / "scalars.csv").open(newline="") as file:
        assert {len(row) for row in csv.reader(file)} == {len(HEADER.split(","))}


def test_facts_cost_the_same_at_every_epoch(
    open_recorder: Open, epoch_fields: Fields, tmp_path: Path
) -> None:
    recorder = open_recorder()
    for epoch in range(100, 160):
        recorder.emit("on_epoch_end", **epoch_fields(epoch) | {"train_loss": 0.5, "val_loss": 0.5})
    recorder.close()
    lines = (tmp_path / "run" / "facts" / "events.jsonl").read_bytes().splitlines()
    early, late = (sum(map(len, part)) for part in (lines[:20], lines[-20:]))
    assert abs(late - early) < 0.02 * early


def test_a_failing_listener_is_reported_once_closed_and_dropped(
    open_recorder: Open, epoch_fields: Fields, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    recorder = open_recorder()
    broken, slow, healthy = Ears("on_epoch_end"), Ears("step 2"), Ears()
    for ears in (broken, slow, healthy):
        recorder.add_listener(ears)
    for epoch in range(2):
        for step in (1, 2):
            recorder.progress(Progress(epoch, 2, step, 2, {"total_loss": 1.0}))
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
    assert recorder.listeners == [healthy]
    recorder.close()
    recorder.close()

    assert healthy.heard == ["step 1", "step 2", "on_epoch_end"] * 2 + ["close"]
    assert broken.heard == ["step 1", "step 2", "on_epoch_end", "close"]
    assert slow.heard == ["step 1", "step 2", "close"]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert (
        warnings
        == [
            "the listener Ears failed (BrokenPipeError: the worker is gone) and is left out "
            "from here on; the training goes on"
        ]
        * 2
    )
    assert len(read_events(tmp_path / "run")) == 2


def test_a_listener_that_fails_to_close_does_not_keep_the_others_open(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = open_recorder()
    broken, healthy = Ears("close"), Ears()
    recorder.listeners += [broken, healthy]
    recorder.close()
    assert broken.heard == healthy.heard == ["close"]
    assert len(caplog.records) == 1


def test_listeners_hear_only_what_is_on_disk(open_recorder: Open, tmp_path: Path) -> None:
    recorder = open_recorder()

    class Reads(Ears):
        def on_event(self, event: dict[str, Any]) -> None:
            self.last = read_events(tmp_path / "run")[-1]
            assert self.last == event

    ears = Reads()
    recorder.add_listener(ears)
    recorder.emit("on_epoch_end", epoch=0, step=1, train_loss=0.5)
    assert recorder.listeners == [ears]
    assert ears.last["train_loss"] == 0.5
    recorder.close()


def test_without_a_run_folder_nothing_is_written_but_heard(
    open_recorder: Open,
    epoch_fields: Fields,
    meta: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = open_recorder(None)
    ears = Ears()
    recorder.add_listener(ears)
    recorder.emit("on_start", meta=meta)
    recorder.emit("on_epoch_end", **epoch_fields(0))
    end = recorder.emit("on_train_end")
    recorder.close()
    validate(end)
    assert end["run_dir"] is None
    assert end["history"]["train_loss"] == [1.0]
    assert ears.heard == ["on_start", "on_epoch_end", "on_train_end", "close"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_facts_is_refused(open_recorder: Open, tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    recorder = open_recorder(run_id="mine")
    assert recorder.run_id == "mine"
    recorder.emit("on_epoch_end", epoch=0, step=1)
    recorder.close()
    before = (tmp_path / "run" / "facts" / "events.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"run already holds the facts of a run: choose another"):
        open_recorder()
    assert (tmp_path / "run" / "facts" / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("moment", "fields"),
    [
        ("on_epoch_ends", {"epoch": 0}),
        ("on_epoch_end", {"epoch": 0, "loss": 1.0}),
        ("on_epoch_end", {"epoch": 0, "run_id": "other"}),
        ("on_epoch_end", {"epoch": None}),
        ("on_epoch_end", {"epoch": 0, "lr": "high"}),
        ("on_epoch_end", {"epoch": 0, "metrics": {"valid": {}}}),
        ("on_epoch_end", {"epoch": 0, "metrics": {"val": {"r2": "good"}}}),
        ("on_epoch_end", {"epoch": 0, "meta": {}}),
        ("on_start", {}),
        ("on_exception", {}),
    ],
)
def test_what_no_reader_would_take_is_never_written(
    open_recorder: Open, tmp_path: Path, moment: str, fields: dict[str, Any]
) -> None:
    recorder = open_recorder()
    with pytest.raises(ValueError, match=r"no such|belongs to|not as the schema"):
        recorder.emit(moment, **fields)
    recorder.close()
    assert (tmp_path / "run" / "facts" / "events.jsonl").read_bytes() == b""


FULL_DISK = """
import resource, sys
from pathlib import Path
from aam.facts.recorder import Recorder

recorder = Recorder(Path(sys.argv[1]), loop="pretrain", metric_names=[])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
try:
    for epoch in range(1000):
        recorder.emit("on_epoch_end", epoch=epoch, step=1, train_loss=0.5)
except OSError as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    recorder.emit("on_exception", error={"type": "OSError", "message": str(error), "traceback": ""})
    recorder.close()
    print(epoch)
"""


def test_a_full_disk_raises_and_leaves_whole_lines(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(run)], capture_output=True, text=True, check=True
    )
    failed = int(done.stdout)
    events = strict_lines(run / "facts" / "events.jsonl")
    assert [event["epoch"] for event in events] == [*range(failed), None]
    assert 0 < (run / "facts" / "events.jsonl").stat().st_size - 10_000 < 1_000
    assert "File too large" in events[-1]["error"]["message"]


def test_facts_load_no_heavy_package() -> None:
    modules = ["recorder", "reader", "schema", "files", "listener", "tables", "meta"]
    program = (
        f"import sys, {', '.join(f'aam.facts.{name}' for name in modules)}\n"
        "print(*sys.modules.keys() & {'torch','numpy','scipy','pandas','matplotlib','skbio',"
        "'hydra','omegaconf','jsonschema'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done
