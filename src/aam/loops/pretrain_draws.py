"""What is drawn for pretraining: batches, rarefied rows, masked bases and withheld counts.

Nothing here depends on the model, and every draw is made from (seed, stream, epoch, step) and not
from the draw before it, so that a run that goes on draws what it would have drawn.

Shapes: U distinct ASVs, L bases, B samples, N samples of a split, S slots, T filled slots.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.config import PretrainConfig
from aam.data.batches import Batch, BatchMaker, num_batches, passes
from aam.data.splits import Split
from aam.losses.nucleotides import MaskedView, mask_bases
from aam.losses.targets import UnifracTargets
from aam.training.distributed import num_ranks, own_rows

TRAIN, VAL, TEST, SCALE = range(4)  # streams of random numbers
EVAL_BATCH = 64
MAX_MASKED_IN_EVAL = 1024  # ASVs
MAX_PAIRS_KEPT = 20_000

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A batch, and what the auxiliary losses need; None where one is off."""

    batch: Batch
    log_pd_B: Tensor | None  # standardized log Faith's PD
    hidden_T: Tensor | None  # slots whose abundance is withheld

    def part(self, samples: slice) -> "Drawn":
        """Some of the samples."""
        log_pd_B, hidden_T = self.log_pd_B, self.hidden_T
        return Drawn(
            batch=self.batch.part(samples),
            log_pd_B=None if log_pd_B is None else log_pd_B[samples],
            hidden_T=None if hidden_T is None else hidden_T[self.batch.slots(samples)],
        )


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """A training batch with its distances and the masked view of some of its ASVs.

    ``learned`` are the columns of the ASVs that distances are learned through; None for all.
    """

    drawn: Drawn
    true_BB: NDArray[np.float64]
    view: MaskedView | None
    learned: Tensor | None

    def learns(self, columns_U: Tensor) -> Tensor | None:
        """Which of these ASVs distances are learned through, bool [U]."""
        if self.learned is None:
            return None
        return torch.isin(columns_U, self.learned.to(columns_U.device))

    def own(self) -> "TrainingBatch":
        """This rank's share of samples and masked ASVs; the distances stay those of all."""
        if num_ranks() == 1:
            return self
        view, samples = self.view, own_rows(len(self.true_BB))
        return TrainingBatch(
            drawn=self.drawn.part(samples),
            true_BB=self.true_BB,
            view=None if view is None else view.part(own_rows(len(view.tokens))),
            learned=self.learned,
        )


@dataclass(frozen=True, kw_only=True)
class Held:
    """A split as it is judged: the same rows, distances and masks in every epoch."""

    sample_ids: tuple[str, ...]
    tokens: Tensor  # uint8 [U, 1+L], each distinct ASV of the split once
    batches: tuple[tuple[Drawn, Tensor], ...]  # with the row in ``tokens`` of each of its ASVs
    true_NN: NDArray[np.float64]
    pairs_kept: Pairs
    view: MaskedView | None


