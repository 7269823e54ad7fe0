"""A task on several ranks, for the engine to train as any other.

DDP keeps the whole model on each rank; FSDP keeps a share of weights, gradients and optimizer, and
brings the model together for the time of a step.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from aam.config import TrainerConfig
from aam.training.distributed import mean_over_ranks, num_ranks, of_first
from aam.training.task import Evaluation, StepOutput, Task


def spread(task: Task, trainer: TrainerConfig, device: torch.device) -> Task:
    """The task itself where one process trains; else one that all ranks work on."""
    return Spread(task, trainer, device) if dist.is_initialized() else task


class Spread:
    """What each rank does of a task. Steps and evaluations are made by all ranks at once."""

    def __init__(self, task: Task, trainer: TrainerConfig, device: torch.device) -> None:
        self._task = task
        self._seed = trainer.seed
        self._plain = _Work(task.model)
        self._step: nn.Module = self._plain
        if trainer.strategy == "fsdp":
            from torch.distributed.fsdp import fully_shard

            fully_shard(self._plain, mesh=init_device_mesh(device.type, (num_ranks(),)))
        else:
            # What a weight of zero switches off is no part of the graph.
            self._step = DistributedDataParallel(self._plain, find_unused_parameters=True)

    @property
    def model(self) -> nn.Module:
        """What is trained; with FSDP, its parameters are shares of the whole."""
        return self._task.model

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of what ``evaluate`` gives."""
        return self._task.figures

    def num_steps(self) -> int:
        """Training batches an epoch."""
        return self._task.num_steps()

    def training_batches(self, epoch: int, done: int) -> Iterable[Any]:
        """The global batches. Before each, the rank's own draws (dropout) start anew.

        So they depend on nothing but (seed, rank, epoch, step), and ranks do not draw alike.
        """
        batches = self._task.training_batches(epoch, done)
        for step, batch in enumerate(batches, start=done + 1):
            drawn = np.random.SeedSequence([self._seed, dist.get_rank(), epoch, step])
            torch.manual_seed(int(drawn.generate_state(1)[0]))
            yield batch

    def step(self, batch: Any) -> StepOutput:
        """This rank's share of the batch, and the figures of the whole."""
        loss, output = self._step(lambda: _with_loss(self._task.step(batch)))
        parts = {name: float(part) for name, part in output.parts.items()}
        values = mean_over_ranks({"loss": float(loss.detach()), **parts})
        shown: Tensor = _Shown.apply(loss, values.pop("loss"))  # type: ignore[no-untyped-call]
        whole = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
        return StepOutput(loss=shown, parts=whole, sample_ids=output.sample_ids)

    def evaluate(self, split: str) -> Evaluation | None:
        """As the first rank finds it: all do the same work, but their machines may differ."""
        evaluation: Evaluation | None = self._plain(lambda: self._task.evaluate(split))
        if evaluation is None:
            return None
        return replace(evaluation, metrics=of_first(lambda: dict(evaluation.metrics)))

    def bring_together(self) -> None:
        """Give every rank the whole model, for good: it may then work on it alone."""
        from torch.distributed.fsdp import FSDPModule

        if isinstance(self._plain, FSDPModule):
            self._plain.set_reshard_after_forward(False)
            self._plain.unshard()


class _Work(nn.Module):
    """A module around whatever is done with a model: DDP and FSDP see it begin and end."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        return work()


class _Shown(torch.autograd.Function):
    """The loss of a rank, shown with the value that all ranks have together."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, value: float) -> Tensor:
        return torch.full_like(loss, value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def _with_loss(output: StepOutput) -> tuple[Tensor, StepOutput]:
    """FSDP finds a tensor in a tuple, but not in a dataclass."""
    return output.loss, output
