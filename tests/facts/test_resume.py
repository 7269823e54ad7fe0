import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.errors import UserError
from aam.facts.presence import SIGN
from aam.facts.reader import best, epoch_events, read_events, series
from aam.facts.recorder import Recorder
from aam.facts.schema import validate

Open = Callable[..., Recorder]
Fields = Callable[..., dict[str, Any]]


def test_epochs_done_again_make_one_curve(
    open_recorder: Open, epoch_fields: Fields, meta: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recorder = open_recorder()
    recorder.emit("on_start", meta=meta)
    for epoch in range(4):
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
    recorder.close()

    again = open_recorder(resume=True, run_id="ignored")
    again.emit("on_resume", meta=meta, epoch=2)
    metrics = json.loads((run / "training_metrics.json").read_text())
    assert metrics == {
        "train_loss": [1.0, 0.5],
        "val_loss": [1.1, 0.55],
        "best_epoch": 2,
        "best_val_loss": 0.55,
    }
    assert series(read_events(run), "val", "loss") == ([0, 1], [1.1, 0.55])

    again.emit("on_epoch_end", **epoch_fields(2, shift=0.1))
    end = again.emit("on_train_end")
    again.close()

    events = read_events(run)
    assert {event["run_id"] for event in events} == {recorder.run_id} == {again.run_id}
    epochs = epoch_events(events)
    assert [event["train_loss"] for event in epochs] == [1.0, 0.5, 1 / 3 + 0.1]
    assert end["history"]["train_loss"] == [1.0, 0.5, 1 / 3 + 0.1]
    assert best(events) == epochs[2]["best"] == epoch_fields(2, shift=0.1)["best"]
    rows = [row.split(",")[:4] for row in (run / "facts" / "scalars.csv").read_text().split()]
    assert rows[1:] == [
        [str(e["epoch"]), split, str(e["step"]), repr(e["train_loss"])]
        for e in epochs
        for split in ("train", "val")
    ]
    for event in events:
        validate(event)


def test_epochs_that_are_done_again_say_so(
    open_recorder: Open, epoch_fields: Fields, meta: dict[str, Any], tmp_path: Path
) -> None:
    """Told before, and told again: those alone, and of the newest resume."""
    recorder = open_recorder()
    recorder.emit("on_start", meta=meta)
    for epoch in range(3):
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
    recorder.close()
    for resumed_at, done_again in ((2, (2, 3)), (1, (1, 2, 3, 4))):
        recorder = open_recorder(resume=True)
        recorder.emit("on_resume", meta=meta, epoch=resumed_at)
        for epoch in done_again:
            recorder.emit("on_epoch_end", **epoch_fields(epoch))
            recorder.emit("on_validation_improved", **epoch_fields(epoch))
        recorder.emit("on_train_end", epoch=resumed_at)
        recorder.close()
    told = [
        (event["epoch"], event["resumed_from"])
        for event in read_events(tmp_path / "run")
        if event["moment"] == "on_epoch_end"
    ]
    first, second = [(0, None), (1, None), (2, None)], [(2, 2), (3, None)]
    assert told == [*first, *second, (1, 1), (2, 1), (3, 1), (4, None)]
    for event in read_events(tmp_path / "run"):
        validate(event)
        if event["moment"] == "on_validation_improved":
            assert (event["epoch"], event["resumed_from"]) in told


def leave_sign_of_a_lost_machine(run: Path) -> None:
    sign = {"hostname": "node7", "pid": 41, "place": "node7 and when it started", "born": "1"}
    (run / SIGN).write_text(json.dumps(sign))
    os.utime(run / SIGN, (0, 0))


def test_the_lock_of_a_machine_that_is_gone_holds_nothing_up(
    open_recorder: Open, epoch_fields: Fields, meta: dict[str, Any], tmp_path: Path
) -> None:
    """A network file system may keep it for ever; without the sign, it is somebody's."""
    run = tmp_path / "run"
    recorder = open_recorder()
    recorder.emit("on_start", meta=meta)
    recorder.close()
    with (run / "facts" / "events.jsonl").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"events\.jsonl is being written by another process"):
            open_recorder(resume=True)
        assert not (run / SIGN).exists()
        leave_sign_of_a_lost_machine(run)
        again = open_recorder(resume=True)
        again.emit("on_resume", meta=meta, epoch=0)
        again.close()
    assert [event["moment"] for event in read_events(run)] == ["on_start", "on_resume"]


