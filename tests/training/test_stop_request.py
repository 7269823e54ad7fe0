"""A run that is asked to stop ends its epoch, saves, says who asked, and can go on."""

from pathlib import Path

import pytest
import torch

from aam.errors import StopAfterEpochError
from aam.facts.reader import read_events
from aam.facts.schema import validate
from aam.facts.stopping import is_asked_to_stop, request_stop
from aam.training.checkpoint import LAST, load_checkpoint
from aam.training.task import Evaluation

from .toys import ToyTask, make_config, run_toy, weights


class AskedTask(ToyTask):
    """Somebody asks during the validation of an epoch."""

    def __init__(self, run_dir: Path, epoch: int) -> None:
        super().__init__(dropout=0.5)
        self.run_dir = run_dir
        self.asked_in = epoch

    def evaluate(self, split: str) -> Evaluation | None:
        if split == "val" and self.epochs_asked[-1] == self.asked_in:
            request_stop(self.run_dir, "ada@host")
        return super().evaluate(split)


def test_a_run_stops_after_the_epoch_and_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    expected, run_dir = ToyTask(dropout=0.5), tmp_path / "run"
    run_toy(expected, make_config(epochs=4), tmp_path / "whole")
    task = AskedTask(run_dir, epoch=1)
    with pytest.raises(StopAfterEpochError, match="request of ada@host"):
        run_toy(task, make_config(epochs=4), run_dir)
    assert task.epochs_asked == [0, 1]
    assert not task.tested
    last = read_events(run_dir)[-1]
    validate(last)
    assert (last["moment"], last["reason"], last["epoch"]) == ("on_stop", "request of ada@host", 2)
    assert load_checkpoint(run_dir / LAST)["epoch"] == 2
    assert not is_asked_to_stop(run_dir)

    request_stop(run_dir, "too late")  # for a run that had ended: not meant for the one to come
    resumed = ToyTask(dropout=0.5)
    run_toy(resumed, make_config(epochs=4), run_dir, resume=True)
    assert resumed.epochs_asked == [2, 3]
    for name, tensor in weights(expected).items():
        assert torch.equal(weights(resumed)[name], tensor), name


def test_a_request_in_the_last_epoch_keeps_no_run_from_its_test(tmp_path: Path) -> None:
    task = AskedTask(tmp_path / "run", epoch=2)
    run_toy(task, make_config(epochs=3), tmp_path / "run")
    assert task.tested


def test_a_file_that_somebody_touched_is_a_request(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stop_request").touch()
    with pytest.raises(StopAfterEpochError, match="request of somebody"):
        run_toy(ToyTask(), make_config(), tmp_path / "run")
