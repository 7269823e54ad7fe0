"""Updates of a training that is only looked at: made as the engine does, and told nobody."""

import math
from itertools import chain, count, islice

import torch

from aam.loops.prepared import Prepared
from aam.training.devices import autocast
from aam.training.gradients import clipped
from aam.training.optimizers import set_mode


class Updates:
    """One update after another, from epoch to epoch; each is a ``backward`` and a ``step``."""

    def __init__(self, made: Prepared, optimizer: torch.optim.Optimizer) -> None:
        self.made = made
        self.optimizer = optimizer
        task = made.task
        self._batches = chain.from_iterable(task.training_batches(epoch, 0) for epoch in count())
        task.model.train()
        set_mode(optimizer, training=True)

    def backward(self) -> tuple[float, int]:
        """Add up the gradients of an update; its mean loss, and its number of samples."""
        made, loss, num_samples = self.made, 0.0, 0
        for batch in islice(self._batches, made.steps_an_update):
            with autocast(made.config.trainer, made.device):
                output = made.task.step(batch)
            share = output.loss / made.steps_an_update
            share.backward()  # type: ignore[no-untyped-call]
            loss += float(share.detach())
            num_samples += len(output.sample_ids)
        return loss, num_samples

    def step(self) -> bool:
        """Clip and update; whether the gradients are finite, for else no update is made."""
        grad_norm, _ = clipped(self.made.task.model, self.made.config.trainer.max_grad_norm)
        is_finite = math.isfinite(grad_norm)
        if is_finite:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return is_finite
