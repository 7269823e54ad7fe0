"""How much memory a training step takes, and which settings of the encoder keep it in bounds.

The numbers of vectors that a layer keeps were measured on the CPU (``docs/machine.md``) with
what the allocator wastes between them; a GPU, and bf16, need less. Shapes: U distinct ASVs,
P positions of an ASV (START among them), D width, T filled slots, B samples, K clades.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aam.config import ModelConfig
from aam.config.training import RECOMPUTED

GIB = 2**30
MARGIN = 1.15  # no estimate has been further off
_FLOAT = 4  # bytes
# From this width on it is as fast to compute the feed-forward halves again as to keep them.
_WIDE = 128
_CHUNK = 64
_CHUNKS = (_CHUNK, 32, 16, 8)
# Vectors that are kept for a position: in each layer, and beside the layers.
_KEPT = {"none": (17.0, 2.5), "feedforward": (10.0, 2.5), "layer": (4.5, 2.5)}
_OF_LAYER = 20  # vectors of a position, while one layer is computed forth and back
_COPIES = 4  # of a parameter: itself, its gradient, two moments
_MASKED_IN_EVAL = 1024  # ASVs


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """What of a batch memory depends on."""

    samples: int
    slots: int
    """Filled, of all samples."""
    asvs: int
    """Distinct."""
    learned_asvs: int
    """Encoded with a gradient: distinct ones, and those of a masked view once more."""
    positions: int
    """Of an ASV, START among them."""


def settled(shape: ModelConfig) -> ModelConfig:
    """The shape with what was left to the program, as for a machine of enough memory."""
    return next(_choices(shape))


def within(
    shape: ModelConfig, size: BatchSize, num_parameters: int, num_bytes: float
) -> ModelConfig | None:
    """The fastest choice of what was left to the program that takes no more; None if none does."""
    fits = (one for one in _choices(shape) if MARGIN * need(one, size, num_parameters) <= num_bytes)
    return next(fits, None)


def least_need(shape: ModelConfig, size: BatchSize, num_parameters: int) -> float:
    """Bytes of the most sparing choice, with the margin that a bound wants."""
    return MARGIN * min(need(one, size, num_parameters) for one in _choices(shape))


def need(shape: ModelConfig, size: BatchSize, num_parameters: int) -> float:
    """Bytes of a step or of an evaluation, whichever takes more; weights and moments among them.

    ``shape`` leaves nothing to the program.
    """
    step = _nucleotides(shape, size) + _samples(shape, size)
    return _COPIES * _FLOAT * num_parameters + max(step, _evaluation(shape, size))


def _choices(shape: ModelConfig) -> Iterator[ModelConfig]:
    """What may be chosen, the fastest first; an explicit setting is the only choice of its kind."""
    kinds: tuple[str, ...] = RECOMPUTED[1:] if shape.dim >= _WIDE else RECOMPUTED
    if shape.activation_checkpointing is not None:
        kinds = (shape.activation_checkpointing,)
    chunks = _CHUNKS if shape.asv_chunk_size is None else (shape.asv_chunk_size,)
    for kind in kinds:
        for chunk in chunks:
            yield replace(shape, activation_checkpointing=kind, asv_chunk_size=chunk)


def _nucleotides(shape: ModelConfig, size: BatchSize) -> float:
    of_layer, beside = _KEPT[str(shape.activation_checkpointing)]
    kept = size.learned_asvs * (of_layer * shape.nucleotide_layers + beside)
    return _FLOAT * shape.dim * size.positions * (kept + _OF_LAYER * _chunk(shape, size))


def _samples(shape: ModelConfig, size: BatchSize) -> float:
    """The sample level and the clade vectors; their layers keep all."""
    of_layer, beside = _KEPT["none"]
    vectors = size.slots * (of_layer * shape.sample_layers + beside)
    clades = 4 * size.asvs * (shape.num_clades + size.samples)
    pairs = 2 * size.samples**2 * shape.num_clades  # of weighted distances
    return _FLOAT * (shape.dim * vectors + clades + pairs)


def _evaluation(shape: ModelConfig, size: BatchSize) -> float:
    masked = 2 * min(size.asvs, _MASKED_IN_EVAL)
    positions = size.positions * (masked + _OF_LAYER * _chunk(shape, size))
    slots = _OF_LAYER * size.slots
    return _FLOAT * shape.dim * (positions + slots)


def _chunk(shape: ModelConfig, size: BatchSize) -> int:
    return min(int(shape.asv_chunk_size or _CHUNK), max(size.asvs, 1))
