"""Batches: rows of a study → the arrays that a model reads.

A batch holds each distinct ASV once. All random draws come from a generator that the caller makes
from (seed, epoch, step), so that a batch is the same however the run got there.

Shapes: N samples, A ASVs, U distinct ASVs of the batch, L bases, B samples of the batch, S slots.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from aam.data.study import Study
from aam.errors import UserError

MOST_READS = 10**9


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a model is given."""

    tokens: Tensor  # uint8 [U, 1+L], each distinct ASV once
    asv_index: Tensor  # int64 [B, S], row of ``tokens``; 0 where there is no ASV
    counts: Tensor  # float32 [B, S]
    mask: Tensor  # bool [B, S], True where there is an ASV
    columns: Tensor  # int64 [U], column of the study's table
    rows: sparse.csr_matrix  # int64 [B, A], the (rarefied) counts, before the token limit
    sample_ids: tuple[str, ...]

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on ``device``."""
        names = ("tokens", "asv_index", "counts", "mask", "columns")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return Batch(**moved, rows=self.rows, sample_ids=self.sample_ids)

    def part(self, samples: slice) -> "Batch":
        """Some of the samples as a batch of their own, of the ASVs that they hold."""
        mask_BS = self.mask[samples]
        held, inverse = torch.unique(self.asv_index[samples][mask_BS], return_inverse=True)
        return Batch(
            tokens=self.tokens[held],
            asv_index=torch.zeros_like(self.asv_index[samples]).masked_scatter(mask_BS, inverse),
            counts=self.counts[samples],
            mask=mask_BS,
            columns=self.columns[held],
            rows=self.rows[samples],
            sample_ids=self.sample_ids[samples],
        )

    def slots(self, samples: slice) -> slice:
        """Where the filled slots of some samples are among those of all, one row after another."""
        start, stop, _ = samples.indices(len(self.mask))
        return slice(int(self.mask[:start].sum()), int(self.mask[:stop].sum()))


def rarefy(rows: sparse.csr_matrix, depth: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw ``depth`` reads of each row without replacement (a multivariate hypergeometric draw).

    A row of fewer reads is kept as it is.
    """
    return _rarefied(rows, depth, lambda _: rng)


def rarefy_by_id(
    rows: sparse.csr_matrix, ids: Sequence[str], depth: int, seed: int
) -> sparse.csr_matrix:
    """``rarefy``, the draws of a sample depending on the seed and its id alone.

    So a prediction does not change with the samples beside it.
    """
    return _rarefied(rows, depth, lambda row: np.random.default_rng([seed, *ids[row].encode()]))


def _rarefied(
    rows: sparse.csr_matrix, depth: int, rng_of: Callable[[int], np.random.Generator]
) -> sparse.csr_matrix:
    drawn = rows.copy()
    for row, (start, stop) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
        counts = rows.data[start:stop]
        total = counts.sum()
        if total >= MOST_READS:
            raise UserError(
                f"data.rarefaction_depth={depth} cannot be drawn from a sample of {total} reads: "
                f"numpy draws from less than {MOST_READS}; divide the counts, or set it to null"
            )
        if total > depth:
            drawn.data[start:stop] = rng_of(row).multivariate_hypergeometric(
                counts, depth, method="marginals"
            )
    drawn.eliminate_zeros()
    return drawn


