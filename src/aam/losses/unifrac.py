"""The UniFrac loss and the figures by which it is judged."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def unifrac_loss(predicted_BB: Tensor, true_BB: Tensor) -> Tensor:
    """Mean squared error over the pairs of distinct samples; NaN if there is no pair."""
    pairs = torch.triu_indices(len(true_BB), len(true_BB), offset=1, device=true_BB.device)
    return F.mse_loss(predicted_BB[pairs[0], pairs[1]], true_BB[pairs[0], pairs[1]])


def unifrac_metrics(
    predicted_P: NDArray[np.float64], true_P: NDArray[np.float64]
) -> dict[str, float]:
    """Figures over pairs of samples.

    ``unifrac_r2`` is one minus the squared error over that of the best constant (the mean of these
    very pairs), so zero means nothing learned. ``unifrac_spearman`` is the rank correlation
    over pairs, the statistic of a Mantel test.
    """
    from scipy.stats import spearmanr

    error = predicted_P - true_P
    spread = float(((true_P - true_P.mean()) ** 2).mean())
    varied = spread > 0 and float(np.ptp(predicted_P)) > 0
    return {
        "unifrac_loss": float((error**2).mean()),
        "unifrac_r2": 1 - float((error**2).mean()) / spread if spread > 0 else float("nan"),
        "unifrac_mae": float(np.abs(error).mean()),
        "unifrac_spearman": float(spearmanr(predicted_P, true_P)[0]) if varied else float("nan"),
    }


def pair_table(
    sample_ids: Sequence[str],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    predicted_NN: NDArray[np.float64],
    true_NN: NDArray[np.float64],
) -> dict[str, list[object]]:
    """Pairs as columns: ``sample_a``, ``sample_b``, ``true``, ``predicted``."""
    first, second = pairs
    ids = np.array(sample_ids, dtype=object)
    return {
        "sample_a": ids[first].tolist(),
        "sample_b": ids[second].tolist(),
        "true": true_NN[first, second].tolist(),
        "predicted": predicted_NN[first, second].tolist(),
    }
