"""The norm of all gradients: measured, clipped, and explained where it is not finite."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from aam.errors import shown
from aam.training.shards import whole


def clipped(model: nn.Module, limit: float | None) -> tuple[float, str]:
    """Scale gradients down to ``limit``; their norm before that, and why it is not finite.

    Gradients that are not finite stay as they are.
    """
    gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    norm = nn.utils.get_total_norm(gradients.values())
    value = float(whole(norm))
    if not math.isfinite(value):
        return value, _why(gradients)
    if limit is not None:
        nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
    return value, ""


def _why(gradients: Mapping[str, Tensor]) -> str:
    broken = [name for name, one in gradients.items() if not whole(one).isfinite().all()]
    return f", by the gradient of {shown(broken)}" if broken else ", though no gradient is"
