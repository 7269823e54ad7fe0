"""A small task and a whole run of it, for what the engine does whatever it trains."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aam.config import (
    CheckpointConfig,
    Config,
    EarlyStoppingConfig,
    LoggingConfig,
    LoopConfig,
    TrainerConfig,
)
from aam.facts.reader import read_events
from aam.facts.schema import validate
from aam.loops.prepared import Prepared
from aam.loops.run import Run
from aam.loops.session import train
from aam.training.task import Evaluation, StepOutput

NUM_SAMPLES = 24


class ToyTask:
    """Linear regression with dropout; mishaps happen at chosen (epoch, step)."""

    figures = ("total_loss", "mae")

    def __init__(
        self, *, batch_size: int = 4, dropout: float = 0.0, mishap: dict[Any, str] | None = None
    ) -> None:
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(NUM_SAMPLES, 5, generator=generator)
        self.y = self.x @ torch.tensor([1.0, -2, 3, 0, 0.5]) + 1
        self.model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(dropout), nn.Linear(4, 1))
        self.batch_size = batch_size
        self.mishap = mishap or {}
        self.epochs_asked: list[int] = []
        self.steps_made: list[tuple[int, int]] = []
        self.tested: list[dict[str, Tensor]] = []

    def num_steps(self) -> int:
        return NUM_SAMPLES // self.batch_size

    def training_batches(self, epoch: int, done: int = 0) -> Iterator[tuple[int, int, Tensor]]:
        self.epochs_asked.append(epoch)
        order = torch.from_numpy(np.random.default_rng(epoch).permutation(NUM_SAMPLES))
        batches = enumerate(order.split(self.batch_size), start=1)
        for step, rows in islice(batches, done, None):
            yield epoch, step, rows

    def step(self, batch: tuple[int, int, Tensor]) -> StepOutput:
        epoch, step, rows = batch
        self.steps_made.append((epoch, step))
        error = self.model(self.x[rows]).squeeze(-1) - self.y[rows]
        loss, part = error.square().mean(), error.detach().abs().mean()
        match self.mishap.get((epoch, step)):
            case "SIGTERM" | "SIGINT" | "SIGUSR1" as name:
                send(name)
            case "echo":  # the same stop, twice: to the process, and by a wrapper
                send("SIGTERM"), send("SIGTERM")
            case "impatience":
                send("SIGUSR1"), time.sleep(0.2), send("SIGTERM")
            case "loss":
                loss = loss * float("nan")
            case "part":
                part = part / 0
            case "gradient":  # a finite loss whose gradient is not: sqrt at 0
                loss = loss + (self.model[0].weight[0, 0] * 0).sqrt()
            case "large gradient":  # each is finite, the sum of their squares is not
                loss = loss + 1e30 * self.model[0].weight.sum()
            case "error":
                raise RuntimeError("the cable fell out")
        return StepOutput(
            loss=loss, parts={"mae": part}, sample_ids=tuple(f"sample{i}" for i in rows.tolist())
        )

    def evaluate(self, split: str) -> Evaluation | None:
        if split == "test":
            self.tested.append({k: v.clone() for k, v in self.model.state_dict().items()})
            return None
        mishap = self.mishap.get(self.epochs_asked[-1])
        if mishap == "no validation":
            return None
        error = self.model(self.x).squeeze(-1) - self.y
        if mishap == "validation":
            error = error * float("nan")
        if mishap == "bad validation":
            error = error * 100
        if mishap == "signal in validation":
            send("SIGTERM")
        metrics = {"total_loss": float(error.square().mean()), "mae": float(error.abs().mean())}
        if mishap == "no figure":
            metrics["mae"] = float("nan")
        return Evaluation(metrics=metrics, tables={"val_toy": {"error": error.tolist()}})


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


def make_config(
    *,
    optimizer: Mapping[str, Any] | None = None,
    scheduler: Mapping[str, Any] | None = None,
    patience: int | None = None,
    best_metric: str = "val_loss",
    every_minutes: float | None = None,
    **trainer: Any,
) -> Config:
    constant = {"_target_": "aam.training.schedules.constant", "warmup_steps": 0}
    return Config(
        loop=LoopConfig(name="toy"),
        optimizer={"_target_": "torch.optim.SGD", "lr": 0.05, **(optimizer or {})},
        scheduler=dict(scheduler or constant),
        early_stopping=EarlyStoppingConfig(patience=patience, best_metric=best_metric),
        checkpoint=CheckpointConfig(every_minutes=every_minutes),
        trainer=TrainerConfig(**{"epochs": 3, "device": "cpu", **trainer}),
        logging=LoggingConfig(make_plots=False, tensorboard=False, console=False),
    )


def run_toy(
    task: ToyTask,
    config: Config,
    run_dir: Path | None = None,
    *,
    resume: bool = False,
    inputs: Mapping[str, Path] | None = None,
    num_val: int = NUM_SAMPLES,
) -> float:
    made = prepared(task, config, inputs, num_val)
    return train(made, Run(run_dir=run_dir, resume=resume))


def prepared(
    task: ToyTask,
    config: Config,
    inputs: Mapping[str, Path] | None = None,
    num_val: int = NUM_SAMPLES,
) -> Prepared:
    return Prepared(
        task=task,
        config=config,
        device=torch.device("cpu"),
        maker=None,  # read by nothing that trains, as the split
        split=None,
        metric_names=("total_loss", "mae", "grad_norm"),
        inputs=inputs or {},
        num_samples={"train": NUM_SAMPLES, "val": num_val, "test": 0},
    )


def weights(task: ToyTask) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in task.model.state_dict().items()}


def moments(run_dir: Path) -> list[str]:
    """The moments of a run, each event held against the schema."""
    events = read_events(run_dir)
    for event in events:
        validate(event)
    return [event["moment"] for event in events]
