"""The newest checkpoint and the one before it: one of them is whole, whatever happens."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.errors import StopRequestedError, UserError
from aam.facts.reader import epoch_events, read_events
from aam.training.checkpoint import BEST, LAST, PREVIOUS, load_checkpoint
from aam.training.run_folder import RunFolder

from .toys import ToyTask, make_config, run_toy, weights


def state(number: int) -> dict[str, Any]:
    return {"epoch": number, "model": {"weight": torch.full((3,), float(number))}}


def numbers(run_dir: Path) -> list[int]:
    return [load_checkpoint(run_dir / name)["epoch"] for name in (LAST, PREVIOUS)]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-700])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "a flipped bit": flip,
    "gone": Path.unlink,
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run that was saved three times."""
    keeper = RunFolder(tmp_path, {"config": {}})
    for number in range(3):
        keeper.save_last(state(number))
    return tmp_path


def test_the_newest_and_the_one_before_are_kept(run_dir: Path) -> None:
    assert numbers(run_dir) == [2, 1]
    assert sorted(path.name for path in run_dir.iterdir()) == [LAST, PREVIOUS]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_one_is_told_and_the_one_before_taken(
    run_dir: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    damage(run_dir / LAST)
    keeper = RunFolder(run_dir, {})
    assert keeper.load_last()["epoch"] == 1
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"{run_dir / LAST} is ")
    assert said.endswith(f": going on from {PREVIOUS}, which was saved before it")
    keeper.save_last(state(7))
    assert numbers(run_dir) == [7, 1]  # what is damaged takes no whole one's place
    keeper.save_last(state(8))
    assert numbers(run_dir) == [8, 7]


def test_two_damaged_ones_are_the_end(run_dir: Path) -> None:
    flip(run_dir / LAST)
    (run_dir / PREVIOUS).write_bytes(b"")
    with pytest.raises(UserError) as refused:
        RunFolder(run_dir, {}).load_last()
    assert str(refused.value) == (
        f"{run_dir} cannot go on, for last.pt is damaged ({(run_dir / LAST).stat().st_size} bytes, "
        "and the checksum at their end does not fit), and previous.pt is damaged (0 bytes, and the "
        "checksum at their end does not fit): bring one of them back from a backup, or start the "
        "run again"
    )


@pytest.mark.parametrize("failing", ["fsync", "replace", "hardlink_to"])
def test_a_disk_that_refuses_costs_nothing_that_was_saved(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, failing)), refuse)
    keeper = RunFolder(run_dir, {})
    if failing == "hardlink_to":  # a file system without links: the one before is copied
        keeper.save_last(state(3))
    else:
        with pytest.raises(OSError, match="No space left"):
            keeper.save_last(state(3))
    monkeypatch.undo()
    assert numbers(run_dir) == ([3, 2] if failing == "hardlink_to" else [2, 1])
    assert sorted(path.name for path in run_dir.iterdir()) == [LAST, PREVIOUS]


def test_a_kill_between_two_renames_leaves_both_whole(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before has moved, the new one not: both names lead to one file then."""

    class Killed(BaseException):
        pass

    def replace(path: Path, name: Path, replace: Any = Path.replace) -> None:
        if name.name == LAST:
            raise Killed
        replace(path, name)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Killed):
        RunFolder(run_dir, {}).save_last(state(3))
    monkeypatch.undo()
    assert numbers(run_dir) == [2, 2]
    RunFolder(run_dir, {}).save_last(state(3))
    assert numbers(run_dir) == [3, 2]
    assert sorted(path.name for path in run_dir.iterdir()) == [LAST, PREVIOUS]


def test_what_a_killed_process_was_writing_is_taken_away(run_dir: Path) -> None:
    for name in (
        ".last.pt.41-0a1b2c3d.tmp",
        ".best_model.pt.41-0a1b2c3d.tmp",
        ".previous.pt.41.tmp",
    ):
        (run_dir / name).write_bytes(b"half")
    (run_dir / ".model.pt.new").symlink_to("best_model.pt")
    (run_dir / "predictions").mkdir()
    (run_dir / "predictions" / ".val.tsv.41-0a1b2c3d.tmp").write_bytes(b"half")
    (run_dir / ".stop_request.9-0a1b2c3d.tmp").write_bytes(b"somebody else writes this now")
    RunFolder(run_dir, {}).load_last()
    names = sorted(path.name for path in run_dir.rglob("*") if path.is_file())
    assert names == [".stop_request.9-0a1b2c3d.tmp", LAST, PREVIOUS]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_best_model_that_is_lost_makes_way_for_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    """With no learning rate, no later epoch would be better than the first."""
    run = tmp_path / "run"
    run_toy(ToyTask(), make_config(optimizer={"lr": 0.0}), run)
    damage(run / BEST)
    run_toy(ToyTask(), make_config(optimizer={"lr": 0.0}, epochs=5), run, resume=True)
    assert load_checkpoint(run / BEST)["epoch"] == 4
    assert read_events(run)[-1]["best"]["epoch"] == 3
    assert "the next epoch is taken for the best so far" in caplog.text


def test_a_best_model_of_an_epoch_that_is_done_again_is_none(tmp_path: Path) -> None:
    """The last epoch was the best, and comes out worse when it is done again."""
    run = tmp_path / "run"
    run_toy(ToyTask(), make_config(), run)
    flip(run / LAST)
    worse = ToyTask(mishap={2: "bad validation"})
    run_toy(worse, make_config(), run, resume=True)
    best = read_events(run)[-1]["best"]
    kept = load_checkpoint(run / BEST)
    assert (best["epoch"], kept["epoch"]) == (2, 3)
    assert (
        best["value"]
        == kept["stopping"]["best_value"]
        == epoch_events(read_events(run))[2]["val_loss"]
    )


def test_a_run_whose_last_checkpoint_is_damaged_ends_as_if_it_were_whole(tmp_path: Path) -> None:
    config = make_config(every_minutes=1e-9)
    expected = ToyTask(dropout=0.5)
    run_toy(expected, config, tmp_path / "whole")
    run = tmp_path / "run"
    with pytest.raises(StopRequestedError):
        run_toy(ToyTask(dropout=0.5, mishap={(2, 1): "SIGTERM"}), config, run)
    flip(run / LAST)
    resumed = ToyTask(dropout=0.5)
    run_toy(resumed, config, run, resume=True)
    assert resumed.steps_made[0] == (2, 1)  # of what was saved at the end of the epoch before
    for name, tensor in weights(expected).items():
        assert torch.equal(weights(resumed)[name], tensor), name
    assert [event["resumed_from"] for event in read_events(run)] == [None] * len(read_events(run))
