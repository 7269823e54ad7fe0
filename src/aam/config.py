"""The schema of every config group.

Hydra composes the YAML files under ``configs/``; ``aam.cli`` turns the result into these
dataclasses once, at the entry, and plain dataclasses are passed on from there. ``optimizer`` and
``scheduler`` stay mappings with a ``_target_``, so that any class that torch has works by a YAML
file alone; their keys are checked against the signature of the target.
"""

import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from aam.errors import UserError


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices, naming the nearest right one."""
    if value in choices:
        return
    near = get_close_matches(value, choices, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{key}={value} is not one of {', '.join(choices)}{hint}")


def at_least(group: str, config: object, **least: float) -> None:
    """Refuse settings below their least value, and those that are no finite number."""
    for key, smallest in least.items():
        value = getattr(config, key)
        if value is not None and not smallest <= value < math.inf:
            raise UserError(f"{group}.{key}={value} must be at least {smallest:g}")


def above_zero(group: str, config: object, *keys: str) -> None:
    """Refuse settings that are not finite numbers above 0."""
    for key in keys:
        value = getattr(config, key)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{group}.{key}={value} must be above 0")


@dataclass(kw_only=True)
class DataConfig:
    """Where the data lie, and what of them is used."""

    name: str = "demo"
    table: str | None = None
    tree: str | None = None
    rep_seqs: str | None = None
    metadata: str | None = None
    distances: str | None = None
    group_column: str | None = None
    stratify_column: str | None = None
    rarefaction_depth: int | None = None
    min_sample_depth: int = 0
    min_prevalence: int = 0
    token_limit: int | None = 1024
    token_selection: str = "abundance"
    batch_size: int = 64
    unifrac: str = "unweighted"
    unifrac_alpha: float = 1.0
    demo_seed: int = 0

    def __post_init__(self) -> None:
        one_of("data.name", self.name, ("demo", "biom"))
        one_of("data.token_selection", self.token_selection, ("abundance", "random"))
        one_of("data.unifrac", self.unifrac, ("unweighted", "weighted", "generalized"))
        at_least("data", self, min_sample_depth=0, min_prevalence=0, demo_seed=0)
        # A batch of one sample has no pair, and so no distance to learn from.
        at_least("data", self, batch_size=2, token_limit=1, rarefaction_depth=1)
        if not 0 <= self.unifrac_alpha <= 1:
            raise UserError(f"data.unifrac_alpha={self.unifrac_alpha} must lie in [0, 1]")


@dataclass(kw_only=True)
class FamilyConfig:
    """One plot family's switches."""

    enabled: bool = True
    dpi: int = 120
    format: str = "png"

    def __post_init__(self) -> None:
        one_of("logging.families.*.format", self.format, ("png", "pdf", "svg"))
        at_least("logging.families.*", self, dpi=10)


@dataclass(kw_only=True)
class DiagnosticsConfig:
    """When a run is called sick. Losses and changes are in the unit of the loss.

    With ``relative``, the four limits on losses are multiplied by the size of the loss at the start
    of the run, so that a loss of 40 and one of 0.04 are judged alike.
    """

    relative: bool = False
    gap: float = 0.05
    plateau_change: float = 0.001
    plateau_epochs: int = 5
    std: float = 0.1
    std_epochs: int = 3
    rise: float = 0.02
    rise_epochs: int = 5

    def __post_init__(self) -> None:
        group = "logging.diagnostics"
        at_least(group, self, plateau_epochs=1, std_epochs=2, rise_epochs=1)
        at_least(group, self, gap=0, plateau_change=0, std=0, rise=0)


@dataclass(kw_only=True)
class LoggingConfig:
    """What is made from the facts. The facts themselves are always written.

    ``plots`` names the group of figures (``aam.monitoring.plan`` lists them); figures of a whole
    epoch are drawn every ``every_epochs`` epochs and at the end of the run.
    """

    make_plots: bool = True
    save_artifacts: bool = True
    plots: str = "standard"
    every_epochs: int = 1
    tensorboard: bool = True
    console: bool = True
    families: dict[str, FamilyConfig] = field(default_factory=dict)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        one_of("logging.plots", self.plots, ("minimal", "standard", "full"))
        at_least("logging", self, every_epochs=1)


