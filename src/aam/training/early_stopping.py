"""Which epoch is the best, and when to stop waiting for a better one."""

import math
from dataclasses import dataclass
from typing import Any

_ERRORS = ("mae", "rmse")


@dataclass(kw_only=True)
class EarlyStopping:
    """Patience counted in epochs; ``patience=None`` never stops."""

    metric: str
    patience: int | None
    best_value: float | None = None
    best_epoch: int | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether more is better: of all but losses and errors (``mae_age``, ``unifrac_mae``)."""
        if self.metric.startswith("r2"):  # r2_NAME, whatever the column is called
            return True
        is_error = self.metric.startswith(_ERRORS) or self.metric == "unifrac_mae"
        return not (is_error or self.metric.endswith(("loss", "norm")))

    def improved(self, epoch: int, value: float) -> bool:
        """Take note of an epoch's value; whether it is the best so far."""
        if not math.isfinite(value):
            return False
        if self.best_value is not None:
            better = value > self.best_value if self.higher_is_better else value < self.best_value
            if not better:
                return False
        self.best_value, self.best_epoch = value, epoch
        return True

    def exhausted(self, epoch: int) -> bool:
        """Whether ``patience`` epochs have gone by since the best one."""
        if self.patience is None or self.best_epoch is None:
            return False
        return epoch - self.best_epoch >= self.patience

    def as_fact(self) -> dict[str, Any] | None:
        """The ``best`` field of an event."""
        if self.best_epoch is None:
            return None
        return {"epoch": self.best_epoch, "metric": self.metric, "value": self.best_value}

    def forget(self) -> None:
        """The best epoch's model is lost: another one must become the best."""
        self.best_value = self.best_epoch = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]
