"""The one epoch loop of all loops.

A loop gives a task: a model, training batches, a ``step`` and an ``evaluate``. The engine turns
them into updates, checkpoints and facts. It knows no loop, no plot and no file format.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from aam.config import CheckpointConfig, TrainerConfig
from aam.errors import NonFiniteError, StopAfterEpochError, UserError
from aam.facts.listener import Progress
from aam.facts.recorder import Recorder
from aam.training.devices import autocast, peak_memory_mib
from aam.training.distributed import most, of_first
from aam.training.early_stopping import EarlyStopping
from aam.training.epoch import EpochSoFar
from aam.training.gradients import clipped
from aam.training.optimizers import set_mode
from aam.training.partners import Diagnosis, Keeper
from aam.training.scheduling import Schedule
from aam.training.shards import load_model, load_optimizer, whole
from aam.training.signals import StopRequest, stop_by
from aam.training.task import Task


class Engine:
    """Trains a task; ``state_dict`` holds all that a resumed run needs to go on bit for bit."""

    def __init__(
        self,
        task: Task,
        *,
        trainer: TrainerConfig,
        checkpoint: CheckpointConfig,
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
        self.checkpoint = checkpoint
        self.optimizer = optimizer
        self.schedule = schedule
        self.stopping = stopping
        self.recorder = recorder
        self.keeper = keeper
        self.device = device
        self.diagnosis = diagnosis
        self.epoch = 0  # the one to train now
        self.so_far = EpochSoFar()
        self.update = 0
        self.seconds = 0.0  # of whole epochs, over all resumes
        self.stop = StopRequest()
        self._saved_at = time.monotonic()

    def fit(self) -> None:
        """Train to the end, an early stop or a stop request; emits every fact but the first.

        Raises
        ------
        StopRequestedError
            Between two updates, when all is saved, if ``stop`` (in use while this runs) was asked
            to; before an epoch, if the keeper was.
        """
        while (why := of_first(self._why_over)) is None:
            who = of_first(self.keeper.take_stop_request)
            if who is not None:
                raise StopAfterEpochError(who)
            self._epoch()
            self.raise_if_asked()
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
        started = time.perf_counter() - self.so_far.seconds
        train = self._train(started)
        throughput = self.so_far.num_samples / self.so_far.seconds
        self.task.model.eval()
        set_mode(self.optimizer, training=False)
        with torch.no_grad():
            evaluation = self.task.evaluate("val")
        val = dict(evaluation.metrics) if evaluation else {}
        if not math.isfinite(val.get("total_loss", 0.0)):
            raise NonFiniteError(
                f"the validation loss is {val['total_loss']} after epoch {self.epoch + 1}",
                f", though every training loss was finite; {self._advice()}",
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
        self.epoch, self.so_far = self.epoch + 1, EpochSoFar()
        # Facts before checkpoints: what a checkpoint calls done has its line in the facts.
        self.recorder.emit("on_epoch_end", **fact)
        if improved:
            artifacts = self.keeper.save_best(self.state_dict())
            if evaluation:
                artifacts |= self.keeper.save_tables(evaluation.tables)
            self.recorder.emit("on_validation_improved", **fact, artifacts=artifacts)
        self._save()

    def _save(self) -> None:
        self.recorder.refuse_if_lost()
        self.keeper.save_last(self.state_dict())
        self._saved_at = time.monotonic()

    def _watched(self, train: Mapping[str, float], val: Mapping[str, float]) -> float:
        """The value that decides which epoch is best."""
        name = self.stopping.metric
        if name == "train_loss":
            return train["total_loss"]
        return val["total_loss" if name == "val_loss" else name]

    def _train(self, started: float) -> dict[str, float]:
        """What is left of the epoch's training batches; mean figures per step of all of them.

        ``started`` is when, by ``time.perf_counter``, a run that never stopped would have started.
        """
        self.task.model.train()
        set_mode(self.optimizer, training=True)
        num_steps = self.task.num_steps()
        accumulate = min(self.trainer.accumulate, num_steps)
        batches = self.task.training_batches(self.epoch, self.so_far.steps)
        of_group: tuple[str, ...] = ()  # samples of the update at hand
        for step, batch in enumerate(batches, start=self.so_far.steps + 1):
            with autocast(self.trainer, self.device):
                output = self.task.step(batch)
            values = {name: float(value) for name, value in output.parts.items()}
            values["total_loss"] = float(output.loss.detach())
            self._refuse_nonfinite(values, output.sample_ids)
            # The last group of steps may be shorter: it is averaged over its own number.
            group = min(accumulate, num_steps - (step - 1) // accumulate * accumulate)
            (output.loss / group).backward()  # type: ignore[no-untyped-call]
            of_group += output.sample_ids
            weighted, is_group_done = dict(values), step % accumulate == 0 or step == num_steps
            if is_group_done:
                values["grad_norm"] = self._update(of_group)
                weighted["grad_norm"] = values["grad_norm"] * group
            self.so_far.add(weighted, len(output.sample_ids))
            self.so_far.seconds = time.perf_counter() - started
            self.recorder.progress(self._progress(step, num_steps, values))
            if is_group_done:
                of_group = ()
                self._between_updates()
        return self.so_far.means()

    def _between_updates(self) -> None:
        """Save where that is due or a signal has come; then stop if one has."""
        minutes = self.checkpoint.every_minutes
        is_due = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        # Asked once: a signal may come at any moment.
        due, number = most(is_due, self.stop.number)
        if due or number:
            self._save()
        if number:
            raise stop_by(number)

    def raise_if_asked(self) -> None:
        """Raise ``StopRequestedError`` if a signal has come, to whichever rank."""
        (number,) = most(self.stop.number)
        if number:
            raise stop_by(number)

    def _update(self, sample_ids: tuple[str, ...]) -> float:
        grad_norm, why = clipped(self.task.model, self.trainer.max_grad_norm)
        self._refuse_nonfinite({"grad_norm": grad_norm}, sample_ids, why)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.after_update()
        self.update += 1
        return grad_norm

    def _refuse_nonfinite(
        self, values: Mapping[str, float], sample_ids: tuple[str, ...], why: str = ""
    ) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"{name} is {value} in epoch {self.epoch + 1}, update {self.update + 1}{why}",
                    f"; the update was not made; {self._advice()}",
                    sample_ids,
                )

    def _advice(self) -> str:
        """What to try; whether to go on or to start anew is for the diagnosis to say."""
        ways = ["a lower optimizer.lr"]
        if self.trainer.max_grad_norm is None:
            ways.append("trainer.max_grad_norm=1")
        if self.trainer.precision != "fp32":
            ways.append("trainer.precision=fp32 in a new run")
        return f"try {' or '.join(ways)}"

    def _progress(self, step: int, num_steps: int, values: Mapping[str, float]) -> Progress:
        shown = {**values, "lr": self.optimizer.param_groups[0]["lr"]}
        return Progress(self.epoch, self.trainer.epochs, step, num_steps, shown)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the run's future depends on; whole between two updates only."""
        state = {
            "epoch": self.epoch,
            "so_far": asdict(self.so_far),
            "update": self.update,
            "seconds": self.seconds,
            "model": whole(self.task.model.state_dict()),
            "optimizer": whole(self.optimizer.state_dict()),
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
        self.so_far = EpochSoFar(**state["so_far"])
        load_model(self.task.model, state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.stopping.load_state_dict(state["stopping"])
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
