"""What all loops that predict a target start from: samples that have it, and their split."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aam.config import Config, SupervisedConfig
from aam.data.batches import BatchMaker
from aam.data.covariates import Covariate, encode_all
from aam.data.metadata import Column
from aam.data.recipe import Recipe, common_lengths
from aam.data.splits import Split
from aam.data.study import Study, load_study
from aam.data.targets import Target, read_target
from aam.errors import shown
from aam.loops.run import Run
from aam.loops.splitting import split_of, warn_of_groups
from aam.training.distributed import of_first

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Supervised:
    """A study whose samples all have a target, dealt out to train, val and test."""

    study: Study
    target: Target
    split: Split
    recipe: Recipe
    config: Config

    @property
    def loop(self) -> SupervisedConfig:
        """The settings of the loop."""
        assert isinstance(self.config.loop, SupervisedConfig)
        return self.config.loop

    @cached_property
    def groups(self) -> tuple[str | None, ...] | None:
        """Each sample's group, where ``data.group_column`` is set."""
        return self._values("group_column")

    @cached_property
    def batches(self) -> tuple[str | None, ...] | None:
        """Each sample's study or batch, where ``data.batch_column`` is set."""
        return self._values("batch_column")

    @cached_property
    def covariates(self) -> NDArray[np.float32] | None:
        """``[N, V]`` of all samples, or None."""
        metadata = self.study.metadata
        return None if metadata is None else encode_all(self.recipe.covariates, metadata.columns)

    @property
    def num_samples(self) -> dict[str, int]:
        """Samples of each part."""
        return {part: len(getattr(self.split, part)) for part in ("train", "val", "test")}

    def maker(self) -> BatchMaker:
        """Makes batches of the study."""
        data = self.config.data
        return BatchMaker(
            self.study,
            rarefaction_depth=data.rarefaction_depth,
            token_limit=data.token_limit,
            random_tokens=data.token_selection == "random",
        )

    def described(self) -> dict[str, Any]:
        """``meta.target`` of ``on_start``."""
        split = self.config.split
        return {
            "task": self.target.task,
            "columns": list(self.target.names),
            "classes": list(self.target.classes),
            "group_column": self.config.data.group_column,
            "split": {
                key: getattr(split, key) for key in ("kind", "fold", "folds", "repeats", "seed")
            },
        }

    def _values(self, key: str) -> tuple[str | None, ...] | None:
        name = getattr(self.config.data, key)
        return None if name is None else self.study.column(f"data.{key}", name).values


def load_supervised(config: Config, run: Run) -> Supervised:
    """Read the study, keep the samples that have the target, and split them.

    Raises
    ------
    UserError
        As ``load_study``, ``read_target`` and ``split_of`` do.
    """
    assert isinstance(config.loop, SupervisedConfig)
    whole = load_study(config.data, needs_tree=False)
    names = config.data.targets
    study, target = read_target(whole, names, config.task)
    if config.data.shuffle_target:
        target = target.shuffled(config.split.seed)
    warn_of_groups(study, config.data)
    strata = study.column("data.target", names[0])
    if target.classes:  # of a numeric column too, its values are classes here
        strata = Column(strata.name, "categorical", strata.values)
    split = of_first(lambda: split_of(study, config, run, strata=strata))
    _warn_of_unseen(target, split)
    covariates = _covariates(study, config, split)
    recipe = Recipe.fit(
        target,
        config.loop.transform,
        split.train,
        covariates,
        read_lengths=common_lengths(study, split.train),
    )
    return Supervised(study, target, split, recipe, config)


def _covariates(study: Study, config: Config, split: Split) -> tuple[Covariate, ...]:
    names = config.data.covariates
    if not names:
        return ()
    _log.warning(
        "the model is given %s: if they tell the target (a study, a plate, a time since the "
        "diagnosis), it learns from them and not from the microbes; compare with a run without",
        shown(names, 10),
    )
    columns = [study.column("data.covariates", name) for name in names]
    return tuple(Covariate.fit(column, split.train) for column in columns)


def _warn_of_unseen(target: Target, split: Split) -> None:
    """Say which classes cannot be predicted, for they were never trained on."""
    if not target.classes:
        return
    trained = set(target.values[split.train].tolist())
    unseen = [name for k, name in enumerate(target.classes) if k not in trained]
    if unseen:
        _log.warning(
            "%d of %d classes have no sample in the training part and cannot be predicted: %s",
            len(unseen), len(target.classes), shown(unseen),
        )  # fmt: skip
