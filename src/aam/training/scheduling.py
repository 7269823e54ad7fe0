"""The learning-rate schedule of a run from its config group, and what moves it."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from aam.config import one_of
from aam.errors import UserError
from aam.training.schedules import after_warmup, onecycle, warmup
from aam.training.targets import make, resolve, take_number

STEPPED_PER = ("update", "epoch")
# What torch's schedulers keep in the groups of an optimizer.
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


class Schedule:
    """A scheduler that knows whether updates, epochs or validations move it.

    Its steps are updates, or epochs with ``per: epoch``. Any schedule may have ``warmup_steps``, at
    most a tenth of the run, in which the rate rises to the optimizer's; a keyword whose value is
    the word ``num_steps`` gets the number of steps that are left after them. torch's
    ``ReduceLROnPlateau`` steps with each validation once the updates of its warmup are made.

    Raises
    ------
    UserError
        If the config names no schedule, or a value is none that it takes.
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
        per = config.pop("per", None)
        warmup_steps = int(take_number("scheduler.warmup_steps", config))
        target, keywords = resolve("scheduler", config)
        if warmup_steps and target in (onecycle, OneCycleLR):
            raise UserError(
                f"scheduler.warmup_steps={warmup_steps} is no setting of this schedule, which has "
                "a rise of its own: set scheduler.pct_start"
            )
        self.per = _moved_by(target, per)
        self.num_steps = num_epochs if self.per == "epoch" else num_updates
        # Published warmups of 10,000 updates never end on studies of some hundred samples.
        self.warmup_steps = min(warmup_steps, self.num_steps // 10)
        left = self.num_steps - self.warmup_steps
        keywords = {key: left if v == "num_steps" else v for key, v in keywords.items()}
        scheduler = make("scheduler", target, optimizer, keywords)
        if not isinstance(scheduler, LRScheduler):
            raise UserError(f"scheduler._target_={config['_target_']} is no schedule")
        if self.per == "validation":
            self.warmup = warmup(optimizer, self.warmup_steps)
        else:
            scheduler = after_warmup(optimizer, scheduler, self.warmup_steps)
        self.scheduler: Any = scheduler
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
        elif self.per == "validation" and self.steps < self.warmup_steps:
            self.steps += 1
            self.warmup.step()

    def after_epoch(self, val_loss: float) -> None:
        """Call after every epoch's validation."""
        if self.per == "epoch":
            self._step()
        elif self.per == "validation" and self.steps == self.warmup_steps:
            self.scheduler.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        state = {
            "steps": self.steps,
            "num_steps": self.num_steps,
            "scheduler": self.scheduler.state_dict(),
        }
        if self.per == "validation":
            state |= {"warmup_steps": self.warmup_steps, "warmup": self.warmup.state_dict()}
        return state

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
        if self.per == "validation":
            self.warmup_steps = state["warmup_steps"]
            self.warmup.load_state_dict(state["warmup"])
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


def _moved_by(target: object, per: str | None) -> str:
    if target is not ReduceLROnPlateau:
        one_of("scheduler.per", per or "update", STEPPED_PER)
        return per or "update"
    if per is not None:
        raise UserError(
            f"scheduler.per={per} is no setting of this schedule, which each validation moves: "
            "leave it out"
        )
    return "validation"
