"""What a run leaves in its folder beside the facts: checkpoints and prediction tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aam.facts.tables import write_tsv
from aam.training.checkpoint import BEST, LAST, link_model, save_checkpoint


class RunFolder:
    """Keeps checkpoints and tables under ``run_dir``; with None it keeps nothing.

    Every method gives the artifacts it wrote: name → path relative to the run folder.
    """

    def __init__(self, run_dir: Path | None, config: dict[str, Any]) -> None:
        self.run_dir = run_dir
        self.config = config

    def save_last(self, state: dict[str, Any]) -> dict[str, str]:
        """The newest whole epoch, where a resume starts."""
        return self._save(LAST, "last", state)

    def save_best(self, state: dict[str, Any]) -> dict[str, str]:
        """The one best model, and the link ``model.pt`` to it."""
        artifacts = self._save(BEST, "best_model", state)
        if self.run_dir is not None:
            link_model(self.run_dir)
        return artifacts

    def save_tables(self, tables: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, str]:
        """Tables of an evaluation, as ``predictions/NAME.tsv``."""
        if self.run_dir is None:
            return {}
        artifacts = {name: f"predictions/{name}.tsv" for name in tables}
        for name, path in artifacts.items():
            (self.run_dir / path).parent.mkdir(exist_ok=True)
            write_tsv(self.run_dir / path, tables[name])
        return artifacts

    def _save(self, file: str, name: str, state: dict[str, Any]) -> dict[str, str]:
        if self.run_dir is None:
            return {}
        save_checkpoint(self.run_dir / file, {**state, "config": self.config})
        return {name: file}