def test_who_was_taken_over_writes_no_more(
    open_recorder: Open, epoch_fields: Fields, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recorder = open_recorder()
    recorder.emit("on_epoch_end", **epoch_fields(0))
    (run / SIGN).unlink()
    recorder.emit("on_epoch_end", **epoch_fields(1))  # somebody tidied up: nobody else is there
    leave_sign_of_a_lost_machine(run)
    before = (run / "facts" / "events.jsonl").read_bytes()
    with pytest.raises(UserError, match="was taken over by process 41 on node7"):
        recorder.emit("on_epoch_end", **epoch_fields(2))
    recorder.close()
    assert (run / "facts" / "events.jsonl").read_bytes() == before


def test_the_last_one_written_of_an_epoch_wins(
    open_recorder: Open, epoch_fields: Fields, tmp_path: Path
) -> None:
    recorder = open_recorder()
    for epoch, shift in ((0, 0.0), (1, 0.0), (1, 0.5)):
        recorder.emit("on_epoch_end", **epoch_fields(epoch, shift))
    recorder.close()
    assert series(read_events(tmp_path / "run"), "train", "total_loss") == ([0, 1], [1.0, 1.0])


def test_rows_that_a_kill_took_come_back_from_the_events(
    open_recorder: Open, epoch_fields: Fields, meta: dict[str, Any], tmp_path: Path
) -> None:
    table = tmp_path / "run" / "facts" / "scalars.csv"
    recorder = open_recorder()
    for epoch in range(3):
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
    recorder.close()
    whole = table.read_bytes()
    table.write_bytes(whole[:-30])
    again = open_recorder(resume=True)
    again.emit("on_resume", meta=meta, epoch=3)
    again.close()
    assert table.read_bytes() == whole


def test_what_cannot_be_resumed_is_refused(
    open_recorder: Open, epoch_fields: Fields, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"events\.jsonl does not exist: give a run folder"):
        open_recorder(resume=True)
    recorder = open_recorder()
    with pytest.raises(UserError, match="holds no event, so there is nothing to resume"):
        open_recorder(resume=True)
    recorder.emit("on_epoch_end", **epoch_fields(0))
    with pytest.raises(UserError, match="is being written by another process"):
        open_recorder(resume=True)
    recorder.close()
    before = [(run / "facts" / n).read_bytes() for n in ("events.jsonl", "scalars.csv")]
    with pytest.raises(UserError, match=r"only in the file: metric_unifrac_loss; only now: metr"):
        open_recorder(resume=True, metric_names=["total_loss", "mae"])
    assert before == [(run / "facts" / n).read_bytes() for n in ("events.jsonl", "scalars.csv")]
    again = open_recorder(resume=True)
    with pytest.raises(RuntimeError, match="must emit on_resume before"):
        again.emit("on_epoch_end", **epoch_fields(1))
    again.close()


@pytest.fixture(scope="module")
def content(meta: dict[str, Any], epoch_fields: Fields, tmp_path_factory: Any) -> bytes:
    """A run's ``events.jsonl``."""
    run = tmp_path_factory.mktemp("whole") / "run"
    recorder = Recorder(run, loop="pretrain", metric_names=[])
    recorder.emit("on_start", meta=meta)
    for epoch in range(3):
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
    recorder.emit("on_train_end")
    recorder.close()
    data: bytes = (run / "facts" / "events.jsonl").read_bytes()
    return data


FOREIGN = [
    b"null\n",
    b"[]\n",
    b"\n\n",
    b"\xff\xfe\x00\n",
    b'{"schema_version": 2, "moment": "on_start"}\n',
    b'{"schema_version": 1, "moment": "on_epoch_end", "epoch": "three"}\n',
    b'{"schema_version": 1, "moment": "on_epoch_end", "train_loss": NaN}\n',
    b"[" * 100_000 + b"\n",
    b"9" * 10_000 + b"\n",
    b"1e999\n",
]


@settings(max_examples=100, deadline=None)
@given(
    at=st.floats(0, 1),
    removed=st.integers(0, 3000),
    junk=st.one_of(st.binary(max_size=60), st.sampled_from(FOREIGN)),
)
def test_damage_anywhere_costs_only_the_lines_it_touches(
    content: bytes, meta: dict[str, Any], at: float, removed: int, junk: bytes
) -> None:
    where = round(at * len(content))
    before, after = content[:where], content[where + removed :]
    whole_before = [json.loads(line) for line in before.split(b"\n")[:-1]]
    whole_after = [json.loads(line) for line in after.split(b"\n")[1:] if line]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "facts", "events.jsonl")
        path.parent.mkdir()
        path.write_bytes(before + junk + after)
        read = read_events(Path(folder))
        assert read[: len(whole_before)] == whole_before
        assert read[len(read) - len(whole_after) :] == whole_after
        epoch_events(read), best(read), series(read, "val", "total_loss")

        path.write_bytes(before + junk)  # torn
        read = read_events(path)
        assert read[: len(whole_before)] == whole_before
        options: dict[str, Any] = {"loop": "pretrain", "metric_names": [], "resume": True}
        if not read:
            with pytest.raises(UserError, match="nothing to resume"):
                Recorder(Path(folder), **options)
            return
        recorder = Recorder(Path(folder), **options)
        resumed = recorder.emit("on_resume", meta=meta, epoch=1)
        recorder.close()
        assert read_events(path) == [*read, resumed]
        assert path.read_bytes().endswith(b"\n")


