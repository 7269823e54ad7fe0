"""What a run leaves in its folder beside the facts: checkpoints and prediction tables."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.stopping import take_request
from aam.facts.tables import write_tsv
from aam.training.checkpoint import (
    BEST,
    link_model,
    load_checkpoint,
    load_newest,
    remove_leftovers,
    save_checkpoint,
    save_newest,
)
from aam.training.distributed import is_first

_log = logging.getLogger(__name__)


class RunFolder:
    """Keeps checkpoints and tables under ``run_dir``; with None, only the best model in memory.

    ``beside`` (the config among it) is kept in every checkpoint, beside the state.
    Artifacts are given as name → path relative to the run folder.
    """

    def __init__(self, run_dir: Path | None, beside: dict[str, Any]) -> None:
        self.run_dir = run_dir
        self.beside = beside
        self._best: dict[str, Any] | None = None
        self._is_last_whole = True

    def save_last(self, state: dict[str, Any]) -> None:
        """Where the training stands and a resume starts; the one before is kept too."""
        if self.run_dir is not None:
            content = {**state, **self.beside}
            save_newest(self.run_dir, content, keeps_before=self._is_last_whole)
            self._is_last_whole = True

    def load_last(self) -> dict[str, Any]:
        """What ``save_last`` was last given, or the time before where that is damaged.

        Raises
        ------
        UserError
            If neither is whole.
        """
        assert self.run_dir is not None
        remove_leftovers(self.run_dir)
        state, damage = load_newest(self.run_dir)
        if damage is not None:
            self._is_last_whole = False
            _log.warning("%s", damage)
        return state

    def save_best(self, state: dict[str, Any]) -> dict[str, str]:
        """The one best model, and the link ``model.pt`` to it."""
        if self.run_dir is None:
            if is_first():  # whose model all ranks take
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

    def holds_best(self, epoch: int) -> bool:
        """Whether the best model is whole and that of an epoch (from 0).

        After a crash it may be of a later one, which will be done again.
        """
        assert self.run_dir is not None
        try:
            return int(load_checkpoint(self.run_dir / BEST)["epoch"]) == epoch + 1
        except UserError as error:
            _log.warning("%s; the next epoch is taken for the best so far", error)
            return False

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
