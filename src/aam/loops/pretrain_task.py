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
# Streams of random numbers: a draw is made from (seed, stream, epoch, step), not from the last one.
TRAIN, VAL, TEST = range(3)
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


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A training batch with all that was drawn for it."""

    batch: Batch
    view: MaskedView
    rng: np.random.Generator


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

    def num_steps(self) -> int:
        """Training batches an epoch: whole passes over the samples, ``min_updates`` at least."""
        return self._passes() * self._steps_of_pass()

    def training_batches(self, epoch: int) -> Iterator[_Drawn]:
        """Batches of the epoch, each with draws of its own."""
        order = self._rng(TRAIN, epoch)
        batches = (
            samples
            for _ in range(self._passes())
            for samples in shuffled(self.split.train, self.batch_size, order)
        )
        for step, samples in enumerate(batches):
            rng = self._rng(TRAIN, epoch, step + 1)
            batch = self.maker.training(samples, rng)
            yield _Drawn(batch=batch, view=self._mask(batch.tokens, rng), rng=rng)

    def step(self, drawn: _Drawn) -> StepOutput:
        """Forward pass and losses.

        Distances are learned from ASVs that are whole: masking them too lets the loss be fitted by
        noise, and embeddings collapse in eval mode. The masked view is of a part of the ASVs.
        """
        batch, view = drawn.batch, drawn.view
        true_BB = self.targets.distances(batch.rows, batch.sample_ids)
        faith_pd_B = self._faith_pd(batch) if self.loop.faith_pd_weight else None
        batch, view = batch.to(self.device), view.to(self.device)
        encoder = self.model.encoder
        encoded = encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask)
        predicted_BB = encoder.unifrac.distances(encoded.clades_BK.float())
        parts = {
            "unifrac_loss": unifrac_loss(predicted_BB, torch.from_numpy(true_BB).to(predicted_BB))
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
            parts["count_loss"] = self._count_loss(encoded, batch, drawn.rng)
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
        predicted_NN = self._predict(held)
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

    def _steps_of_pass(self) -> int:
        return max(1, len(self.split.train) // self.batch_size)

    def _passes(self) -> int:
        return -(-self.loop.min_updates // self._steps_of_pass())

    def _predict(self, held: _Held) -> NDArray[np.float64]:
        """Distances [N, N] between the samples of a split; each distinct ASV is encoded once."""
        encoder = self.model.encoder
        columns = np.unique(np.concatenate([batch.columns.numpy() for batch in held.batches]))
        tokens = torch.from_numpy(self.maker.study.tokens[columns]).to(self.device)
        asv_UD = encoder.nucleotides(tokens)
        clades = []
        for batch in held.batches:
            rows = torch.from_numpy(np.searchsorted(columns, batch.columns.numpy()))
            moved = batch.to(self.device)
            encoded = encoder.from_asvs(
                asv_UD[rows.to(self.device)], moved.asv_index, moved.counts, moved.mask
            )
            clades.append(encoded.clades_BK.float())
        clades_NK = torch.cat(clades)
        blocks = [encoder.unifrac.distances(block, clades_NK) for block in clades]
        return torch.cat(blocks).double().cpu().numpy()

    def _hold(self, split: str) -> _Held | None:
        """Draw once what a split is judged on: rows, their distances and a masked view."""
        samples = getattr(self.split, split)
        rng = self._rng(VAL if split == "val" else TEST)
        if len(samples) > self.loop.max_eval_samples:
            samples = np.sort(rng.choice(samples, self.loop.max_eval_samples, replace=False))
        if len(samples) < 2:
            return None
        rows = self.maker.rows(samples, rng)
        batches = tuple(
            self.maker.fixed(rows[i : i + EVAL_BATCH], samples[i : i + EVAL_BATCH])
            for i in range(0, len(samples), EVAL_BATCH)
        )
        ids = tuple(self.maker.study.sample_ids[i] for i in samples)
        columns = np.unique(rows.indices)
        if len(columns) > MAX_MASKED_IN_EVAL:
            columns = rng.choice(columns, MAX_MASKED_IN_EVAL, replace=False)
        tokens = torch.from_numpy(self.maker.study.tokens[columns])
        return _Held(
            samples=samples,
            batches=batches,
            true_NN=self.targets.distances(rows, ids),
            view=self._mask(tokens, rng, fraction_of_asvs=1.0),
        )

    def _mask(
        self, tokens: Tensor, rng: np.random.Generator, fraction_of_asvs: float | None = None
    ) -> MaskedView:
        share = self.loop.masked_asvs if fraction_of_asvs is None else fraction_of_asvs
        chosen = np.sort(rng.permutation(len(tokens))[: max(1, round(share * len(tokens)))])
        return mask_bases(
            tokens[torch.from_numpy(chosen)],
            rng,
            fraction=self.loop.mask_fraction,
            spans=self.loop.mask_spans,
        )

    def _count_loss(self, encoded: Encoded, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Error of abundances that were withheld from the sample level, as many as bases are."""
        num_slots = int(batch.mask.sum())
        hidden = torch.from_numpy(rng.random(num_slots) < self.loop.mask_fraction)
        errors = self.model.count_errors(
            encoded.asv_UD, batch.asv_index, batch.counts, batch.mask, hidden.to(self.device)
        )
        return errors.sum() / max(1, len(errors))

    def _faith_pd(self, batch: Batch) -> Tensor:
        log_pd_B = np.log(np.maximum(self.targets.faith_pd(batch.rows), 1e-12))
        return torch.from_numpy((log_pd_B - self._log_pd_mean) / self._log_pd_std).float()

    def _log_pd_scale(self) -> tuple[float, float]:
        """Mean and spread of log Faith's PD over the training samples, where it is learned."""
        if not self.loop.faith_pd_weight:
            return 0.0, 1.0
        rows = self.maker.study.counts[self.split.train]
        log_pd = np.log(np.maximum(self.targets.faith_pd(rows), 1e-12))
        return float(log_pd.mean()), float(log_pd.std()) or 1.0

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *stream])
