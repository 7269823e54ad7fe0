"""How sure a prediction is, and how new a sample: read off the validation part of a run.

The interval is split conformal prediction (Vovk et al. 2005, "Algorithmic learning in a random
world"; Lei et al. 2018, JASA 113): a new sample that is exchangeable with the validation samples
lies in its 90 % interval with a chance of 90 % at least. Two things weaken that a little: the best
epoch was chosen on the same samples, and samples of a new study are not exchangeable with them. For
the latter there is the novelty: the distance to the nearest training sample as a conformal p-value
(Bates et al. 2023, Annals of Statistics 51).

Shapes: N training samples, n validation samples, B new samples, T columns, C classes, K clades.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.training.checkpoint import load_checkpoint, save_checkpoint
from aam.training.safe_load import understood

FILE = "calibration.pt"
COVERAGE = 90  # percent
NOVEL = 0.05  # flagged at this p-value or below
LEAST_FOR_INTERVAL = 9  # validation samples: with fewer, a 90 % interval is the whole line
LEAST_FOR_NOVELTY = 19  # with fewer, no p-value is as low as 0.05
# Of float32 distances: the same sample in another batch must not count as farther than itself.
_TIE = 1e-5
_CHUNK = 2**24  # numbers held at once while distances are taken

Distances = Callable[[Tensor, Tensor], Tensor]
"""Clade vectors [B, K] and [N, K] → distances [B, N], as ``Encoder.unifrac.distances``."""


@dataclass(frozen=True)
class Calibration:
    """What predictions of new samples need to know of the validation and training parts."""

    reach: NDArray[np.float64] | None
    """Half widths [T] of the intervals in the target's own units; in classification [1], how far
    below 1 the probability of a class in the set may be. None: too few validation samples."""
    nearest_n: NDArray[np.float64]
    """Each validation sample's distance to its nearest training sample."""
    train_NK: Tensor

    def interval(
        self, predicted_BT: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Lower and upper ends [B, T], of each column by itself."""
        if self.reach is None:
            return None
        return predicted_BT - self.reach, predicted_BT + self.reach

    def class_sets(
        self, probability_BC: NDArray[np.float64], classes: Sequence[str]
    ) -> list[tuple[str, ...]] | None:
        """The classes of each sample that hold the true one with 90 % (Sadinle et al. 2019, JASA).

        The most probable class is always among them, which only adds to the coverage.
        """
        if self.reach is None:
            return None
        is_in_BC = 1 - probability_BC <= self.reach[0]
        is_in_BC |= probability_BC == probability_BC.max(axis=1, keepdims=True)
        return [tuple(c for c, held in zip(classes, row, strict=True) if held) for row in is_in_BC]

    def novelty(
        self, clades_BK: Tensor, distances: Distances
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Distance [B] to the nearest training sample, and its p-value [B].

        The p-value is the share of the validation samples that lie as far at least, the sample
        itself counted among them; None where there are too few of them to flag anything.
        """
        nearest_B = nearest(clades_BK, self.train_NK, distances)
        if len(self.nearest_n) < LEAST_FOR_NOVELTY:
            return nearest_B, None
        farther_B = (self.nearest_n >= nearest_B[:, None] - _TIE).sum(axis=1)
        return nearest_B, (1 + farther_B) / (len(self.nearest_n) + 1)

    def as_plain(self) -> dict[str, Any]:
        """Tensors alone, which load without running code."""
        return {
            "reach": None if self.reach is None else torch.from_numpy(self.reach),
            "nearest": torch.from_numpy(self.nearest_n),
            "train_clades": self.train_NK,
        }

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Calibration":
        """What ``as_plain`` gave, read back; ``ValueError`` if it cannot be that."""
        reach = None if values["reach"] is None else values["reach"].double().numpy()
        nearest_n, train_NK = values["nearest"].double().numpy(), values["train_clades"].float()
        if nearest_n.ndim != 1 or train_NK.ndim != 2 or not train_NK.numel():
            raise ValueError("its distances are not those of samples")
        if reach is not None and reach.ndim != 1:
            raise ValueError("its intervals are not those of columns")
        return cls(reach, nearest_n, train_NK)


def calibrate(
    true: NDArray[np.float64] | NDArray[np.int64],
    outputs: NDArray[np.float64],
    train_NK: Tensor,
    val_nK: Tensor,
    distances: Distances,
) -> Calibration:
    """Calibrate on the validation part.

    ``true`` are its values [n, T] with ``outputs`` [n, T] in the target's own units, or its class
    indices [n] with probabilities [n, C].
    """
    if true.ndim == 2:
        misses = np.abs(outputs - true)
    else:
        misses = 1 - outputs[np.arange(len(true)), true.astype(np.int64)][:, None]
    return Calibration(
        reach=conformal_quantile(misses),
        nearest_n=nearest(val_nK, train_NK, distances),
        train_NK=train_NK,
    )


def conformal_quantile(misses: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The ⌈0.9 (n + 1)⌉-th smallest of each column of ``[n, …]``; None where n is below that."""
    rank = -(-COVERAGE * (len(misses) + 1) // 100)
    if rank > len(misses):
        return None
    smallest: NDArray[np.float64] = np.sort(misses, axis=0)[rank - 1]
    return smallest


def nearest(clades_BK: Tensor, train_NK: Tensor, distances: Distances) -> NDArray[np.float64]:
    """The distance [B] of each sample to its nearest of the training samples."""
    size = max(1, _CHUNK // train_NK.numel())
    parts = [distances(part, train_NK).amin(dim=1) for part in torch.split(clades_BK, size)]
    return torch.cat(parts).double().clamp_min(0).numpy()


def save_calibration(run_dir: Path, calibration: Calibration, epoch: int) -> None:
    """Put it beside the best model, whose ``epoch`` (that of the checkpoint) tells it apart."""
    save_checkpoint(run_dir / FILE, {"epoch": epoch, **calibration.as_plain()})


def load_calibration(run_dir: Path, epoch: int) -> Calibration | None:
    """The calibration of the model of that epoch; None if there is none, or another epoch's.

    Raises
    ------
    UserError
        If the file is damaged or not safe to load.
    """
    path = run_dir / FILE
    if not path.exists():
        return None
    content = load_checkpoint(path)
    with understood(path):
        return Calibration.from_plain(content) if content["epoch"] == epoch else None
