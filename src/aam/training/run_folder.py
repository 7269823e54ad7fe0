"""What a run leaves in its folder beside the facts: checkpoints and prediction tables."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from aam.facts.stopping import take_request
from aam.facts.tables import write_tsv
from aam.training.checkpoint import BEST, LAST, link_model, load_checkpoint, save_checkpoint


class RunFolder:
    """Keeps checkpoints and tables under ``run_dir``; with None, only the best model in memory.

    ``beside`` (the config among it) is kept in every checkpoint, beside the state.
    Artifacts are given as name → path relative to the run folder.
    """

    def __init__(self, run_dir: Path | None, beside: dict[str, Any]) -> None:
        self.run_dir = run_dir
        self.beside = beside
        self._best: dict[str, Any] | None = None

    def save_last(self, state: dict[str, Any]) -> None:
        """The newest whole epoch, where a resume starts."""
        if self.run_dir is not None:
            save_checkpoint(self.run_dir / LAST, {**state, **self.beside})

    def save_best(self, state: dict[str, Any]) -> dict[str, str]:
        """The one best model, and the link ``model.pt`` to it."""
        if self.run_dir is None:
            self._best = deepcopy({key: state[key] for key in ("model", "epoch")})
            return {}
        save_checkpoint(self.run_dir / BEST, {**state, **self.beside})
        link_model(self.run_dir)
        return {"best_model": BEST}

    def best(self) -> dict[str, Any] | None:
        """The state that ``save_best`` was last given, ``model`` and ``epoch`` at least."""
        if self.run_dir is None or not (self.run_dir / BEST).exists():
            return self._best
        return load_checkpoint(self.run_dir / BEST)

    def save_tables(self, tables: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, str]:
        """Tables of an evaluation, as ``predictions/NAME.tsv``."""
        if self.run_dir is None:
            return {}
        artifacts = {name: f"predictions/{name}.tsv" for name in tables}
        for name, path in artifacts.items():
            (self.run_dir / path).parent.mkdir(exist_ok=True)
            write_tsv(self.run_dir / path, tables[name])
        return artifacts

    def take_stop_request(self) -> str | None:
        """Whose request to stop after the epoch lies in the folder; it is taken away."""
        return None if self.run_dir is None else take_request(self.run_dir)
