"""A whole run, and the checks across its groups."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from aam.config.checks import one_of
from aam.config.data import BaselinesConfig, DataConfig, SplitConfig
from aam.config.logging import LoggingConfig
from aam.config.loops import LoopConfig, LrFindConfig, PretrainConfig, SupervisedConfig
from aam.config.optimizing import check_optimizing
from aam.config.submit import SubmitConfig
from aam.config.training import (
    CheckpointConfig,
    EarlyStoppingConfig,
    ModelConfig,
    TrainerConfig,
)
from aam.errors import UserError

# Keys that name files or folders to read.
FILE_KEYS = (
    "data.table",
    "data.tree",
    "data.rep_seqs",
    "data.metadata",
    "data.distances",
    "split.file",
    "pretrained",
)


@dataclass(kw_only=True)
class Config:
    """A whole run."""

    loop: LoopConfig = field(default_factory=PretrainConfig)
    task: str | None = None
    pretrained: str | None = None
    freeze: str = "none"
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    submit: SubmitConfig = field(default_factory=SubmitConfig)
    run_name: str | None = None
    monitor: bool = False
    preflight: bool = False
    optimized_metric: str | None = None

    def __post_init__(self) -> None:
        if self.run_name is not None and not re.fullmatch(r"[\w.-]+", self.run_name):
            raise UserError(
                f"run_name={self.run_name!r} becomes part of a folder's name: "
                "use letters, digits, '_', '-' and '.' only"
            )
        one_of("freeze", self.freeze, ("none", "nucleotide", "all"))
        if self.task is not None:
            one_of("task", self.task, ("regression", "classification"))
        # Before a run folder is made; torch, which knows the rest, is loaded later.
        check_optimizing(self.optimizer, self.scheduler)
        self._refuse_unread()
        if self.monitor and not self.logging.save_artifacts:
            raise UserError(
                "monitor=true shows what a run writes, and logging.save_artifacts=false writes "
                "nothing: leave out one of the two"
            )
        if self.monitor and self.preflight:
            raise UserError(
                "preflight=true writes nothing that monitor=true could show: leave out one"
            )
        if self.preflight and isinstance(self.loop, LrFindConfig):
            raise UserError(
                "preflight=true looks at a training: leave out loop=lr_find, or choose the loop "
                "whose learning rate it looks for"
            )
        if isinstance(self.loop, SupervisedConfig) and not self.data.targets:
            raise UserError(
                f"loop={self.loop.name} predicts a metadata column; say which by data.target="
            )
        if isinstance(self.loop, LrFindConfig):
            self.of_examined(self.loop)  # with the checks of the loop that is examined

    def of_examined(self, search: LrFindConfig) -> "Config":
        """This run, were it a training by the loop whose learning rate is looked for."""
        return replace(self, loop=search.examined(self.data.targets))

    def _refuse_unread(self) -> None:
        """No setting is passed over in silence."""
        given = {
            "task": self.task,
            "pretrained": self.pretrained,
            "freeze": None if self.freeze == "none" else self.freeze,
            "data.target": self.data.target,
            "data.covariates": self.data.covariates,
            "data.shuffle_target": self.data.shuffle_target,
            "data.batch_column": self.data.batch_column,
        }
        for key, value in given.items():
            if value and key not in self.loop.takes:
                raise UserError(
                    f"loop={self.loop.name} reads no {key}: leave it out, or choose a loop that "
                    "does, such as loop=finetune"
                )
