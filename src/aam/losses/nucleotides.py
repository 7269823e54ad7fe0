"""Masked nucleotides: which bases are hidden, and the loss of filling them in.

Shapes: V ASVs of the masked view, L bases, M masked bases in all.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aam.data.sequences import MASK

NUM_BASES = 4  # A, C, G, T are tokens 1 to 4
SPAN = 8  # bases; longer than the runs that a neighbouring base gives away


@dataclass(frozen=True, kw_only=True)
class MaskedView:
    """ASVs with some bases hidden."""

    tokens: Tensor  # uint8 [V, 1+L]
    positions: Tensor  # bool [V, L], True where a base is to be predicted
    bases: Tensor  # int64 [M], the true bases there, 0 to 3

    def to(self, device: torch.device) -> "MaskedView":
        """The same view on ``device``."""
        return MaskedView(
            tokens=self.tokens.to(device, non_blocking=True),
            positions=self.positions.to(device, non_blocking=True),
            bases=self.bases.to(device, non_blocking=True),
        )

    def part(self, asvs: slice) -> "MaskedView":
        """Some of the ASVs; in place of none one, of which nothing is to be predicted."""
        start, stop, _ = asvs.indices(len(self.tokens))
        first, last = int(self.positions[:start].sum()), int(self.positions[:stop].sum())
        kept = asvs if start < stop else slice(1)  # a model needs a row
        positions = self.positions[kept] & (start < stop)
        return MaskedView(
            tokens=self.tokens[kept], positions=positions, bases=self.bases[first:last]
        )


def mask_bases(
    tokens: Tensor, rng: np.random.Generator, *, fraction: float, spans: bool
) -> MaskedView:
    """Hide a fraction of the bases, singly or in spans of eight (fewer at an end).

    Of the hidden ones 80 % read MASK, 10 % a random base and 10 % themselves (Devlin et al. 2019,
    BERT), so that the encoder cannot rely on seeing MASK. START, padding and ambiguous letters
    are never chosen. Every ASV with a base has at least one hidden.
    """
    given = tokens.numpy()
    bases = given[:, 1:]
    known = (bases >= 1) & (bases <= NUM_BASES)
    chosen = _choose(known, rng, fraction, spans)
    how = rng.random(bases.shape)
    hidden = np.where(how < 0.8, MASK, bases)
    hidden = np.where(how >= 0.9, rng.integers(1, NUM_BASES + 1, bases.shape), hidden)
    view = given.copy()
    view[:, 1:] = np.where(chosen, hidden, bases)
    return MaskedView(
        tokens=torch.from_numpy(view),
        positions=torch.from_numpy(chosen),
        bases=torch.from_numpy(bases[chosen].astype(np.int64) - 1),
    )


def _choose(
    known: NDArray[np.bool_], rng: np.random.Generator, fraction: float, spans: bool
) -> NDArray[np.bool_]:
    if spans:
        # A base scores as the best of the spans that cover it: a cut by score takes whole spans.
        noise = rng.random((known.shape[0], known.shape[1] + SPAN - 1))
        score = np.lib.stride_tricks.sliding_window_view(noise, SPAN, axis=1).max(-1)
    else:
        score = rng.random(known.shape)
    score[~known] = -1
    wanted = np.maximum(1, np.round(known.sum(1) * fraction)).astype(np.int64)
    order = np.argsort(-score, axis=1, kind="stable")  # the last span loses its end
    chosen = np.zeros_like(known)
    np.put_along_axis(chosen, order, np.arange(known.shape[1]) < wanted[:, None], axis=1)
    return chosen & known


def nucleotide_loss(logits_M4: Tensor, bases_M: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy in nats a base, and the share of bases filled in rightly."""
    if len(bases_M) == 0:
        return logits_M4.sum() * 0.0, logits_M4.new_zeros(())
    right = (logits_M4.argmax(-1) == bases_M).float().mean()
    return F.cross_entropy(logits_M4, bases_M), right.detach()
