"""Facts are read as they come: each event once, whatever else happens to the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aam.facts.follow import Follower
from aam.facts.reader import EVENTS, read_events
from aam.facts.recorder import Recorder
from aam.facts.schema import blank_event


def lines_of(num_events: int) -> list[bytes]:
    events = [
        blank_event()
        | {
            "moment": "on_epoch_end",
            "run_id": "µ",
            "loop": "pretrain",
            "timestamp": "2026-11-21T14:09:53Z",
            "epoch": epoch,
        }
        for epoch in range(num_events)
    ]
    return [json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events]


@given(st.lists(st.integers(0, 3_000), max_size=12))
def test_however_the_bytes_arrive_each_event_comes_once(cuts: list[int]) -> None:
    import tempfile

    content = b"".join([*lines_of(4)[:2], b"a foreign line\n", *lines_of(4)[2:], b'{"torn'])
    with tempfile.TemporaryDirectory() as folder:
        follower, epochs = Follower(Path(folder)), []
        assert follower.read() == []
        path = Path(folder) / EVENTS
        path.parent.mkdir()
        for cut in [*sorted(cuts), len(content)]:
            path.write_bytes(content[:cut])
            epochs += [event["epoch"] for event in follower.read()]
        assert epochs == [0, 1, 2, 3]
        assert follower.generation == 0
        assert follower.read() == []


def test_what_is_written_is_what_is_read(
    open_recorder: Callable[..., Recorder],
    meta: dict[str, Any],
    epoch_fields: Callable[..., dict[str, Any]],
) -> None:
    recorder = open_recorder()
    assert recorder.run_dir is not None
    follower = Follower(recorder.run_dir)
    followed = follower.read()
    recorder.emit("on_start", meta=meta)
    for epoch in range(3):
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
        followed += follower.read()
    assert followed == read_events(recorder.run_dir)
    assert len(followed) == 4


def test_another_file_in_its_place_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    path.parent.mkdir()
    path.write_bytes(b"".join(lines_of(3)))
    follower = Follower(tmp_path)
    assert len(follower.read()) == 3
    shutil.rmtree(path.parent)
    assert follower.read() == []
    path.parent.mkdir()
    path.write_bytes(b"".join(lines_of(2)))
    assert [event["epoch"] for event in follower.read()] == [0, 1]
    assert follower.generation == 1
