"""Checks of ``optimizer`` and ``scheduler`` before a run folder is made and torch is loaded.

Both are open: what else a class takes, the class itself refuses when it is made.
"""

import math
from collections.abc import Mapping

from aam.config.checks import numbers
from aam.errors import UserError

_OPTIMIZER = ("lr", "weight_decay", "momentum", "ns_steps")
_SCHEDULER = (
    "warmup_steps",
    "min_ratio",
    "eta_min",
    "power",
    "factor",
    "patience",
    "threshold",
    "cooldown",
    "min_lr",
    "pct_start",
    "div_factor",
    "final_div_factor",
    "start_factor",
    "end_factor",
    "cycles",
    "T_mult",
    "gamma",
)
_SHARES = ("min_ratio", "pct_start", "end_factor", "factor")
_CONSTANT = "aam.training.schedules.constant"


def check_optimizing(optimizer: Mapping[str, object], scheduler: Mapping[str, object]) -> None:
    """Refuse values that no optimizer and no schedule takes, and what does not go together.

    Raises
    ------
    UserError
        With the sentence for the first of them.
    """
    # Some of torch's classes take a list in place of a number: one for each group of parameters.
    scheduler = {key: value for key, value in scheduler.items() if not isinstance(value, list)}
    numbers("optimizer", optimizer, *_OPTIMIZER)
    numbers("scheduler", scheduler, *_SCHEDULER)
    for key in _SHARES:
        value = scheduler.get(key, 0)
        if not 0 <= value <= 1:  # type: ignore[operator]
            raise UserError(f"scheduler.{key}={value} must lie in [0, 1]")
    lr, floor = optimizer.get("lr", math.inf), scheduler.get("eta_min", 0)
    if floor > lr:  # type: ignore[operator]
        raise UserError(
            f"scheduler.eta_min={floor} is where the rate falls to, and lies above "
            f"optimizer.lr={lr}: lower it"
        )
    target = str(optimizer.get("_target_"))
    if "ScheduleFree" in target and scheduler.get("_target_") != _CONSTANT:
        raise UserError(
            f"{target.rpartition('.')[2]} averages the weights in place of a schedule that lowers "
            "the learning rate: add scheduler=constant"
        )