# A slow disk, so that most kills hit the middle of a line.
WRITER = """
import json, os, sys, time
from pathlib import Path
from aam.facts.recorder import Recorder

write = os.write
os.write = lambda fd, data: (time.sleep(0.001), write(fd, data[:4096]))[1]
run, meta, first = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
recorder = Recorder(run, loop="pretrain", metric_names=["total_loss"], resume=first > 0)
recorder.emit(*(("on_resume",) if first else ("on_start",)), epoch=first, meta=meta)
long = [{"kind": "plateau", "evidence": "x" * 500_000, "advice": "-"}]
for epoch in range(first, 10_000):
    metrics = {"train": {"total_loss": 0.5}}
    recorder.emit(
        "on_epoch_end", epoch=epoch, step=1, train_loss=0.5, metrics=metrics, diagnostics=long
    )
"""


def test_a_killed_writer_loses_at_most_its_last_line(tmp_path: Path, meta: dict[str, Any]) -> None:
    run = tmp_path / "run"
    path = run / "facts" / "events.jsonl"
    delays = random.Random(0)
    first = num_torn = 0
    for _ in range(4):
        size = path.stat().st_size if path.exists() else 0
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(run), json.dumps(meta), str(first)]
        )
        while not path.exists() or path.stat().st_size < size + 750_000:
            assert writer.poll() is None
            time.sleep(0.002)
        time.sleep(delays.uniform(0, 0.03))
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL

        *lines, torn = path.read_bytes().split(b"\n")
        num_torn += bool(torn)
        events = [json.loads(line) for line in lines]  # all but the last one are whole
        assert events == read_events(run)
        epochs = [event["epoch"] for event in epoch_events(events)]
        assert epochs == list(range(len(epochs)))
        first = max(1, len(epochs) - 1)  # as from a checkpoint that is one epoch old

    assert num_torn > 0
    recorder = Recorder(run, loop="pretrain", metric_names=["total_loss"], resume=True)
    recorder.emit("on_resume", epoch=first, meta=meta)
    recorder.close()
    assert path.read_bytes().endswith(b"\n")
    for event in read_events(run):
        validate(event)
    rows = (run / "facts" / "scalars.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [[str(e), "train"] for e in range(first)]
    assert len(json.loads((run / "training_metrics.json").read_text())["train_loss"]) == first
