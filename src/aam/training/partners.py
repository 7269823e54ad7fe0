"""What the engine works with beside its task: who keeps what it makes, and who judges it."""

from collections.abc import Mapping
from typing import Any, Protocol


class Keeper(Protocol):
    """Where the engine leaves what must outlive it (``aam.training.run_folder``)."""

    def save_last(self, state: dict[str, Any]) -> None:
        """Keep where the training stands."""

    def save_best(self, state: dict[str, Any]) -> dict[str, str]:
        """Keep the best model."""

    def save_tables(self, tables: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, str]:
        """Keep the tables of an evaluation."""

    def take_stop_request(self) -> str | None:
        """Whose request to stop after the epoch there is; None if there is none. Asked once."""


class Diagnosis(Protocol):
    """Who judges how the training goes (``aam.monitoring.diagnostics``)."""

    def after(self, fact: Mapping[str, Any]) -> list[dict[str, str]]:
        """The findings after one more epoch, given its fact."""

    def at_end(self, why: str) -> list[dict[str, str]]:
        """The findings after the last epoch; ``why`` is ``epochs``, ``minutes`` or ``patience``."""