class Draws:
    """Makes training batches, and what a split is judged on."""

    def __init__(
        self,
        *,
        maker: BatchMaker,
        targets: UnifracTargets,
        split: Split,
        loop: PretrainConfig,
        batch_size: int,
        seed: int,
    ) -> None:
        self.maker = maker
        self.targets = targets
        self.split = split
        self.loop = loop
        self.batch_size = batch_size
        self.seed = seed
        self._log_pd_mean, self._log_pd_std = self._log_pd_scale()

    def num_steps(self) -> int:
        """Training batches an epoch: whole passes over the samples, ``min_updates`` at least."""
        return num_batches(len(self.split.train), self.batch_size, self.loop.min_updates)

    def training(self, epoch: int, done: int = 0) -> Iterator[TrainingBatch]:
        """Batches of the epoch but for the first ``done``, each with draws of its own."""
        order = self._rng(TRAIN, epoch)
        drawn = passes(self.split.train, self.batch_size, self.loop.min_updates, order)
        for step, samples in islice(enumerate(drawn, start=1), done, None):
            rng = self._rng(TRAIN, epoch, step)
            batch = self.maker.training(samples, rng)
            yield TrainingBatch(
                drawn=self._draw(batch, rng),
                true_BB=self.targets.distances(batch.rows, batch.sample_ids),
                view=self._mask(batch.tokens, rng, self.loop.masked_asvs),
                learned=self._some_asvs(batch.columns, rng),
            )

    def hold(self, split: str) -> Held | None:
        """Draw what ``val`` or ``test`` is judged on; None if that split is empty."""
        samples = getattr(self.split, split)
        if not len(samples):
            return None
        rng = self._rng(VAL if split == "val" else TEST)
        if len(samples) > self.loop.max_eval_samples:
            samples = np.sort(rng.choice(samples, self.loop.max_eval_samples, replace=False))
        rows = self.maker.rows(samples, rng)
        ids = tuple(self.maker.study.sample_ids[i] for i in samples)
        batches = [
            self.maker.fixed(rows[i : i + EVAL_BATCH], samples[i : i + EVAL_BATCH])
            for i in range(0, len(samples), EVAL_BATCH)
        ]
        columns = np.unique(np.concatenate([batch.columns.numpy() for batch in batches]))
        tokens = torch.from_numpy(self.maker.study.tokens[columns])
        return Held(
            sample_ids=ids,
            tokens=tokens,
            batches=tuple(
                (
                    self._draw(batch, rng),
                    torch.from_numpy(np.searchsorted(columns, batch.columns.numpy())),
                )
                for batch in batches
            ),
            true_NN=self.targets.distances(rows, ids),
            pairs_kept=_some_pairs(len(samples), rng),
            view=self._mask(tokens, rng, min(1.0, MAX_MASKED_IN_EVAL / len(tokens))),
        )

    def _draw(self, batch: Batch, rng: np.random.Generator) -> Drawn:
        """As large a share of the counts is withheld as of the bases."""
        hidden_T = None
        if self.loop.count_weight:
            hidden = rng.random(int(batch.mask.sum())) < self.loop.mask_fraction
            hidden[rng.integers(len(hidden))] = True  # a mean over none would be NaN
            hidden_T = torch.from_numpy(hidden)
        log_pd_B = self._faith_pd(batch) if self.loop.faith_pd_weight else None
        return Drawn(batch=batch, log_pd_B=log_pd_B, hidden_T=hidden_T)

    def _mask(self, tokens: Tensor, rng: np.random.Generator, share: float) -> MaskedView | None:
        """A masked view of a share of the ASVs."""
        if not self.loop.nuc_weight:
            return None
        chosen = np.sort(rng.permutation(len(tokens))[: max(1, round(share * len(tokens)))])
        return mask_bases(
            tokens[torch.from_numpy(chosen)],
            rng,
            fraction=self.loop.mask_fraction,
            spans=self.loop.mask_spans,
        )

    def _some_asvs(self, columns_U: Tensor, rng: np.random.Generator) -> Tensor | None:
        """A random share of a batch's ASVs, one at least."""
        share = self.loop.gradient_asvs
        if share == 1:
            return None
        num_learned = max(1, round(share * len(columns_U)))
        return columns_U[torch.from_numpy(rng.permutation(len(columns_U))[:num_learned])]

    def _faith_pd(self, batch: Batch) -> Tensor:
        log_pd_B = np.log(np.maximum(self.targets.faith_pd(batch.rows), 1e-12))
        return torch.from_numpy((log_pd_B - self._log_pd_mean) / self._log_pd_std).float()

    def _log_pd_scale(self) -> tuple[float, float]:
        """Mean and spread of log Faith's PD over the (rarefied) training samples, if learned."""
        if not self.loop.faith_pd_weight:
            return 0.0, 1.0
        rows = self.maker.rows(self.split.train, self._rng(SCALE))
        log_pd = np.log(np.maximum(self.targets.faith_pd(rows), 1e-12))
        return float(log_pd.mean()), float(log_pd.std()) or 1.0

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *stream])


def _some_pairs(num_samples: int, rng: np.random.Generator) -> Pairs:
    first, second = np.triu_indices(num_samples, 1)
    if len(first) > MAX_PAIRS_KEPT:
        kept = np.sort(rng.choice(len(first), MAX_PAIRS_KEPT, replace=False))
        first, second = first[kept], second[kept]
    return first, second
