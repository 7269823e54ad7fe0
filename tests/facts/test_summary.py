"""A run at a glance says what reading all of its facts says."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aam.errors import UserError
from aam.facts.presence import Presence
from aam.facts.reader import EVENTS, epoch_events, read_events
from aam.facts.recorder import Recorder
from aam.facts.summary import DIED, FAILED, FINISHED, RUNNING, STOPPED, find_runs, summarize

ERROR = {"type": "ValueError", "message": "m", "traceback": '"moment": "on_test_end"\n'}
Fields = Callable[..., dict[str, Any]]


@pytest.fixture
def record(
    open_recorder: Callable[..., Recorder], meta: dict[str, Any], epoch_fields: Fields
) -> Callable[..., Path]:
    """A run of three of five epochs that ends in some way, and whose writer is gone."""

    def make(*ends: tuple[str, dict[str, Any]], num_test: int = 0) -> Path:
        num_samples = {"train": 8, "val": 2, "test": num_test}
        recorder = open_recorder()
        assert recorder.run_dir is not None
        recorder.emit("on_start", meta=meta | {"num_epochs": 5, "num_samples": num_samples})
        for epoch in range(3):
            recorder.emit("on_epoch_end", **epoch_fields(epoch))
            recorder.emit("on_validation_improved", **epoch_fields(epoch))
        for moment, fields in ends:
            recorder.emit(moment, **fields)
        recorder.close()
        return recorder.run_dir

    return make


TRAINED = ("on_train_end", {"epoch": 2})
TESTED = ("on_test_end", {"epoch": 2, "metrics": {"test": {"total_loss": 0.5}}})


@pytest.mark.parametrize(
    ("ends", "num_test", "state"),
    [
        ([], 0, DIED),
        ([TRAINED], 0, FINISHED),
        ([TRAINED], 4, DIED),
        ([TRAINED, TESTED], 4, FINISHED),
        ([("on_stop", {"reason": "SIGTERM"})], 0, STOPPED),
        ([("on_exception", {"error": ERROR})], 0, FAILED),
        ([("on_stop", {"reason": "x"}), ("on_resume", {"epoch": 2})], 0, DIED),
    ],
)
def test_the_state_of_a_run_that_nobody_writes(
    record: Callable[..., Path],
    meta: dict[str, Any],
    ends: list[tuple[str, dict[str, Any]]],
    num_test: int,
    state: str,
) -> None:
    ends = [(m, f | {"meta": meta} if m == "on_resume" else f) for m, f in ends]
    summary = summarize(record(*ends, num_test=num_test))
    assert summary is not None
    assert summary.state == state


def test_a_run_that_is_written_runs_until_its_end_is_told(record: Callable[..., Path]) -> None:
    running = record(TRAINED, num_test=4)
    sign = Presence(running)
    summary = summarize(running)
    assert summary is not None
    assert summary.state == RUNNING
    with (running / EVENTS).open("ab") as file:
        event = {**summary.last, "moment": "on_test_end", "history": None}
        file.write(json.dumps(event).encode() + b"\n")
    tested = summarize(running)  # it still draws
    assert tested is not None
    assert tested.state == FINISHED
    sign.close()


def test_the_numbers(record: Callable[..., Path]) -> None:
    run_dir = record(TRAINED, TESTED, num_test=4)
    with (run_dir / EVENTS).open("ab") as file:
        file.write(b'\n{"moment": "on_epoch_end"}\nnot ours\n{"moment": "on_epoch_end", "epo')
    summary = summarize(run_dir)
    assert summary is not None
    assert (summary.num_done, summary.num_epochs) == (3, 5)
    assert summary.best == {"epoch": 2, "metric": "val_loss", "value": 1.1 / 3}
    assert summary.test is not None
    assert summary.test["metrics"]["test"] == {"total_loss": 0.5}
    assert summary.last["moment"] == "on_test_end"
    assert summary.loop == "pretrain"
    assert summary.data == "?"
    assert (datetime.now(UTC) - summary.updated).total_seconds() < 60


@pytest.mark.parametrize(("resumes", "num_done"), [((2,), 2), ((1, 2), 1), ((0,), 0), ((3,), 3)])
def test_epochs_that_a_resume_does_again_are_not_done_yet(
    record: Callable[..., Path], meta: dict[str, Any], resumes: tuple[int, ...], num_done: int
) -> None:
    run_dir = record(*(("on_resume", {"epoch": epoch, "meta": meta}) for epoch in resumes))
    summary, epochs = summarize(run_dir), epoch_events(read_events(run_dir))
    assert summary is not None
    assert summary.num_done == len(epochs) == num_done
    assert summary.epoch == (epochs[-1] if epochs else None)


def test_a_torn_line_that_another_one_goes_on(record: Callable[..., Path]) -> None:
    """It holds two moments; JSON takes the second, and what belongs to the first is not there."""
    run_dir = record(TRAINED)
    last = (run_dir / EVENTS).read_bytes().splitlines()[-1]
    with (run_dir / EVENTS).open("ab") as file:
        file.write(b'{"moment": "on_resume", ' + last[1:] + b"\n")
    summary = summarize(run_dir)
    assert summary is not None
    assert summary.start["moment"] == "on_start"
    assert summary.data == "?"


def test_facts_without_a_start_are_no_run_yet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no facts"):
        summarize(tmp_path)
    (tmp_path / "facts").mkdir()
    for content in (b"", b"\x00\xff\n", b'{"moment": "on_start"}\n', b'{"moment": "on_start"'):
        (tmp_path / EVENTS).write_bytes(content)
        assert summarize(tmp_path) is None


def test_runs_are_found_where_the_outputs_have_them(tmp_path: Path) -> None:
    wanted = [tmp_path / "multiruns" / "exp_1" / "run_1", tmp_path / "runs" / "run_2"]
    for run in [*wanted, tmp_path / "runs" / ".hidden", wanted[0] / "inner"]:
        (run / "facts").mkdir(parents=True)
        (run / EVENTS).touch()
    assert list(find_runs(tmp_path)) == wanted
    assert list(find_runs(wanted[0])) == wanted[:1]
    assert list(find_runs(tmp_path / "absent")) == []


def test_a_folder_that_is_closed_to_us_hides_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run_1" / "facts").mkdir(parents=True)
    (tmp_path / "run_1" / EVENTS).touch()
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    user = os.geteuid()
    if user == 0:  # to whom nothing is closed
        os.seteuid(65_534)
    try:
        found = list(find_runs(Path()))
    finally:
        os.seteuid(user)
        (tmp_path / "closed").chmod(0o755)
    assert found == [Path("run_1")]
