"""A training that is killed in the middle and resumed ends bit-equal to one that was not."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.facts.reader import epoch_events, read_events
from aam.facts.schema import validate
from aam.training.checkpoint import BEST, LAST, load_checkpoint

# Everything that draws is on: dropout, rarefaction, random tokens, masks, withheld counts.
DRIVER = """
import os, signal, sys
from pathlib import Path
from aam.config import *
from aam.loops import find_loop
from aam.loops.pretrain_task import PretrainTask
from aam.loops.run import Run
from aam.training.run_folder import RunFolder

run_dir, resume, where, epoch = Path(sys.argv[1]), sys.argv[2] == "resume", sys.argv[3], sys.argv[4]

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def kill_at_step(self, given, step=PretrainTask.step):
    at = given.drawn.batch.sample_ids
    wanted = list(batches(self, int(epoch)))[2].drawn.batch.sample_ids
    return kill() if at == wanted else step(self, given)

def kill_at_save(self, state, save=RunFolder.save_last):
    return kill() if state["epoch"] == int(epoch) else save(self, state)

batches = PretrainTask.training_batches
if where == "step":
    PretrainTask.step = kill_at_step
if where == "save":
    RunFolder.save_last = kill_at_save

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
        "num_steps": "num_steps", "warmup_steps": 1000, "min_ratio": 0.0,
    },
    trainer=TrainerConfig(
        epochs=5, accumulate=2, max_grad_norm=1.0, device="cpu", num_threads=1, seed=7
    ),
    logging=LoggingConfig(make_plots=False, tensorboard=False, console=False),
)
find_loop("pretrain")(config, Run(run_dir=run_dir, resume=resume))
"""
EPOCHS = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was never stopped, and one that was killed four times."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, how: str, where: str = "never", epoch: int = -1) -> int:
        (folder / name).mkdir(exist_ok=True)
        command = [sys.executable, "-W", "error", "-c", DRIVER, folder / name, how, where, epoch]
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | {"AAM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    assert run("whole", "new") == 0
    # In the first epoch, in a later one, and between the facts of an epoch and its checkpoint.
    assert run("killed", "new", "step", 0) == -signal.SIGKILL
    assert run("killed", "resume", "step", 2) == -signal.SIGKILL
    assert run("killed", "resume", "save", 4) == -signal.SIGKILL
    assert run("killed", "resume") == 0
    return folder / "whole", folder / "killed"


def test_the_end_is_bit_equal(runs: tuple[Path, Path]) -> None:
    for name in (LAST, BEST):
        whole, killed = (load_checkpoint(run / name) for run in runs)
        for key in ("model", "optimizer", "schedule", "stopping", "rng", "update"):
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
    resumed = [e["epoch"] for e in read_events(runs[1]) if e["moment"] == "on_resume"]
    assert resumed == [0, 2, 3]  # the fourth epoch was told of, but not yet kept


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
