"""A training that is stopped in the middle and resumed ends bit-equal to one that was not.

Everything that draws is on: dropout, rarefaction, random tokens, masks, withheld counts. What ends
it leaves the files as a kill does; test_chaos kills by SIGKILL.
"""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    LoggingConfig,
    ModelConfig,
    PretrainConfig,
    TrainerConfig,
)
from aam.errors import StopRequestedError
from aam.facts.reader import epoch_events, read_events
from aam.facts.schema import validate
from aam.loops import find_loop
from aam.loops.pretrain_task import PretrainTask
from aam.loops.run import Run
from aam.training.checkpoint import BEST, LAST, load_checkpoint
from aam.training.run_folder import RunFolder

EPOCHS = 5


class KilledError(BaseException):
    """Goes past everything that would write a last word."""


def kill() -> None:
    raise KilledError


def in_step(patch: pytest.MonkeyPatch, epoch: int, stop: Callable[[], object]) -> None:
    """Stop in the third of an epoch: an update of two batches is under way."""
    step, batches = PretrainTask.step, PretrainTask.training_batches

    def stopping(task: PretrainTask, given: Any) -> Any:
        third = list(batches(task, epoch))[2]
        if given.drawn.batch.sample_ids == third.drawn.batch.sample_ids:
            stop()
        return step(task, given)

    patch.setattr(PretrainTask, "step", stopping)


def in_save(patch: pytest.MonkeyPatch, where: tuple[int, int], *, before: bool) -> None:
    """Stop where so many epochs and steps of the next are done."""
    save = RunFolder.save_last

    def stopping(folder: RunFolder, state: dict[str, Any]) -> None:
        is_there = (state["epoch"], state["so_far"]["steps"]) == where
        if is_there and before:
            kill()
        save(folder, state)
        if is_there:
            kill()

    patch.setattr(RunFolder, "save_last", stopping)


def train(run_dir: Path, *, resume: bool) -> None:
    config = Config(
        loop=PretrainConfig(min_updates=1, count_weight=0.1, faith_pd_weight=0.1),
        data=DataConfig(
            batch_size=20, rarefaction_depth=800, token_limit=24, token_selection="random"
        ),
        model=ModelConfig(
            dim=16, num_heads=2, patch_size=10, max_length=150, num_clades=32, sample_dropout=0.2
        ),
        optimizer={"_target_": "torch.optim.AdamW", "lr": 3e-3, "weight_decay": 0.01},
        scheduler={
            "_target_": "aam.training.schedules.warmup_cosine",
            "num_steps": "num_steps",
            "warmup_steps": 1000,
            "min_ratio": 0.0,
        },
        trainer=TrainerConfig(
            epochs=EPOCHS, accumulate=2, max_grad_norm=1.0, device="cpu", num_threads=1, seed=7
        ),
        checkpoint=CheckpointConfig(every_minutes=1e-9),
        logging=LoggingConfig(make_plots=False, tensorboard=False, console=False),
    )
    find_loop("pretrain")(config, Run(run_dir=run_dir, resume=resume))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was never stopped, and one that was stopped five times."""
    folder = tmp_path_factory.mktemp("runs")
    whole, stopped = folder / "whole", folder / "stopped"
    # In the first epoch, in a later one, after a save within it, by a signal that it heeds, and
    # between the facts of an epoch and its checkpoint.
    stops: list[Callable[[pytest.MonkeyPatch], None]] = [
        lambda patch: in_step(patch, 0, kill),
        lambda patch: in_step(patch, 2, kill),
        lambda patch: in_save(patch, (2, 4), before=False),
        lambda patch: in_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM)),
        lambda patch: in_save(patch, (4, 0), before=True),
    ]
    whole.mkdir(), stopped.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AAM_CACHE", str(folder / "cache"))
        train(whole, resume=False)
        for number, stop in enumerate(stops):
            with patch.context() as ending:
                stop(ending)
                with pytest.raises((KilledError, StopRequestedError)):
                    train(stopped, resume=number > 0)
        torch.manual_seed(0)  # whatever went before in another process
        train(stopped, resume=True)
    return whole, stopped


def test_the_end_is_bit_equal(runs: tuple[Path, Path]) -> None:
    for name in (LAST, BEST):
        whole, killed = (load_checkpoint(run / name) for run in runs)
        for key in ("model", "optimizer", "schedule", "stopping", "rng", "update", "epoch"):
            assert_same(killed[key], whole[key], f"{name} {key}")


def assert_same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where} {key}")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    else:
        assert found == expected, where


def test_the_facts_are_one_curve(runs: tuple[Path, Path]) -> None:
    told = []
    for run in runs:
        events = read_events(run)
        for event in events:
            validate(event)
        assert len({event["run_id"] for event in events}) == 1
        epochs = epoch_events(events)
        assert [event["epoch"] for event in epochs] == list(range(EPOCHS))
        names = ("step", "train_loss", "val_loss", "lr", "metrics", "best", "diagnostics")
        told.append([{name: event[name] for name in names} for event in epochs])
        told[-1].append(next(e["metrics"] for e in events if e["moment"] == "on_test_end"))
    whole, killed = (json.dumps(one) for one in told)
    assert killed.replace(str(runs[1]), "RUN") == whole.replace(str(runs[0]), "RUN")  # in an advice
    events = read_events(runs[1])
    resumed = [e["epoch"] for e in events if e["moment"] == "on_resume"]
    assert resumed == [0, 2, 2, 3, 3]
    marked = {e["epoch"]: e["resumed_from"] for e in epoch_events(events)}
    # The fourth epoch was told of, but not kept as whole.
    assert marked == {0: None, 1: None, 2: None, 3: 3, 4: None}
    # Nothing that was saved within an epoch is done again.
    assert [e["step"] for e in events if e["moment"] == "on_resume"] == [1, 7, 8, 11, 12]


def test_the_files_made_from_facts_are_equal(runs: tuple[Path, Path]) -> None:
    metrics = [json.loads((run / "training_metrics.json").read_text()) for run in runs]
    assert metrics[1] == metrics[0]
    assert len(metrics[0]["val_loss"]) == EPOCHS
    assert (runs[0] / "split.tsv").read_bytes() == (runs[1] / "split.tsv").read_bytes()
    tables = []
    for run in runs:
        with (run / "facts" / "scalars.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        timed = ("epoch_time_s", "throughput", "max_memory_mib")
        tables.append([{k: v for k, v in row.items() if k not in timed} for row in rows])
    assert tables[1] == tables[0]
    predictions = [(run / "predictions" / "val_unifrac.tsv").read_bytes() for run in runs]
    assert predictions[1] == predictions[0]
