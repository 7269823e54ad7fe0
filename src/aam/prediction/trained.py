"""A trained model as a run folder keeps it: nothing of the training files is needed."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from aam.config import DataConfig, ModelConfig, TrainerConfig
from aam.data.recipe import Recipe
from aam.data.sequences import tokenize
from aam.data.study import Study
from aam.errors import UserError
from aam.facts.reader import read_events
from aam.prediction.calibration import (
    FILE,
    LEAST_FOR_INTERVAL,
    LEAST_FOR_NOVELTY,
    Calibration,
    load_calibration,
)
from aam.prediction.models import (
    SampleModel,
    load_into,
    make_model,
    refuse_loop,
    saved_group,
)
from aam.prediction.predictor import predict
from aam.prediction.samples import Samples
from aam.training.checkpoint import MODEL, load_checkpoint
from aam.training.devices import pick_device
from aam.training.safe_load import part, understood

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
    with understood(path):
        config, epoch = part(state, "config"), int(state["epoch"])
        refuse_loop(part(config, "loop")["name"])
        recipe = Recipe.from_plain(part(state, "recipe"))
        shape = saved_group(ModelConfig, config["model"])
        model = load_into(lambda: make_model(config, recipe), shape, part(state, "model"))
        device = pick_device(TrainerConfig())
        model.to(device)
        model.eval()
        model.requires_grad_(False)
        trained = Trained(
            model=model,
            recipe=recipe,
            data=saved_group(DataConfig, config["data"]),
            seed=saved_group(TrainerConfig, config["trainer"]).seed,
            calibration=None,
            device=device,
        )
        predict(trained, _made_up(recipe))
    return calibrated(trained, path, epoch)


def calibrated(trained: Trained, path: Path, epoch: int) -> Trained:
    """With what lies beside the checkpoint ``path`` of that epoch, if there is something.

    Raises
    ------
    UserError
        It is damaged, unsafe, or does not fit the model.
    """
    calibration = load_calibration(path.parent, epoch)
    _warn_of_little(calibration, path)
    if calibration is None:
        return trained
    with understood(path.parent / FILE):
        trained = replace(trained, calibration=calibration)
        predict(trained, _made_up(trained.recipe))
    return trained


def _made_up(recipe: Recipe) -> Samples:
    """A sample of one base: a model that cannot predict it would fail over any other too."""
    study = Study(
        sample_ids=("made up",),
        counts=sparse.csr_matrix(np.ones((1, 1), dtype=np.int64)),
        sequences=("A",),
        tokens=tokenize(("A",)),
        tree=None,
        metadata=None,
        files={},
    )
    num_values = sum(one.num_values for one in recipe.covariates)
    return Samples(study, np.zeros((1, num_values), np.float32) if num_values else None, {})


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
