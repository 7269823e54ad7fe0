"""A trained model as a run folder keeps it: nothing of the training files is needed."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aam.config import DataConfig, TrainerConfig
from aam.data.recipe import Recipe
from aam.errors import UserError
from aam.facts.reader import read_events
from aam.prediction.calibration import (
    FILE,
    LEAST_FOR_INTERVAL,
    LEAST_FOR_NOVELTY,
    Calibration,
    load_calibration,
)
from aam.prediction.models import SampleModel, make_model, refuse_loop
from aam.training.checkpoint import MODEL, load_checkpoint
from aam.training.devices import pick_device

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A model that predicts, and what its run knew."""

    model: SampleModel
    """On ``device``, in eval mode; no parameter takes a gradient."""
    recipe: Recipe
    data: DataConfig
    """How the run's samples were made ready, and so must be those that are predicted."""
    seed: int
    calibration: Calibration | None
    device: torch.device


def load_trained(given: str) -> Trained:
    """Read the best model of a run folder, or a checkpoint file with what lies beside it.

    Logs once what cannot be told for want of validation samples.

    Raises
    ------
    UserError
        There is no such model, it is damaged or unsafe, or its loop cannot predict other tables.
    """
    path = _checkpoint_of(Path(given).expanduser())
    state = load_checkpoint(path)
    config: dict[str, Any] = state["config"]
    refuse_loop(config["loop"]["name"])
    recipe = Recipe.from_plain(state["recipe"])
    model = make_model(config, recipe)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError:
        raise UserError(
            f"{path} was written by another version of aam, whose models had another shape: train "
            "it again"
        ) from None
    device = pick_device(TrainerConfig())
    model.to(device)
    model.eval()
    model.requires_grad_(False)
    calibration = load_calibration(path.parent, state["epoch"])
    _warn_of_little(calibration, path)
    return Trained(
        model=model,
        recipe=recipe,
        data=DataConfig(**config["data"]),
        seed=config["trainer"]["seed"],
        calibration=calibration,
        device=device,
    )


def _checkpoint_of(path: Path) -> Path:
    """The file that ``model=`` means."""
    if not path.is_dir():
        return path
    if (path / MODEL).exists():
        return path / MODEL
    for event in read_events(path)[:1]:  # a forest leaves facts but no model
        refuse_loop(event["loop"])
    raise UserError(f"model={path} has no {MODEL}: give the folder of a run that has ended")


def _warn_of_little(calibration: Calibration | None, path: Path) -> None:
    if calibration is None:
        _log.warning(
            "there is no %s of this model beside %s (the run did not end, or had no validation "
            "part): predictions have no intervals, and new samples are not told apart",
            FILE, path,
        )  # fmt: skip
        return
    num_samples = len(calibration.nearest_n)
    lacking = [
        what
        for least, what in (
            (LEAST_FOR_INTERVAL, f"a 90 % interval ({LEAST_FOR_INTERVAL} needed)"),
            (LEAST_FOR_NOVELTY, f"a flag of samples unlike those trained on ({LEAST_FOR_NOVELTY})"),
        )
        if num_samples < least
    ]
    if lacking:
        _log.warning(
            "the run had %d validation samples, too few for %s: those cells are empty",
            num_samples, " and ".join(lacking),
        )  # fmt: skip