class BatchMaker:
    """Makes batches of a study's rows."""

    def __init__(
        self,
        study: Study,
        *,
        rarefaction_depth: int | None,
        token_limit: int | None,
        random_tokens: bool,
    ) -> None:
        self.study = study
        self.rarefaction_depth = rarefaction_depth
        self.token_limit = token_limit
        self.random_tokens = random_tokens

    def training(self, samples: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """A batch with draws of its own: fresh rarefaction, and random tokens where asked for."""
        rows = self.rows(samples, rng)
        limited = self._limit(rows, rng if self.random_tokens else None)
        return self._batch(rows, limited, samples)

    def fixed(self, rows: sparse.csr_matrix, samples: NDArray[np.int64]) -> Batch:
        """A batch of given rows for validation: nothing in it is drawn."""
        return self._batch(rows, self._limit(rows, None), samples)

    def rows(self, samples: NDArray[np.int64], rng: np.random.Generator) -> sparse.csr_matrix:
        """Counts [B, A] of the samples, rarefied if a depth is set."""
        rows = self.study.counts[samples]
        return rows if self.rarefaction_depth is None else rarefy(rows, self.rarefaction_depth, rng)

    def fixed_batches(
        self, samples: NDArray[np.int64], batch_size: int, seed: int
    ) -> Iterator[Batch]:
        """Batches that samples are judged in: each sample is the same whatever stands beside it.

        They are made one by one, as those of a large study would fill the memory.
        """
        for start in range(0, len(samples), batch_size):
            chosen = samples[start : start + batch_size]
            rows, depth = self.study.counts[chosen], self.rarefaction_depth
            if depth is not None:
                ids = [self.study.sample_ids[row] for row in chosen]
                rows = rarefy_by_id(rows, ids, depth, seed)
            yield self.fixed(rows, chosen)

    def _limit(self, rows: sparse.csr_matrix, rng: np.random.Generator | None) -> sparse.csr_matrix:
        """Keep at most ``token_limit`` ASVs a row: the most abundant, or drawn by abundance.

        Ties go to the sequence that sorts first, which is the lower column (``Study``).
        """
        limit = self.token_limit
        if limit is None or np.diff(rows.indptr).max(initial=0) <= limit:
            return rows
        # Exponential races draw without replacement with chances by weight (Efraimidis & Spirakis
        # 2006); without a generator the race is won by abundance alone.
        times = 1 / rows.data if rng is None else rng.exponential(size=rows.nnz) / rows.data
        row_of = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        order = np.lexsort((rows.indices, times, row_of))
        rank = np.empty(rows.nnz, np.int64)
        rank[order] = np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], np.diff(rows.indptr))
        kept = rows.copy()
        kept.data[rank >= limit] = 0
        kept.eliminate_zeros()
        return kept

    def _batch(
        self, rows: sparse.csr_matrix, limited: sparse.csr_matrix, samples: NDArray[np.int64]
    ) -> Batch:
        columns, inverse = np.unique(limited.indices, return_inverse=True)
        richness = np.diff(limited.indptr)
        num_slots = max(1, int(richness.max(initial=0)))
        row_of = np.repeat(np.arange(len(samples)), richness)
        slot_of = np.arange(limited.nnz) - np.repeat(limited.indptr[:-1], richness)
        asv_index = np.zeros((len(samples), num_slots), np.int64)
        counts = np.zeros((len(samples), num_slots), np.float32)
        asv_index[row_of, slot_of] = inverse
        counts[row_of, slot_of] = limited.data
        return Batch(
            tokens=torch.from_numpy(self.study.tokens[columns]),
            asv_index=torch.from_numpy(asv_index),
            counts=torch.from_numpy(counts),
            mask=torch.from_numpy(np.arange(num_slots) < richness[:, None]),
            columns=torch.from_numpy(columns.astype(np.int64)),
            rows=rows,
            sample_ids=tuple(self.study.sample_ids[i] for i in samples),
        )


def shuffled(
    samples: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """The samples in random order, in whole batches: what is left over waits for another epoch.

    Fewer samples than a batch make one batch.
    """
    order = rng.permutation(samples)
    size = min(batch_size, len(order))
    return [order[i : i + size] for i in range(0, len(order) - size + 1, size)]


def num_batches(num_samples: int, batch_size: int, min_updates: int) -> int:
    """Batches of an epoch: whole passes over the samples, and ``min_updates`` batches at least."""
    of_pass = max(1, num_samples // batch_size)
    return -(-min_updates // of_pass) * of_pass


def passes(
    samples: NDArray[np.int64], batch_size: int, min_updates: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """The batches of an epoch, ``num_batches`` of them, each pass in an order of its own."""
    of_pass = max(1, len(samples) // batch_size)
    for _ in range(-(-min_updates // of_pass)):
        yield from shuffled(samples, batch_size, rng)
