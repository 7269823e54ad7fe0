"""Optimizer and scheduler from their config groups: a ``_target_`` and its keywords."""

import inspect
import math
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from aam.config import one_of
from aam.errors import UserError

STEPPED_PER = ("update", "epoch")
# What torch's schedulers keep in the groups of an optimizer.
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


def parameter_groups(
    model: nn.Module, weight_decay: float, lr_scales: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Trainable parameters, decayed and not: biases, norms and embeddings are never decayed.

    ``lr_scales`` sets parameters whose names begin so apart, with their ``lr_scale``; those of the
    whole learning rate come first.
    """
    members: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            matrix = isinstance(module, nn.Linear) and name == "weight"
            scale = _scale_of(f"{path}.{name}", lr_scales or {})
            members.setdefault((scale, matrix), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if is_decayed else 0.0,
            **({} if scale == 1.0 else {"lr_scale": scale}),
        }
        for (scale, is_decayed), parameters in members.items()
    ]


def _scale_of(name: str, lr_scales: Mapping[str, float]) -> float:
    return next((scale for prefix, scale in lr_scales.items() if name.startswith(prefix)), 1.0)


def build_optimizer(
    config: Mapping[str, Any], model: nn.Module, lr_scales: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """``{_target_: torch.optim.AdamW, lr: …, weight_decay: …}`` → the optimizer."""
    target, keywords = resolve("optimizer", config)
    decay = _number("optimizer.weight_decay", keywords)
    groups = parameter_groups(model, decay, lr_scales)
    optimizer: torch.optim.Optimizer = _make("optimizer", target, groups, keywords)
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("lr_scale", 1.0)
    return optimizer


class Schedule:
    """A scheduler that knows whether updates, epochs or validations move it.

    Its steps are updates, or epochs with ``per: epoch``; torch's ``ReduceLROnPlateau`` steps with
    each validation. A keyword whose value is the word ``num_steps`` gets the number of steps that
    the run has, and ``warmup_steps`` is capped at a tenth of it.
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
        per = config.pop("per", "update")
        one_of("scheduler.per", per, STEPPED_PER)
        target, keywords = resolve("scheduler", config)
        self.per = "validation" if target is ReduceLROnPlateau else per
        self.num_steps = num_epochs if self.per == "epoch" else num_updates
        keywords = {k: self.num_steps if v == "num_steps" else v for k, v in keywords.items()}
        if "warmup_steps" in keywords:
            # Published warmups of 10,000 updates never end on studies of some hundred samples.
            warmup = _number("scheduler.warmup_steps", keywords)
            keywords["warmup_steps"] = min(int(warmup), self.num_steps // 10)
        self.scheduler = _make("scheduler", target, optimizer, keywords)
        self.steps = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])  # ReduceLROnPlateau alone leaves it out
        self._first_rates = [
            {key: group[key] for key in _RATES if key in group} for group in optimizer.param_groups
        ]

    def after_update(self) -> None:
        """Call after every optimizer step."""
        if self.per == "update":
            self._step()

    def after_epoch(self, val_loss: float) -> None:
        """Call after every epoch's validation."""
        if self.per == "epoch":
            self._step()
        elif self.per == "validation":
            self.scheduler.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "steps": self.steps,
            "num_steps": self.num_steps,
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, once the optimizer has its own state from there.

        Where the run has become longer or shorter than it was planned, or has another learning
        rate, the new plan is followed from where it would stand now: the old one's state ends where
        the old run would have. A schedule that goes by validations keeps its place, and its rate
        changes in proportion.
        """
        self.steps = state["steps"]
        groups = self.scheduler.optimizer.param_groups
        firsts = list(zip(groups, self._first_rates, strict=True))
        is_same_rate = all(group["initial_lr"] == first["initial_lr"] for group, first in firsts)
        if self.per == "validation" or (is_same_rate and state["num_steps"] == self.num_steps):
            self.scheduler.load_state_dict(state["scheduler"])
            if not is_same_rate:
                for group, first in firsts:
                    # A group that is held at 0, as by loop.encoder_lr=0, knows no proportion.
                    fallen = group["lr"] / group["initial_lr"] if group["initial_lr"] else 1.0
                    group["lr"] = first["initial_lr"] * fallen
                    group["initial_lr"] = first["initial_lr"]
            return
        # torch's schedulers make each rate from the one before it: start from the first again.
        for group, first in firsts:
            group.update(first)
        with warnings.catch_warnings():
            # The optimizer's steps are in the checkpoint; torch would miss them here.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(min(self.steps, self.num_steps - 1)):
                self.scheduler.step()

    def _step(self) -> None:
        self.steps += 1
        if self.steps < self.num_steps:  # OneCycleLR refuses one more
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
    foreign = UserError(f"{group}._target_={name} must name something in torch.optim or aam")
    if not _is_home(module):
        raise foreign
    try:
        target = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise UserError(f"{group}._target_={name} does not exist") from None
    if not callable(target):
        raise UserError(f"{group}._target_={name} is neither a class nor a function")
    if not _is_home(target.__module__):  # what a module there has from elsewhere, such as Path
        raise foreign
    taken = [key for key in inspect.signature(target).parameters if key not in ("self", "params")]
    for key in keywords:
        if key not in taken:
            initials = "".join(word[:1] for word in key.split("_"))  # learning_rate: lr
            near = [initials] if initials in taken else get_close_matches(key, taken, n=1)
            hint = f"did you mean {group}.{near[0]}?" if near else f"it takes {', '.join(taken)}"
            raise UserError(f"{group}.{key} is no setting of {name}; {hint}")
    return target, keywords


def _is_home(module: object) -> bool:
    return f"{module}.".startswith(("torch.optim.", "aam."))


def _number(key: str, keywords: dict[str, Any]) -> float:
    """Take a number that is no less than 0 out of the keywords; 0 where there is none."""
    value = keywords.pop(key.partition(".")[2], 0.0)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise UserError(f"{key}={value} must be a number of at least 0")
    return number


def _make(group: str, target: Any, subject: object, keywords: Mapping[str, Any]) -> Any:
    """Call the target; what it refuses (``lr=-1``, a setting left out) is the user's to mend."""
    try:
        return target(subject, **keywords)
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        given = ", ".join(f"{key}={value}" for key, value in keywords.items())
        raise UserError(f"the {group} cannot be made with {given}: {error}") from None
