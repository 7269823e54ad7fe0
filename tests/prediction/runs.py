"""Run folders with a tiny model, and tables to predict, that the tests are made of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models.studies import SHAPE, lively_encoder

from aam.config import Config, DataConfig, FinetuneConfig, ModelConfig
from aam.data.batches import BatchMaker
from aam.data.covariates import Covariate
from aam.data.recipe import Recipe
from aam.data.sequences import START
from aam.data.splits import Split
from aam.data.study import Study
from aam.data.targets import Target, Transform
from aam.prediction.calibrating import calibrate_model
from aam.prediction.calibration import save_calibration
from aam.prediction.models import make_finetuned
from aam.training.checkpoint import BEST, link_model, save_checkpoint

REGRESSION = Recipe(
    ("age",), (), Transform(False, np.array([40.0]), np.array([20.0])), read_lengths=(150, 150)
)
CLASSIFICATION = Recipe(("site",), ("gut", "skin", "tongue"), None)
COVARIATES = (Covariate("weight", 70.0, 10.0), Covariate("diet", categories=("a", "b")))
EPOCH = 3


def config(**data: Any) -> Config:
    shape = {key: value for key, value in SHAPE.items() if not key.startswith("unifrac")}
    return Config(
        loop=FinetuneConfig(),
        data=DataConfig(target="age", **data),
        model=ModelConfig(**shape),
    )


def tiny_model(recipe: Recipe, settings: Config | None = None) -> torch.nn.Module:
    settings = settings or config()
    encoder = lively_encoder()
    torch.manual_seed(2)
    model = make_finetuned(encoder, settings.model, settings.loop, recipe).eval()
    some = torch.randint(1, 5, (60, 151), dtype=torch.uint8)
    some[:, 0] = START
    with torch.no_grad():
        model.pool.standardise(encoder.nucleotides(some))
    model.scale_F.fill_(10.0)  # about the spread of sums over a sample's ASVs
    return model


def save_run(folder: Path, recipe: Recipe, **data: Any) -> Path:
    """A run folder as training leaves it, but for the calibration."""
    settings = config(**data)
    folder.mkdir()
    content = {
        "model": tiny_model(recipe, settings).state_dict(),
        "epoch": EPOCH,
        "config": asdict(settings),
        "recipe": recipe.as_plain(),
    }
    save_checkpoint(folder / BEST, content)
    link_model(folder)
    return folder


def add_calibration(folder: Path, study: Study, recipe: Recipe, num_val: int = 40) -> None:
    """Calibrate on the last samples of the study, whose truth is made up."""
    rows, rng = np.arange(len(study.sample_ids)), np.random.default_rng(0)
    values = rng.normal(40, 20, (len(rows), 1))
    if recipe.classes:
        values = rng.integers(len(recipe.classes), size=len(rows))
    calibration = calibrate_model(
        tiny_model(recipe),
        BatchMaker(study, rarefaction_depth=None, token_limit=1024, random_tokens=False),
        Split(train=rows[:-num_val], val=rows[-num_val:], test=rows[:0]),
        Target(recipe.names, values, recipe.classes),
        recipe,
        covariates_NV=None,
        seed=0,
        device=torch.device("cpu"),
    )
    assert calibration is not None
    save_calibration(folder, calibration, EPOCH)


@dataclass
class Table:
    """Counts [N, A] that can be written as a file."""

    counts: np.ndarray
    sample_ids: Sequence[str]
    asv_ids: Sequence[str]

    def take(self, rows: Sequence[int]) -> "Table":
        return Table(self.counts[rows], [self.sample_ids[row] for row in rows], self.asv_ids)

    def permuted(self, seed: int) -> "Table":
        rng = np.random.default_rng(seed)
        rows, columns = map(rng.permutation, self.counts.shape)
        mixed = Table(self.counts[:, columns], self.sample_ids, [self.asv_ids[c] for c in columns])
        return mixed.take(rows)

    def write(self, path: Path) -> Path:
        lines = [["#OTU ID", *self.sample_ids]]
        lines += [
            [name, *map(str, column)]
            for name, column in zip(self.asv_ids, self.counts.T, strict=True)
        ]
        path.write_text("".join("\t".join(line) + "\n" for line in lines))
        return path


def table_of(study: Study, rows: Sequence[int]) -> Table:
    """Some samples with all ASVs of the study."""
    ids = [study.sample_ids[row] for row in rows]
    return Table(study.counts[list(rows)].toarray(), ids, study.sequences)
