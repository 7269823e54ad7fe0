"""Looks at the run of a trial while it trains, and asks it to stop where the pruner says so.

By the run's facts and its folder alone: a run that was pruned is one that was asked to stop, as a
person may ask it, and could go on.
"""

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aam.facts.follow import Follower
from aam.facts.stopping import request_stop, take_request

if TYPE_CHECKING:
    import optuna

PRUNER = "the pruner"
_INTERVAL_S = 1.0
_log = logging.getLogger(__name__)


class Watch:
    """Reports each epoch's value of the metric to the trial, from a thread, while in use."""

    def __init__(self, trial: "optuna.Trial", run_dir: Path, metric: str) -> None:
        self._trial, self._run_dir, self._metric = trial, run_dir, metric
        self._follower = Follower(run_dir)
        self._is_over = threading.Event()
        self._has_asked = False
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._look()
        if self._has_asked:
            take_request(self._run_dir)  # it ended before it saw that

    def _watch(self) -> None:
        try:
            while not self._is_over.wait(_INTERVAL_S):
                self._look()
                if not self._has_asked and self._trial.should_prune():
                    self._has_asked = True
                    request_stop(self._run_dir, PRUNER)
        except Exception as error:  # as on a full disk: the training goes on, and says so itself
            _log.warning("the search no longer watches %s: %s", self._run_dir, error)

    def _look(self) -> None:
        for event in self._follower.read():
            value = self._value(event) if event["moment"] == "on_epoch_end" else None
            if value is not None:
                self._trial.report(value, event["epoch"])

    def _value(self, event: dict[str, Any]) -> float | None:
        is_loss = self._metric in ("val_loss", "train_loss")
        values = event if is_loss else event["metrics"].get("val", {})
        value: float | None = values.get(self._metric)
        return value
