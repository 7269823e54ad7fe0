"""The baselines that stand beside a model, as facts and tables: same samples, same split."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from aam.baselines.run import FittedBaseline, Given, baseline_names, fit_baselines
from aam.data.batches import rarefy_by_id
from aam.data.predictions import prediction_table
from aam.loops.supervised import Supervised
from aam.losses.metrics import judge, metric_names

_log = logging.getLogger(__name__)
Tables = dict[str, Mapping[str, list[Any]]]


class Beside:
    """Fits the baselines when first asked, and judges them on one part at a time.

    ``without`` names those that would only repeat the loop's own model.
    """

    def __init__(self, data: Supervised, without: tuple[str, ...] = ()) -> None:
        self.data = data
        self.without = without

    @property
    def described(self) -> dict[str, Any]:
        """``meta.target`` of ``on_start``."""
        return self.data.described()

    @property
    def recipe(self) -> dict[str, Any]:
        """What a checkpoint must hold for predictions."""
        return self.data.recipe.as_plain()

    def names(self) -> tuple[str, ...]:
        """Every figure that the facts may have: of the model, and of each baseline."""
        of_model = metric_names(self.data.target)
        if not self.data.config.baselines.enabled:
            return of_model
        names = baseline_names(
            self.data.target.task,
            batch=self.data.batches is not None,
            tree=self.data.study.tree is not None,
        )
        names = tuple(name for name in names if name not in self.without)
        return (*of_model, *(f"baseline_{name}_{one}" for name in names for one in of_model))

    def figures(self, part: str) -> dict[str, float]:
        """``baseline_<name>_<metric>`` on ``val`` or ``test``."""
        rows = getattr(self.data.split, part)
        if not len(rows):
            return {}
        return {
            f"baseline_{baseline.name}_{metric}": value
            for baseline in self._fitted
            for metric, value in judge(self.data.target, rows, baseline.outputs[part]).items()
        }

    def tables(self, part: str) -> Tables:
        """The predictions of all baselines on a part, one block of rows after another."""
        rows = getattr(self.data.split, part)
        if not len(rows) or not self._fitted:
            return {}
        blocks = []
        for baseline in self._fitted:
            outputs = baseline.outputs[part]
            table = prediction_table(
                self.data.study, self.data.target, rows, outputs, groups=self.data.groups
            )
            ids = table.pop("sample-id")
            blocks.append({"sample-id": ids, "baseline": [baseline.name] * len(ids), **table})
        columns = {name: [v for block in blocks for v in block[name]] for name in blocks[0]}
        return {f"{part}_baselines": columns}

    @cached_property
    def _fitted(self) -> list[FittedBaseline]:
        config = self.data.config
        if not config.baselines.enabled:
            return []
        _log.info("fitting the baselines on %d samples", len(self.data.split.train))
        return fit_baselines(self.given(), self.without)

    def given(self) -> Given:
        """What the baselines are given, and inner folds are made of."""
        config, study = self.data.config, self.data.study
        depth = config.data.rarefaction_depth
        if depth is not None:  # they see what the model is judged on, draw for draw
            seed = config.trainer.seed
            study = replace(study, counts=rarefy_by_id(study.counts, study.sample_ids, depth, seed))
        return Given(
            study=study,
            target=self.data.target,
            split=self.data.split,
            groups=self.data.groups,
            batches=self.data.batches,
            num_trees=config.baselines.num_trees,
            seed=config.trainer.seed,
        )
