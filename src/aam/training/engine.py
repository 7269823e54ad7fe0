"""The one epoch loop of all loops.

A loop gives a task: a model, training batches, a ``step`` and an ``evaluate``. The engine turns
them into updates, checkpoints and facts. It knows no loop, no plot and no file format.
"""

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from aam.config import TrainerConfig
from aam.errors import NonFiniteError, StopAfterEpochError, UserError
from aam.facts.listener import Progress
from aam.facts.recorder import Recorder
from aam.training.devices import peak_memory_mib
from aam.training.early_stopping import EarlyStopping
from aam.training.optim import Schedule
from aam.training.signals import StopRequest

_ADVICE = "start anew with a lower optimizer.lr, trainer.max_grad_norm=1 or trainer.precision=fp32"


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """What a training step gives back."""

    loss: Tensor  # scalar, with gradient
    parts: Mapping[str, Tensor]  # named losses and figures, scalars
    sample_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a validation gives back: figures, and tables that are kept where they are the best."""

    metrics: Mapping[str, float]  # ``total_loss`` among them
    tables: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)


class Task(Protocol):
    """What a loop gives to the engine."""

    @property
    def model(self) -> nn.Module:
        """What is trained, on its device."""

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of what ``evaluate`` gives."""

    def num_steps(self) -> int:
        """Training batches an epoch."""

    def training_batches(self, epoch: int) -> Iterable[Any]:
        """The batches of an epoch: the same for the same epoch, however the run got there."""

    def step(self, batch: Any) -> StepOutput:
        """Forward pass and losses of one training batch."""

    def evaluate(self, split: str) -> Evaluation | None:
        """Figures of ``val`` or ``test`` in eval mode; None if that split is empty."""


class Keeper(Protocol):
    """Where the engine leaves what must outlive it (``aam.training.run_folder``)."""

    def save_last(self, state: dict[str, Any]) -> None:
        """Keep the newest whole epoch."""

    def save_best(self, state: dict[str, Any]) -> dict[str, str]:
        """Keep the best model."""

    def save_tables(self, tables: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, str]:
        """Keep the tables of an evaluation."""

    def take_stop_request(self) -> str | None:
        """Whose request to stop after the epoch there is; None if there is none. Asked once."""


class Diagnosis(Protocol):
    """Who judges how the training goes (``aam.monitoring.diagnostics``)."""

    def after(self, fact: Mapping[str, Any]) -> list[dict[str, str]]:
        """The findings after one more epoch, given its fact."""

    def at_end(self, why: str) -> list[dict[str, str]]:
        """The findings after the last epoch; ``why`` is ``epochs``, ``minutes`` or ``patience``."""