@dataclass(kw_only=True)
class SplitConfig:
    """Which samples train, validate and test."""

    val_fraction: float = 0.15
    test_fraction: float = 0.15
    seed: int = 0


@dataclass(kw_only=True)
class LoopConfig:
    """What ``loop=pretrain`` learns from.

    An epoch is as many whole passes over the training samples as give ``min_updates`` batches: a
    study of 80 samples would else be judged, and lose its patience, after every other update.
    """

    name: str = "pretrain"
    unifrac_weight: float = 1.0
    nuc_weight: float = 0.01
    faith_pd_weight: float = 0.0
    count_weight: float = 0.0
    mask_fraction: float = 0.15
    mask_spans: bool = False
    masked_asvs: float = 0.25
    max_eval_samples: int = 512
    min_updates: int = 50

    def __post_init__(self) -> None:
        at_least("loop", self, min_updates=1, max_eval_samples=2)
        at_least("loop", self, nuc_weight=0, faith_pd_weight=0, count_weight=0)
        above_zero("loop", self, "unifrac_weight")
        for key in ("mask_fraction", "masked_asvs"):
            if not 0 < getattr(self, key) <= 1:
                raise UserError(f"loop.{key}={getattr(self, key)} must lie in (0, 1]")


@dataclass(kw_only=True)
class ModelConfig:
    """The shape of the encoder."""

    dim: int = 32
    num_heads: int = 2
    nucleotide_layers: int = 1
    sample_layers: int = 1
    patch_size: int = 5
    max_length: int = 300
    num_clades: int = 128
    sample_dropout: float = 0.0
    asv_chunk_size: int = 64
    activation_checkpointing: str = "none"

    def __post_init__(self) -> None:
        checkpointing = self.activation_checkpointing
        one_of("model.activation_checkpointing", checkpointing, ("none", "feedforward", "layer"))
        at_least("model", self, dim=1, num_heads=1, nucleotide_layers=1, sample_layers=0)
        at_least("model", self, patch_size=1, max_length=1, num_clades=1, asv_chunk_size=1)
        if not 0 <= self.sample_dropout < 1:
            raise UserError(f"model.sample_dropout={self.sample_dropout} must lie in [0, 1)")
        if self.dim % self.num_heads:
            raise UserError(
                f"model.dim={self.dim} is no multiple of model.num_heads={self.num_heads}"
            )


@dataclass(kw_only=True)
class TrainerConfig:
    """The epoch loop."""

    epochs: int = 50
    max_minutes: float | None = None
    max_grad_norm: float | None = None
    accumulate: int = 1
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    num_threads: int | None = None

    def __post_init__(self) -> None:
        one_of("trainer.precision", self.precision, ("fp32", "bf16"))
        at_least("trainer", self, epochs=1, accumulate=1, num_threads=1, seed=0)
        above_zero("trainer", self, "max_minutes", "max_grad_norm")
        if self.seed >= 2**63:  # the most that torch takes
            raise UserError(f"trainer.seed={self.seed} must be below 2^63")


@dataclass(kw_only=True)
class EarlyStoppingConfig:
    """When to stop waiting for a better epoch, and what better means."""

    patience: int | None = 10
    best_metric: str = "val_loss"

    def __post_init__(self) -> None:
        at_least("early_stopping", self, patience=1)


@dataclass(kw_only=True)
class Config:
    """A whole run."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    run_name: str | None = None

    def __post_init__(self) -> None:
        if self.run_name is not None and not re.fullmatch(r"[\w.-]+", self.run_name):
            raise UserError(
                f"run_name={self.run_name!r} becomes part of a folder's name: "
                "use letters, digits, '_', '-' and '.' only"
            )
