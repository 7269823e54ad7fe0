"""Runs by a schedule-free optimizer: what is judged and kept are the averaged weights."""

from pathlib import Path

import pytest
import torch

from aam.errors import StopRequestedError
from aam.facts.reader import epoch_events, read_events
from aam.training.checkpoint import BEST, LAST, load_checkpoint

from .toys import ToyTask, make_config, run_toy

SCHEDULE_FREE = {"_target_": "pytorch_optimizer.ScheduleFreeAdamW", "lr": 0.05}


def test_validation_and_checkpoints_have_the_averaged_weights(tmp_path: Path) -> None:
    run_toy(ToyTask(), make_config(optimizer=SCHEDULE_FREE, epochs=4), tmp_path)
    epochs = epoch_events(read_events(tmp_path))
    last, best = load_checkpoint(tmp_path / LAST), load_checkpoint(tmp_path / BEST)
    assert best["epoch"] == 1 + min(range(4), key=lambda epoch: epochs[epoch]["val_loss"])
    for state in (last, best):
        groups = state["optimizer"]["param_groups"]
        assert {group["train_mode"] for group in groups} == {False}
        task = ToyTask()
        task.model.load_state_dict(state["model"])
        task.model.eval()
        with torch.no_grad():
            error = task.model(task.x).squeeze(-1) - task.y
        assert float(error.square().mean()) == epochs[state["epoch"] - 1]["val_loss"]


@pytest.mark.parametrize("stopped_at", [(0, 2), (2, 6)])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, stopped_at: tuple[int, int]) -> None:
    """In the midst of an epoch the weights are those that are trained."""
    config = make_config(optimizer=SCHEDULE_FREE, epochs=4)
    run_toy(ToyTask(dropout=0.5), config, tmp_path / "whole")
    run = tmp_path / "run"
    with pytest.raises(StopRequestedError):
        run_toy(ToyTask(dropout=0.5, mishap={stopped_at: "SIGTERM"}), config, run)
    (mode,) = {g["train_mode"] for g in load_checkpoint(run / LAST)["optimizer"]["param_groups"]}
    assert mode is True
    run_toy(ToyTask(dropout=0.5), config, run, resume=True)
    expected, found = (load_checkpoint(one / LAST) for one in (tmp_path / "whole", run))
    for name, tensor in expected["model"].items():
        assert torch.equal(found["model"][name], tensor)
    for index, moments in expected["optimizer"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(found["optimizer"]["state"][index][name], tensor)
