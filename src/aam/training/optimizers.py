"""The optimizer of a run from its config group: a ``_target_`` and its keywords."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from aam.errors import UserError
from aam.models.layers import Block
from aam.training.muon import MuonAndAdamW
from aam.training.targets import make, resolve, take_number

# Measured on the CPU: a step of the fused kernels takes a sixth to a quarter of the time
# (docs/optimizers.md). Not on mps, which could not be tried, and not SGD, whose kernel knows no
# weights that FSDP shares out.
_FUSED_TARGETS = (torch.optim.Adam, torch.optim.AdamW, MuonAndAdamW)
_FUSED_DEVICES = ("cpu", "cuda")


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    lr_scales: Mapping[str, float] | None = None,
    *,
    hidden_apart: bool = False,
) -> list[dict[str, Any]]:
    """Trainable parameters, decayed and not: biases, norms and embeddings are never decayed.

    ``lr_scales`` sets parameters whose names begin so apart, with their ``lr_scale``; those of the
    whole learning rate come first. ``hidden_apart`` sets the matrices of transformer layers apart,
    with ``is_hidden``.
    """
    hidden = _hidden_matrices(model) if hidden_apart else set()
    kinds = [(False, True), (False, False)] + ([(True, True)] if hidden_apart else [])
    members: dict[tuple[float, bool, bool], list[nn.Parameter]] = {(1.0, *one): [] for one in kinds}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            matrix = isinstance(module, nn.Linear) and name == "weight"
            scale = _scale_of(f"{path}.{name}", lr_scales or {})
            members.setdefault((scale, parameter in hidden, matrix), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if is_decayed else 0.0,
            **({} if scale == 1.0 else {"lr_scale": scale}),
            **({"is_hidden": True} if is_hidden else {}),
        }
        for (scale, is_hidden, is_decayed), parameters in members.items()
    ]


def _hidden_matrices(model: nn.Module) -> set[torch.Tensor]:
    blocks = (module for module in model.modules() if isinstance(module, Block))
    inside = (module for block in blocks for module in block.modules())
    return {module.weight for module in inside if isinstance(module, nn.Linear)}


def _scale_of(name: str, lr_scales: Mapping[str, float]) -> float:
    return next((scale for prefix, scale in lr_scales.items() if name.startswith(prefix)), 1.0)


def build_optimizer(
    config: Mapping[str, Any], model: nn.Module, lr_scales: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """``{_target_: torch.optim.AdamW, lr: …, weight_decay: …}`` → the optimizer.

    Where the class has fused kernels for the device of the model, they are used unless the
    keyword ``fused`` says otherwise.

    Raises
    ------
    UserError
        If the target is no optimizer, or refuses a keyword.
    """
    target, keywords = resolve("optimizer", config)
    decay = take_number("optimizer.weight_decay", keywords)
    groups = parameter_groups(model, decay, lr_scales, hidden_apart=target is MuonAndAdamW)
    if target in _FUSED_TARGETS and "fused" not in keywords:
        target = partial(target, fused=_device_of(groups) in _FUSED_DEVICES or None)
    optimizer = make("optimizer", target, groups, keywords)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(f"optimizer._target_={config['_target_']} is no optimizer")
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("lr_scale", 1.0)
    return optimizer


def _device_of(groups: list[dict[str, Any]]) -> str | None:
    return next((one.device.type for group in groups for one in group["params"]), None)


def set_mode(optimizer: torch.optim.Optimizer, *, training: bool) -> None:
    """Give the model the weights to train with, or those to judge and to keep.

    They differ with schedule-free optimizers only: the mean over the updates is what they learn.
    """
    change = getattr(optimizer, "train" if training else "eval", None)
    if change is not None:
        change()
