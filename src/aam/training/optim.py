"""Optimizer and scheduler from their config groups: a ``_target_`` and its keywords."""

import inspect
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import torch
from torch import nn

from aam.errors import UserError

STEPPED_PER = ("update", "epoch", "validation")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: biases, norms and embeddings are never decayed."""
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            matrix = isinstance(module, nn.Linear) and name == "weight"
            (decayed if matrix else kept).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]


def build_optimizer(config: Mapping[str, Any], model: nn.Module) -> torch.optim.Optimizer:
    """``{_target_: torch.optim.AdamW, lr: …, weight_decay: …}`` → the optimizer."""
    target, keywords = resolve("optimizer", config)
    groups = parameter_groups(model, float(keywords.pop("weight_decay", 0.0)))
    optimizer: torch.optim.Optimizer = _make("optimizer", target, groups, keywords)
    return optimizer


class Schedule:
    """A scheduler that knows whether updates, epochs or validations move it.

    Its keywords may be ``num_updates`` or ``num_epochs``, which only the run knows: the words stand
    for the numbers. ``warmup_updates`` is capped at a tenth of the run.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        optimizer: torch.optim.Optimizer,
        *,
        num_updates: int,
        num_epochs: int,
    ) -> None:
        config = dict(config)
        self.per = config.pop("per", "update")
        if self.per not in STEPPED_PER:
            raise UserError(f"scheduler.per={self.per} is not one of {', '.join(STEPPED_PER)}")
        target, keywords = resolve("scheduler", config)
        known = {"num_updates": num_updates, "num_epochs": num_epochs}
        for key, value in keywords.items():
            if isinstance(value, str) and value in known:
                keywords[key] = known[value]
        if "warmup_updates" in keywords:
            # Published warmups of 10,000 updates never end on studies of some hundred samples.
            keywords["warmup_updates"] = min(int(keywords["warmup_updates"]), num_updates // 10)
        self.scheduler = _make("scheduler", target, optimizer, keywords)
        self.num_updates = num_updates
        self.updates = 0
        self._first_rates = [group["lr"] for group in optimizer.param_groups]

    def after_update(self) -> None:
        """Call after every optimizer step."""
        self.updates += 1
        # A resumed run may be longer than was planned; OneCycleLR refuses more steps.
        if self.per == "update" and self.updates < self.num_updates:
            self.scheduler.step()

    def after_epoch(self, val_loss: float) -> None:
        """Call after every epoch's validation."""
        if self.per == "epoch":
            self.scheduler.step()
        elif self.per == "validation":
            self.scheduler.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "updates": self.updates,
            "num_updates": self.num_updates,
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], num_epochs_done: int) -> None:
        """Go on from a checkpoint.

        Where the run has become longer or shorter than it was planned, the new plan is followed
        from where it would stand now: the old one's state ends where the old run would have.
        """
        self.updates = state["updates"]
        if state["num_updates"] == self.num_updates or self.per == "validation":
            self.scheduler.load_state_dict(state["scheduler"])
            return
        # torch's schedulers make each rate from the one before it: start from the first again.
        for group, rate in zip(
            self.scheduler.optimizer.param_groups, self._first_rates, strict=True
        ):
            group["lr"] = rate
        num_steps = num_epochs_done if self.per == "epoch" else self.updates
        with warnings.catch_warnings():
            # The optimizer's steps are in the checkpoint; torch would miss them here.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(min(num_steps, self.num_updates - 1)):
                self.scheduler.step()


def resolve(group: str, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class or function that ``_target_`` names, and keywords that it takes.

    Raises
    ------
    UserError
        If there is no such target, or it takes no such keyword; the nearest right one is named.
    """
    keywords = {key: value for key, value in config.items() if key != "_target_"}
    name = str(config.get("_target_"))
    module, _, attribute = name.rpartition(".")
    if not f"{module}.".startswith(("torch.optim.", "aam.")):
        raise UserError(f"{group}._target_={name} must name something in torch.optim or aam")
    try:
        target = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise UserError(f"{group}._target_={name} does not exist") from None
    if not callable(target):
        raise UserError(f"{group}._target_={name} is neither a class nor a function")
    taken = [key for key in inspect.signature(target).parameters if key not in ("self", "params")]
    for key in keywords:
        if key not in taken:
            initials = "".join(word[:1] for word in key.split("_"))  # learning_rate: lr
            near = [initials] if initials in taken else get_close_matches(key, taken, n=1)
            hint = f"did you mean {group}.{near[0]}?" if near else f"it takes {', '.join(taken)}"
            raise UserError(f"{group}.{key} is no setting of {name}; {hint}")
    return target, keywords


def _make(group: str, target: Any, subject: object, keywords: Mapping[str, Any]) -> Any:
    """Call the target; what it refuses (``lr=-1``, a setting left out) is the user's to mend."""
    try:
        return target(subject, **keywords)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value}" for key, value in keywords.items())
        raise UserError(f"the {group} cannot be made with {given}: {error}") from None
