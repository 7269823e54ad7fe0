"""Runs of a toy task that are stopped, die, and go on: as if nothing had happened."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.errors import StopRequestedError, UserError
from aam.facts.presence import SIGN
from aam.facts.reader import epoch_events, read_events
from aam.loops import session
from aam.training.checkpoint import LAST, load_checkpoint

from .toys import ToyTask, make_config, moments, run_toy, weights


def same_facts(run: Path, other: Path) -> None:
    """What the epochs of two runs say, but for the time they took."""
    timed = ("epoch_time_s", "total_time_s", "throughput", "max_memory_mib")
    named = ("run_id", "run_dir", "timestamp")
    told = [
        [{k: v for k, v in e.items() if k not in timed + named} for e in epoch_events(events)]
        for events in (read_events(run), read_events(other))
    ]
    of_run, of_other = (json.dumps(one) for one in told)
    assert of_run.replace(str(run), "RUN") == of_other.replace(str(other), "RUN")  # in an advice
    metrics = [(folder / "training_metrics.json").read_bytes() for folder in (run, other)]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize(("stopped_at", "saved"), [((0, 2), 2), ((2, 3), 4), ((1, 6), 6)])
@pytest.mark.parametrize(
    "scheduler",
    [
        {
            "_target_": "aam.training.schedules.warmup_cosine",
            "num_steps": "num_steps",
            "warmup_steps": 1000,
            "min_ratio": 0.0,
        },
        {
            "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
            "patience": 0,
            "threshold": 0.5,
        },
    ],
)
def test_a_stopped_run_goes_on_as_if_never_stopped(
    tmp_path: Path, stopped_at: tuple[int, int], saved: int, scheduler: dict[str, Any]
) -> None:
    """In the middle of an epoch, when the batches of an update are together, and not later."""
    options = {"scheduler": scheduler, "epochs": 5, "accumulate": 2, "patience": 3}
    config = make_config(**options, optimizer={"momentum": 0.9})
    whole, run = tmp_path / "whole", tmp_path / "run"
    expected = ToyTask(dropout=0.5)
    run_toy(expected, config, whole)

    before = signal.getsignal(signal.SIGTERM)
    stopped = ToyTask(dropout=0.5, mishap={stopped_at: "SIGTERM"})
    with pytest.raises(StopRequestedError, match="SIGTERM"):
        run_toy(stopped, config, run)
    assert signal.getsignal(signal.SIGTERM) == before
    last, event = load_checkpoint(run / LAST), read_events(run)[-1]
    assert (last["epoch"], last["so_far"]["steps"]) == (stopped_at[0], saved)
    assert (event["moment"], event["reason"]) == ("on_stop", "SIGTERM")
    assert (event["epoch"], event["step"]) == (last["epoch"], last["update"])

    torch.manual_seed(12345)  # whatever went before in the new process
    resumed = ToyTask(dropout=0.5)
    run_toy(resumed, config, run, resume=True)
    assert stopped.steps_made + resumed.steps_made == expected.steps_made
    assert moments(run).count("on_resume") == 1
    assert len({event["run_id"] for event in read_events(run)}) == 1
    for name, tensor in weights(expected).items():
        assert torch.equal(weights(resumed)[name], tensor), name
    same_facts(run, whole)


@pytest.mark.parametrize(("every_minutes", "saved"), [(1e-9, (1, 4)), (None, (1, 0))])
def test_a_run_that_died_goes_on_from_what_it_saved_by_itself(
    tmp_path: Path, every_minutes: float | None, saved: tuple[int, int]
) -> None:
    """Six batches an epoch, two an update; it dies in the sixth of the second epoch."""
    config = make_config(accumulate=2, every_minutes=every_minutes)
    expected = ToyTask(dropout=0.5)
    run_toy(expected, config, tmp_path / "whole")
    with pytest.raises(RuntimeError):
        run_toy(ToyTask(dropout=0.5, mishap={(1, 6): "error"}), config, tmp_path / "run")
    last = load_checkpoint(tmp_path / "run" / LAST)
    assert (last["epoch"], last["so_far"]["steps"]) == saved
    resumed = ToyTask(dropout=0.5)
    run_toy(resumed, config, tmp_path / "run", resume=True)
    assert resumed.steps_made[0] == (saved[0], saved[1] + 1)
    for name, tensor in weights(expected).items():
        assert torch.equal(weights(resumed)[name], tensor), name
    same_facts(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1", "echo"])
def test_every_signal_is_a_wish_to_save_and_leave(tmp_path: Path, name: str) -> None:
    with pytest.raises(StopRequestedError):
        run_toy(ToyTask(mishap={(1, 1): name}), make_config(), tmp_path / "run")
    assert read_events(tmp_path / "run")[-1]["reason"] == {"echo": "SIGTERM"}.get(name, name)
    assert load_checkpoint(tmp_path / "run" / LAST)["so_far"]["steps"] == 1


class Slow:
    """A listener whose close takes long, as where figures are drawn."""

    closed = 0

    def on_event(self, event: object) -> None: ...

    def on_progress(self, progress: object) -> None: ...

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("mishap", "closed"), [("SIGTERM", 1), ("impatience", 0)])
def test_a_second_signal_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mishap: str, closed: int
) -> None:
    slow = Slow()
    monkeypatch.setattr(session, "listeners", lambda *_: [slow])
    task = ToyTask(mishap={(1, 1): mishap})
    with pytest.raises(StopRequestedError, match="SIGTERM"):
        run_toy(task, make_config(), tmp_path / "run")
    assert slow.closed == closed
    assert moments(tmp_path / "run")[-1] == "on_stop"
    assert not (tmp_path / "run" / SIGN).exists()
    run_toy(ToyTask(), make_config(), tmp_path / "run", resume=True)


def test_patience_counts_over_a_stop(tmp_path: Path) -> None:
    """With no learning rate no epoch is better than the first: patience 3 ends after the fourth."""
    config = make_config(optimizer={"lr": 0.0}, epochs=20, patience=3)
    with pytest.raises(StopRequestedError):
        run_toy(ToyTask(mishap={(2, 1): "SIGTERM"}), config, tmp_path / "run")
    run_toy(ToyTask(), config, tmp_path / "run", resume=True)
    epochs = epoch_events(read_events(tmp_path / "run"))
    assert [event["epoch"] for event in epochs] == [0, 1, 2, 3]
    assert all(event["best"]["epoch"] == 0 for event in epochs)


def test_a_run_does_not_go_on_with_other_inputs(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("counts")
    run_toy(ToyTask(), make_config(epochs=1), tmp_path / "run", inputs={"table": table})
    table.write_text("others")
    with pytest.raises(UserError, match=r"data\.table \(.*t\.tsv\) is not the file that the run"):
        run_toy(ToyTask(), make_config(), tmp_path / "run", resume=True, inputs={"table": table})
    assert moments(tmp_path / "run")[-1] == "on_train_end"


def test_a_run_does_not_go_on_with_other_settings(tmp_path: Path) -> None:
    """As after somebody edited the configuration in the run folder."""
    run = tmp_path / "run"
    run_toy(ToyTask(), make_config(epochs=1), run)
    other = make_config(optimizer={"momentum": 0.9, "lr": 0.1}, epochs=3, accumulate=2, patience=4)
    other.data.batch_size = 9
    with pytest.raises(UserError) as refused:
        run_toy(ToyTask(), other, run, resume=True)
    assert str(refused.value) == (
        "the run cannot go on with other settings than it was started with: data.batch_size was 64 "
        "and is 9, optimizer.momentum was None and is 0.9, trainer.accumulate was 1 and is 2; "
        "bring them back in .hydra/config.yaml, or start a new run"
    )
    assert moments(run)[-1] == "on_train_end"
    may_change = make_config(optimizer={"lr": 0.1}, epochs=3, patience=4, every_minutes=7)
    run_toy(ToyTask(), may_change, run, resume=True)


def test_a_signal_in_the_last_validation_stops_before_the_test(tmp_path: Path) -> None:
    task = ToyTask(mishap={2: "signal in validation"})
    with pytest.raises(StopRequestedError):
        run_toy(task, make_config(), tmp_path / "run")
    assert not task.tested
    assert load_checkpoint(tmp_path / "run" / LAST)["epoch"] == 3
    run_toy(ToyTask(), make_config(), tmp_path / "run", resume=True)
    assert moments(tmp_path / "run")[-3:] == ["on_stop", "on_resume", "on_train_end"]


@pytest.mark.parametrize("name", ["cosine", "onecycle", "warmup_cosine", "constant"])
def test_a_run_made_longer_follows_the_longer_plan(tmp_path: Path, name: str) -> None:
    """From where it goes on, its learning rates are those of a run planned so from the start."""
    optim = "torch.optim.lr_scheduler"
    scheduler: dict[str, Any] = {
        "cosine": {"_target_": f"{optim}.CosineAnnealingLR", "T_max": "num_steps"},
        "onecycle": {
            "_target_": f"{optim}.OneCycleLR",
            "max_lr": 0.01,
            "total_steps": "num_steps",
        },
        "warmup_cosine": {
            "_target_": "aam.training.schedules.warmup_cosine",
            "num_steps": "num_steps",
            "warmup_steps": 2,
            "min_ratio": 0.1,
        },
        "constant": {"_target_": "aam.training.schedules.constant", "warmup_steps": 2},
    }[name]
    run_toy(ToyTask(), make_config(scheduler=scheduler, epochs=2), tmp_path / "run")
    longer = make_config(scheduler=scheduler, epochs=5)
    run_toy(ToyTask(), longer, tmp_path / "run", resume=True)
    run_toy(ToyTask(), longer, tmp_path / "planned")
    rates = [
        [event["lr"] for event in epoch_events(read_events(tmp_path / run))]
        for run in ("run", "planned")
    ]
    assert len(rates[0]) == 5
    assert rates[0][2:] == pytest.approx(rates[1][2:])
