"""States of models and optimizers that are whole, whatever shares of them the ranks hold.

A checkpoint is the same whether one process wrote it, or several by DDP or FSDP: any number of them
can go on with it.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def whole(state: Any) -> Any:
    """A state without what FSDP makes of tensors: each whole, in memory. All ranks must ask."""
    if not dist.is_initialized():
        return state
    if hasattr(state, "full_tensor"):
        return state.full_tensor().cpu()
    if isinstance(state, Mapping):
        return {key: whole(value) for key, value in state.items()}
    if isinstance(state, list):
        return [whole(value) for value in state]
    return state


def load_model(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """``load_state_dict`` of a whole state, whether the model is whole or not."""
    held = model.state_dict()
    model.load_state_dict({name: _as_held(held.get(name), value) for name, value in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """``load_state_dict`` of a whole state, whether the parameters are whole or not."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    moments = {
        index: {
            name: _as_held(parameters[index], value)
            if isinstance(value, Tensor) and value.shape == parameters[index].shape
            else value
            for name, value in of_one.items()
        }
        for index, of_one in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def _as_held(held: Tensor | None, value: Tensor) -> Tensor:
    """This rank's share of a value, if a share is what it holds."""
    if not hasattr(held, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(held, DTensor)
    value = value.to(held.device)
    return distribute_tensor(value, held.device_mesh, held.placements, src_data_rank=None)
