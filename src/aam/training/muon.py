"""Muon for the matrices of transformer layers, and AdamW for all else, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon


class MuonAndAdamW(torch.optim.Optimizer):
    """``torch.optim.Muon`` for groups with ``is_hidden``, ``torch.optim.AdamW`` for the others.

    Muon makes the steps of a matrix orthogonal (Jordan et al. 2024, "Muon: an optimizer for hidden
    layers in neural networks"), which means nothing for embeddings, norms, biases and heads. Its
    steps are scaled to the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training"),
    so that one learning rate and one weight decay serve both.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        hidden: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for group in params:
            (hidden if group.pop("is_hidden", False) else others).append(group)
        self._muon = Muon(
            hidden,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = AdamW(
            others, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps, fused=fused
        )
        self._num_hidden = len(hidden)
        # A schedule may move the momentum: it looks here whether there is one.
        super().__init__(
            [*self._muon.param_groups, *self._adamw.param_groups], {"momentum": momentum}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Loading a state puts new groups and a new state in place of the old ones.
        self._muon.param_groups = self.param_groups[: self._num_hidden]
        self._adamw.param_groups = self.param_groups[self._num_hidden :]
        self._muon.state = self._adamw.state = self.state
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()
        return loss
