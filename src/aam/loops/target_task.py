"""Training steps and evaluations of every loop that learns a target by gradients.

Shapes: N samples of a part, B samples of a batch, O outputs, T columns, C classes, V covariate
values.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aam.config import GradientConfig
from aam.data.batches import Batch, num_batches, passes
from aam.data.predictions import prediction_table
from aam.loops.supervised import Supervised
from aam.losses.metrics import judge, metric_names
from aam.losses.supervised import balanced_weights, classification_loss, regression_loss
from aam.training.distributed import num_ranks, own_rows, share
from aam.training.task import Evaluation, StepOutput

EVAL_BATCH = 64
TABLES = {"val": "val_best", "test": "test"}


class Predictor(Protocol):
    """What turns batches into outputs; ``prepare`` is called before each evaluation."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    def prepare(self) -> None:
        """Make ready for many batches in eval mode."""

    def forward(self, batch: Batch, covariates_BV: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """Raw outputs [B, O], and what auxiliary losses need."""

    def auxiliary(
        self, batch: Batch, whole: Batch, held: dict[str, Any], rng: Any
    ) -> dict[str, Tensor]:
        """Further losses of a training batch, by name; ``whole`` is that of all ranks.

        As every part of a loss, they are such that their mean over ranks is that of the whole.
        """


class TargetTask:
    """What the engine trains: batches, losses and figures of a target."""

    def __init__(
        self,
        predictor: Predictor,
        data: Supervised,
        device: torch.device,
        weights: dict[str, float] | None = None,
    ) -> None:
        assert isinstance(data.loop, GradientConfig)
        self.predictor = predictor
        self.data = data
        self.device = device
        self.loop = data.loop
        self.auxiliary_weights = weights or {}
        self.maker = data.maker()
        self._truth = self._true_values()
        self._class_weights = self._balance()
        self._held: dict[str, list[Batch]] = {}

    @property
    def model(self) -> nn.Module:
        """What is trained, on its device."""
        return self.predictor.model

    @property
    def figures(self) -> tuple[str, ...]:
        """What an evaluation gives."""
        return ("total_loss", "target_loss", *metric_names(self.data.target))

    def num_steps(self) -> int:
        """Training batches an epoch."""
        batch_size, least = self.data.config.data.batch_size, self.loop.min_updates
        return num_batches(len(self.data.split.train), batch_size, least)

    def training_batches(
        self, epoch: int, done: int = 0
    ) -> Iterator[tuple[Batch, np.random.Generator]]:
        """Batches of the epoch but for the first ``done``, each with draws of its own."""
        seed, size = self.data.config.trainer.seed, self.data.config.data.batch_size
        order = np.random.default_rng([seed, epoch])
        drawn = passes(self.data.split.train, size, self.loop.min_updates, order)
        for step, samples in islice(enumerate(drawn, start=1), done, None):
            rng = np.random.default_rng([seed, epoch, step])
            yield self.maker.training(samples, rng), rng

    def step(self, given: tuple[Batch, np.random.Generator]) -> StepOutput:
        """Forward pass and losses."""
        whole, rng = given
        own = whole if num_ranks() == 1 else whole.part(own_rows(len(whole.sample_ids)))
        batch = own.to(self.device)
        raw_BO, held = self.predictor.forward(batch, self._covariates(batch))
        weight = 1.0 if own is whole else share(self._weight(own), self._weight(whole))
        parts = {
            "target_loss": weight * self._loss(raw_BO.float(), batch),
            **self.predictor.auxiliary(batch, whole, held, rng),
        }
        total = parts["target_loss"]
        for name, weight in self.auxiliary_weights.items():
            total = total + weight * parts[name]
        return StepOutput(
            loss=total,
            parts={name: part.detach() for name, part in parts.items()},
            sample_ids=whole.sample_ids,
        )

    def evaluate(self, split: str) -> Evaluation | None:
        """Figures of all samples of a part, in the target's own units."""
        samples = getattr(self.data.split, split)
        if not len(samples):
            return None
        raw_NO, losses = self._predict(split, samples)
        outputs = self.data.recipe.finish(raw_NO)
        loss = float(np.average(losses, weights=[len(b.sample_ids) for b in self._held[split]]))
        figures = judge(self.data.target, samples, outputs)
        return Evaluation(
            metrics={"total_loss": loss, "target_loss": loss, **figures},
            tables={
                TABLES[split]: prediction_table(
                    self.data.study, self.data.target, samples, outputs, groups=self.data.groups
                )
            },
        )

    def _predict(
        self, split: str, samples: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], list[float]]:
        """Raw outputs [N, O] of a part, and the target loss of each of its batches."""
        if split not in self._held:
            seed = self.data.config.trainer.seed
            self._held[split] = list(self.maker.fixed_batches(samples, EVAL_BATCH, seed))
        self.predictor.prepare()
        raws, losses = [], []
        for given in self._held[split]:
            batch = given.to(self.device)
            raw_BO = self.predictor.forward(batch, self._covariates(batch))[0].float()
            losses.append(float(self._loss(raw_BO, batch)))
            raws.append(raw_BO.cpu().double().numpy())
        return np.concatenate(raws), losses

    def _loss(self, raw_BO: Tensor, batch: Batch) -> Tensor:
        truth = self._truth[self._rows(batch)].to(self.device)
        if self.data.target.classes:
            return classification_loss(self.loop, raw_BO, truth, self._class_weights)
        return regression_loss(self.loop, raw_BO, truth)

    def _weight(self, batch: Batch) -> float:
        """What the mean in the loss of a batch is divided by."""
        if self._class_weights is None:
            return len(batch.sample_ids)
        return float(self._class_weights[self._truth[self._rows(batch)]].sum())

    def _covariates(self, batch: Batch) -> Tensor | None:
        values = self.data.covariates
        if values is None:
            return None
        return torch.from_numpy(values[self._rows(batch)]).to(self.device)

    def _rows(self, batch: Batch) -> NDArray[np.int64]:
        return np.searchsorted(self.data.study.sample_ids, batch.sample_ids)

    def _true_values(self) -> Tensor:
        """Class indices [N], or transformed values [N, T], of all samples."""
        values, transform = self.data.target.values, self.data.recipe.transform
        if transform is None:
            return torch.from_numpy(values.astype(np.int64))
        return torch.from_numpy(transform.forward(values.astype(np.float64))).float()

    def _balance(self) -> Tensor | None:
        if not self.data.target.classes or self.loop.class_weights == "none":
            return None
        trained = self._truth[self.data.split.train]
        return balanced_weights(trained, len(self.data.target.classes)).to(self.device)
