"""The shape of the encoder, and how it is trained."""

from dataclasses import dataclass

from aam.config.checks import above_zero, at_least, fraction_below_one, one_of
from aam.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_TO_RESUME,
    EXIT_OK,
    EXIT_USER_ERROR,
    UserError,
)

RECOMPUTED = ("none", "feedforward", "layer")  # ``aam.models.layers.Block``
_TAKEN_CODES = (EXIT_OK, EXIT_FAILED, EXIT_USER_ERROR, EXIT_NOTHING_TO_RESUME)


@dataclass(kw_only=True)
class ModelConfig:
    """The shape of the encoder.

    ``asv_chunk_size`` and ``activation_checkpointing`` do not shape what is learned: null leaves
    them to the program (``aam.models.memory``).
    """

    dim: int = 32
    num_heads: int = 2
    nucleotide_layers: int = 1
    sample_layers: int = 1
    patch_size: int = 10
    max_length: int = 300
    num_clades: int = 128
    sample_dropout: float = 0.0
    asv_chunk_size: int | None = None
    activation_checkpointing: str | None = None

    def __post_init__(self) -> None:
        if self.activation_checkpointing is not None:
            one_of("model.activation_checkpointing", self.activation_checkpointing, RECOMPUTED)
        at_least("model", self, dim=1, num_heads=1, nucleotide_layers=1, sample_layers=0)
        at_least("model", self, patch_size=1, max_length=1, num_clades=1, asv_chunk_size=1)
        fraction_below_one("model", self, "sample_dropout")
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
    memory_gib: float | None = None
    compile: bool = False
    strategy: str = "auto"
    wait_minutes: float = 60

    def __post_init__(self) -> None:
        one_of("trainer.precision", self.precision, ("fp32", "bf16"))
        one_of("trainer.strategy", self.strategy, ("auto", "ddp", "fsdp"))
        at_least("trainer", self, epochs=1, accumulate=1, num_threads=1, seed=0)
        above_zero("trainer", self, "max_minutes", "max_grad_norm", "wait_minutes", "memory_gib")
        if self.seed >= 2**63:  # the most that torch takes
            raise UserError(f"trainer.seed={self.seed} must be below 2^63")


@dataclass(kw_only=True)
class CheckpointConfig:
    """When a run saves where it stands, and how it says that it was interrupted."""

    every_minutes: float | None = 15
    exit_code: int = EXIT_INTERRUPTED

    def __post_init__(self) -> None:
        above_zero("checkpoint", self, "every_minutes")
        if self.exit_code in _TAKEN_CODES or not 0 < self.exit_code < 256:
            raise UserError(
                f"checkpoint.exit_code={self.exit_code} must be a number from 3 to 255 that says "
                f"nothing else, as {EXIT_NOTHING_TO_RESUME} does: choose another"
            )


@dataclass(kw_only=True)
class EarlyStoppingConfig:
    """When to stop waiting for a better epoch, and what better means."""

    patience: int | None = 10
    best_metric: str = "val_loss"

    def __post_init__(self) -> None:
        at_least("early_stopping", self, patience=1)
