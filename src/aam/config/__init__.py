"""The schema of every config group.

Hydra composes the YAML files under ``configs/``; ``aam.cli`` turns the result into these
dataclasses once, at the entry, and plain dataclasses are passed on from there. ``optimizer`` and
``scheduler`` stay mappings with a ``_target_``, so that any class that torch has works by a YAML
file alone; their keys are checked against the signature of the target.
"""

from aam.config.checks import above_zero, at_least, one_of
from aam.config.data import BaselinesConfig, DataConfig, SplitConfig
from aam.config.logging import DiagnosticsConfig, FamilyConfig, LoggingConfig, TagsConfig
from aam.config.loops import (
    LOOPS,
    FinetuneConfig,
    ForestConfig,
    GradientConfig,
    LoopConfig,
    LrFindConfig,
    MlpConfig,
    PretrainConfig,
    ProbeConfig,
    SupervisedConfig,
)
from aam.config.root import FILE_KEYS, Config
from aam.config.search import SearchConfig
from aam.config.submit import SubmitConfig
from aam.config.training import (
    CheckpointConfig,
    EarlyStoppingConfig,
    ModelConfig,
    TrainerConfig,
)

__all__ = [
    "FILE_KEYS",
    "LOOPS",
    "BaselinesConfig",
    "CheckpointConfig",
    "Config",
    "DataConfig",
    "DiagnosticsConfig",
    "EarlyStoppingConfig",
    "FamilyConfig",
    "FinetuneConfig",
    "ForestConfig",
    "GradientConfig",
    "LoggingConfig",
    "LoopConfig",
    "LrFindConfig",
    "MlpConfig",
    "ModelConfig",
    "PretrainConfig",
    "ProbeConfig",
    "SearchConfig",
    "SplitConfig",
    "SubmitConfig",
    "SupervisedConfig",
    "TagsConfig",
    "TrainerConfig",
    "above_zero",
    "at_least",
    "one_of",
]
