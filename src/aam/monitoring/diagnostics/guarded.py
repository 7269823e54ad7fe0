"""A diagnosis within a training, which it must not break."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics.judge import Diagnosis, Event, Finding
from aam.monitoring.diagnostics.plan import Plan

_log = logging.getLogger(__name__)


class GuardedDiagnosis(Diagnosis):
    """Judges as :class:`Diagnosis` does; should that fail, it warns once and finds no more."""

    def __init__(self, thresholds: DiagnosticsConfig, plan: Plan | None = None) -> None:
        super().__init__(thresholds, plan)
        self._has_failed = False

    def take_up(self, epochs: Iterable[Event]) -> None:
        """As :meth:`Diagnosis.take_up`."""
        self._attempt(super().take_up, epochs)

    def after(self, fact: Event) -> list[Finding]:
        """As :meth:`Diagnosis.after`."""
        return self._attempt(super().after, fact)

    def at_end(self, why: str) -> list[Finding]:
        """As :meth:`Diagnosis.at_end`."""
        return self._attempt(super().at_end, why)

    def nonfinite(self, epoch: int, what: str) -> list[Finding]:
        """As :meth:`Diagnosis.nonfinite`."""
        return self._attempt(super().nonfinite, epoch, what)

    def _attempt(
        self, judge: Callable[..., list[Finding] | None], *arguments: Any
    ) -> list[Finding]:
        if self._has_failed:
            return []
        try:
            return judge(*arguments) or []
        except Exception as error:
            self._has_failed = True
            what = f"{type(error).__name__}: {error}"
            _log.warning("the diagnostics failed (%s); the training goes on without them", what)
            _log.debug("where the diagnostics failed:", exc_info=True)
            return []
