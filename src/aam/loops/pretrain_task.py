"""What pretraining does with a batch: its losses in training, its figures in validation.

Shapes: U distinct ASVs, B samples, N samples of a split, T filled slots.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.config import LoopConfig
from aam.data.batches import Batch, BatchMaker, shuffled
from aam.data.splits import Split
from aam.losses.nucleotides import MaskedView, mask_bases, nucleotide_loss
from aam.losses.targets import UnifracTargets
from aam.losses.unifrac import pair_table, unifrac_loss, unifrac_metrics
from aam.models.encoder import Encoded
from aam.models.pretrain import PretrainModel
from aam.models.unifrac_start import start_unifrac
from aam.training.engine import Evaluation, StepOutput

METRIC_NAMES = (
    "total_loss",
    "unifrac_loss",
    "unifrac_r2",
    "unifrac_mae",
    "unifrac_spearman",
    "nuc_loss",
    "nuc_accuracy",
    "faith_pd_loss",
    "count_loss",
    "grad_norm",
)
# Streams of random numbers; each draw is made from (seed, stream, epoch, step), never from the last.
TRAIN, VAL, TEST, START = range(4)
EVAL_BATCH = 64
MAX_MASKED_IN_EVAL = 1024  # ASVs
MAX_PAIRS_KEPT = 20_000


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A split as it is judged: the same rows, distances and masks in every epoch."""

    samples: NDArray[np.int64]
    batches: tuple[Batch, ...]
    true_NN: NDArray[np.float64]
    view: MaskedView


class PretrainTask:
    """Training steps and evaluations for the engine."""

    def __init__(
        self,
        *,
        model: PretrainModel,
        maker: BatchMaker,
        targets: UnifracTargets,
        split: Split,
        loop: LoopConfig,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self.maker = maker
        self.targets = targets
        self.split = split
        self.loop = loop
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self._held: dict[str, _Held | None] = {}
        self._log_pd_mean, self._log_pd_std = self._log_pd_scale()

    def start(self) -> None:
        """Give the UniFrac head its start from a batch of training samples."""
        rng = self._rng(START)
        samples = rng.permutation(self.split.train)[: max(64, self.batch_size)]
        batch = self.maker.training(samples, rng)
        true_BB = self.targets.distances(batch.rows, batch.sample_ids)
        off_diagonal = true_BB[np.triu_indices(len(samples), 1)]
        if off_diagonal.size == 0:
            return
        batch = batch.to(self.device)
        start_unifrac(
            self.model.encoder,
            *(batch.tokens, batch.asv_index, batch.counts, batch.mask),
            mean_distance=float(off_diagonal.mean()),
            spread=self.loop.clade_spread,
            generator=torch.Generator().manual_seed(self.seed),
        )

    def num_steps(self) -> int:
        """Training batches an epoch."""
        return max(1, len(self.split.train) // self.batch_size)

    def training_batches(self, epoch: int) -> Iterator[tuple[Batch, MaskedView, np.random.Generator]]:
        """Batches of the epoch, each with draws of its own."""
        order = shuffled(self.split.train, self.batch_size, self._rng(TRAIN, epoch))
        for step, samples in enumerate(order):
            rng = self._rng(TRAIN, epoch, step + 1)
            batch = self.maker.training(samples, rng)
            yield batch, self._mask(batch.tokens, rng, self.loop.masked_asvs), rng

    def step(self, drawn: tuple[Batch, MaskedView, np.random.Generator]) -> StepOutput:
        """Forward pass and losses.

        Distances are learned from ASVs that are whole: masking them too lets the loss be fitted by
        noise, and embeddings collapse in eval mode. The masked view is of a part of the ASVs.
        """
        batch, view, rng = drawn
        true_BB = self.targets.distances(batch.rows, batch.sample_ids)
        faith_pd_B = self._faith_pd(batch) if self.loop.faith_pd_weight else None
        batch, view = batch.to(self.device), view.to(self.device)
        encoder = self.model.encoder
        encoded = encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask)
        predicted_BB = encoder.unifrac.distances(encoded.clades_BK.float())
        parts = {
            "unifrac_loss": unifrac_loss(
                predicted_BB, torch.from_numpy(true_BB).to(predicted_BB)
            )
        }
        loss = self.loop.unifrac_weight * parts["unifrac_loss"]
        if self.loop.nuc_weight:
            parts["nuc_loss"], parts["nuc_accuracy"] = nucleotide_loss(
                self.model.base_logits(view).float(), view.bases
            )
            loss = loss + self.loop.nuc_weight * parts["nuc_loss"]
        if faith_pd_B is not None:
            error_B = self.model.faith_pd(encoded) - faith_pd_B.to(self.device)
            parts["faith_pd_loss"] = error_B.square().mean()
            loss = loss + self.loop.faith_pd_weight * parts["faith_pd_loss"]
        if self.loop.count_weight:
            parts["count_loss"] = self._count_loss(encoded, batch, rng)
            loss = loss + self.loop.count_weight * parts["count_loss"]
        return StepOutput(
            loss=loss,
            parts={name: part.detach() for name, part in parts.items()},
            sample_ids=batch.sample_ids,
        )

    def evaluate(self, split: str) -> Evaluation | None:
        """Figures over all pairs of a split's samples, on the same draws in every epoch."""
        if split not in self._held:
            self._held[split] = self._hold(split)
        held = self._held[split]
        if held is None:
            return None
        clades_NK = torch.cat([self._encode(batch).clades_BK for batch in held.batches])
        predicted_NN = _blockwise(self.model, clades_NK.float())
        pairs = np.triu_indices(len(held.samples), 1)
        metrics = unifrac_metrics(predicted_NN[pairs], held.true_NN[pairs])
        total = self.loop.unifrac_weight * metrics["unifrac_loss"]
        if self.loop.nuc_weight:
            view = held.view.to(self.device)
            nuc_loss, accuracy = nucleotide_loss(self.model.base_logits(view), view.bases)
            metrics |= {"nuc_loss": float(nuc_loss), "nuc_accuracy": float(accuracy)}
            total += self.loop.nuc_weight * metrics["nuc_loss"]
        ids = tuple(self.maker.study.sample_ids[i] for i in held.samples)
        most = int(MAX_PAIRS_KEPT**0.5 * 1.4)
        table = pair_table(ids[:most], predicted_NN[:most, :most], held.true_NN[:most, :most])
        return Evaluation(
            metrics={"total_loss": total, **metrics}, tables={f"{split}_unifrac": table}
        )