class Engine:
    """Trains a task; ``state_dict`` holds all that a resumed run needs to go on bit for bit."""

    def __init__(
        self,
        task: Task,
        *,
        trainer: TrainerConfig,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        stopping: EarlyStopping,
        recorder: Recorder,
        keeper: Keeper,
        device: torch.device,
        diagnosis: Diagnosis,
    ) -> None:
        self.task = task
        self.trainer = trainer
        self.optimizer = optimizer
        self.schedule = schedule
        self.stopping = stopping
        self.recorder = recorder
        self.keeper = keeper
        self.device = device
        self.diagnosis = diagnosis
        self.epoch = 0  # the next one to train
        self.update = 0
        self.seconds = 0.0  # of training, over all resumes
        self.stop = StopRequest()

    def fit(self) -> None:
        """Train to the end, an early stop or a stop request; emits every fact but the first.

        Raises
        ------
        StopRequestedError
            Between two steps or epochs, if ``stop`` (in use while this runs) was asked to; before
            an epoch, if the keeper was.
        """
        while (why := self._why_over()) is None:
            who = self.keeper.take_stop_request()
            if who is not None:
                raise StopAfterEpochError(who)
            self._epoch()
            self.stop.raise_if_asked()
        self.recorder.emit(
            "on_train_end",
            epoch=self.epoch - 1 if self.epoch else None,
            step=self.update,
            best=self.stopping.as_fact(),
            total_time_s=self.seconds,
            diagnostics=self.diagnosis.at_end(why),
        )

    def _why_over(self) -> str | None:
        """What there is no more of; None while the training goes on."""
        minutes = self.trainer.max_minutes
        if self.epoch >= self.trainer.epochs:
            return "epochs"
        if minutes is not None and self.seconds >= 60 * minutes:
            return "minutes"
        is_exhausted = self.epoch > 0 and self.stopping.exhausted(self.epoch - 1)
        return "patience" if is_exhausted else None

    def _epoch(self) -> None:
        started = time.perf_counter()
        train, num_samples = self._train()
        throughput = num_samples / (time.perf_counter() - started)
        self.task.model.eval()
        with torch.no_grad():
            evaluation = self.task.evaluate("val")
        val = dict(evaluation.metrics) if evaluation else {}
        if not math.isfinite(val.get("total_loss", 0.0)):
            raise NonFiniteError(
                f"the validation loss is {val['total_loss']} after epoch {self.epoch + 1}",
                f", though every training loss was finite; {_ADVICE}",
            )
        self.schedule.after_epoch(val.get("total_loss", train["total_loss"]))
        watched = self._watched(train, val)
        if not math.isfinite(watched) and self.stopping.best_value is None:
            raise UserError(
                f"early_stopping.best_metric={self.stopping.metric} is {watched} after epoch "
                f"{self.epoch + 1}, so no epoch could be called the best: choose another, or "
                "validate on more samples"
            )
        improved = self.stopping.improved(self.epoch, watched)
        epoch_time_s = time.perf_counter() - started
        self.seconds += epoch_time_s
        fact = {
            "epoch": self.epoch,
            "step": self.update,
            "train_loss": train["total_loss"],
            "val_loss": val.get("total_loss"),
            "lr": self.optimizer.param_groups[0]["lr"],
            "metrics": {"train": train, "val": val},
            "epoch_time_s": epoch_time_s,
            "total_time_s": self.seconds,
            "throughput": throughput,
            "max_memory_mib": peak_memory_mib(self.device),
            "best": self.stopping.as_fact(),
        }
        fact["diagnostics"] = self.diagnosis.after(fact)
        self.epoch += 1
        # Facts before checkpoints: what a checkpoint calls done has its line in the facts.
        self.recorder.emit("on_epoch_end", **fact)
        state = self.state_dict()
        if improved:
            artifacts = self.keeper.save_best(state)
            if evaluation:
                artifacts |= self.keeper.save_tables(evaluation.tables)
            self.recorder.emit("on_validation_improved", **fact, artifacts=artifacts)
        self.keeper.save_last(state)

    def _watched(self, train: Mapping[str, float], val: Mapping[str, float]) -> float:
        """The value that decides which epoch is best."""
        name = self.stopping.metric
        if name == "train_loss":
            return train["total_loss"]
        return val["total_loss" if name == "val_loss" else name]

    def _train(self) -> tuple[dict[str, float], int]:
        """One pass over the training batches: mean figures per step, and samples seen."""
        self.task.model.train()
        sums: dict[str, float] = {}
        num_steps, num_samples = self.task.num_steps(), 0
        accumulate = min(self.trainer.accumulate, num_steps)
        for step, batch in enumerate(self.task.training_batches(self.epoch), start=1):
            with self._autocast():
                output = self.task.step(batch)
            values = {name: float(value) for name, value in output.parts.items()}
            values["total_loss"] = float(output.loss.detach())
            self._refuse_nonfinite(values, output.sample_ids)
            # The last group of steps may be shorter: it is averaged over its own number.
            group = min(accumulate, num_steps - (step - 1) // accumulate * accumulate)
            (output.loss / group).backward()  # type: ignore[no-untyped-call]
            if step % accumulate == 0 or step == num_steps:
                values["grad_norm"] = self._update(output.sample_ids)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value * (group if name == "grad_norm" else 1)
            num_samples += len(output.sample_ids)
            self.recorder.progress(self._progress(step, num_steps, values))
            self.stop.raise_if_asked()
        return {name: total / num_steps for name, total in sums.items()}, num_samples

    def _update(self, sample_ids: tuple[str, ...]) -> float:
        limit = self.trainer.max_grad_norm
        norm = nn.utils.clip_grad_norm_(
            self.task.model.parameters(), math.inf if limit is None else limit
        )
        grad_norm = float(norm)
        self._refuse_nonfinite({"grad_norm": grad_norm}, sample_ids)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.after_update()
        self.update += 1
        return grad_norm

    def _refuse_nonfinite(
        self, values: Mapping[str, float], sample_ids: tuple[str, ...] = ()
    ) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                samples = f", samples {', '.join(sample_ids)}" if sample_ids else ""
                raise NonFiniteError(
                    f"{name} is {value} in epoch {self.epoch + 1}, update {self.update + 1}",
                    f"{samples}; the update was not made; {_ADVICE}",
                )

    def _progress(self, step: int, num_steps: int, values: Mapping[str, float]) -> Progress:
        shown = {**values, "lr": self.optimizer.param_groups[0]["lr"]}
        return Progress(self.epoch, self.trainer.epochs, step, num_steps, shown)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.trainer.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the run's future depends on."""
        state = {
            "epoch": self.epoch,
            "update": self.update,
            "seconds": self.seconds,
            "model": self.task.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "stopping": self.stopping.state_dict(),
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped."""
        self.epoch, self.update, self.seconds = state["epoch"], state["update"], state["seconds"]
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.stopping.load_state_dict(state["stopping"])
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
