"""The losses of a target: of transformed values in regression, of logits in classification.

Shapes: B samples, T columns, C classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from aam.config import GradientConfig


def regression_loss(config: GradientConfig, predicted_BT: Tensor, true_BT: Tensor) -> Tensor:
    """Mean loss over samples and columns, in the transformed unit.

    ``huber`` is quadratic up to an error of 1 (with zscore: a standard deviation) and linear beyond
    (Huber 1964); ``quantile`` is the pinball loss (Koenker & Bassett 1978).
    """
    if config.loss == "mse":
        return F.mse_loss(predicted_BT, true_BT)
    if config.loss == "mae":
        return F.l1_loss(predicted_BT, true_BT)
    if config.loss == "quantile":
        short_BT = true_BT - predicted_BT
        return torch.maximum(config.quantile * short_BT, (config.quantile - 1) * short_BT).mean()
    return F.huber_loss(predicted_BT, true_BT)


def classification_loss(
    config: GradientConfig, logits_BC: Tensor, class_B: Tensor, weights_C: Tensor | None
) -> Tensor:
    """Cross entropy in nats, with class weights and label smoothing (Szegedy et al. 2016)."""
    return F.cross_entropy(
        logits_BC, class_B, weight=weights_C, label_smoothing=config.label_smoothing
    )


def balanced_weights(class_N: Tensor, num_classes: int) -> Tensor:
    """Weights ``[C]`` by which every class counts alike: N / (C × its samples), 1 for none."""
    sizes_C = torch.bincount(class_N, minlength=num_classes).float()
    weights_C = len(class_N) / (num_classes * sizes_C.clamp_min(1))
    return torch.where(sizes_C > 0, weights_C, 1.0)
