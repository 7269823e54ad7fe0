"""An encoder fitted to the machine that trains it: within its memory, and compiled if asked for.

What is set here changes how fast an encoder computes and what it keeps, not what it computes.
"""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aam.config import Config, ModelConfig, PretrainConfig
from aam.data.batches import BatchMaker
from aam.errors import UserError
from aam.models.encoder import Encoder
from aam.models.memory import GIB, BatchSize, least_need, need, within
from aam.training.devices import peak_memory_mib
from aam.training.distributed import most, num_ranks

_LOOKS = 3  # batches are alike
_LATE_GIB = 0.15  # of libraries that the first update loads
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container or a job may take


def fit_to_machine(
    encoder: Encoder,
    config: Config,
    maker: BatchMaker,
    samples: NDArray[np.int64],
    device: torch.device,
) -> None:
    """Set what is computed again, and how many ASVs at a time, and compile if that is asked for.

    ``samples`` are the rows to train on.

    Raises
    ------
    UserError
        If no choice fits into ``trainer.memory_gib``, or there is no compiler.
    """
    nucleotides = encoder.nucleotides
    if config.trainer.memory_gib is not None:
        size = batch_size_of(config, maker, samples)
        shape = _bounded(config, size, num_parameters(encoder), device)
        nucleotides.spare(
            asv_chunk_size=int(shape.asv_chunk_size or 0),
            activation_checkpointing=str(shape.activation_checkpointing),
        )
    if config.trainer.compile:
        _refuse_without_compiler(device)
        nucleotides.compile_blocks()


def batch_size_of(config: Config, maker: BatchMaker, samples: NDArray[np.int64]) -> BatchSize:
    """The largest of a few training batches, of this process's share of the samples."""
    rng = np.random.default_rng(config.trainer.seed)
    num_samples = -(-min(config.data.batch_size, len(samples)) // num_ranks())
    asvs, slots = 0, 0
    for _ in range(_LOOKS):
        batch = maker.training(rng.choice(samples, num_samples, replace=False), rng)
        asvs, slots = max(asvs, len(batch.tokens)), max(slots, int(batch.mask.sum()))
    return BatchSize(
        samples=num_samples,
        slots=slots,
        asvs=asvs,
        learned_asvs=round(asvs * _share_learned(config)),
        positions=1 - -(maker.study.tokens.shape[1] - 1) // config.model.patch_size,
    )


def held_gib(device: torch.device) -> float:
    """What is taken beside a step: the program and the study, but on a GPU nothing."""
    if device.type == "cuda":
        return 0.0
    return peak_memory_mib(device) / 1024 + _LATE_GIB


def machine_gib(device: torch.device) -> float:
    """What the device has, or the machine or container where that is the CPU's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2**30
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # there is none, or it says "max"
        total = min(total, int(_CGROUP.read_text(encoding="ascii")))
    return total / 2**30


def estimated_gib(encoder: Encoder, config: Config, size: BatchSize) -> float:
    """GiB of a step as the encoder is set now, without what the process holds beside it."""
    nucleotides = encoder.nucleotides
    shape = replace(
        config.model,
        asv_chunk_size=nucleotides.asv_chunk_size,
        activation_checkpointing=nucleotides.activation_checkpointing,
    )
    return need(shape, size, num_parameters(encoder)) / GIB


def num_parameters(model: nn.Module) -> int:
    """Numbers that are learned or could be."""
    return sum(parameter.numel() for parameter in model.parameters())


def _share_learned(config: Config) -> float:
    """ASVs that are encoded with a gradient, for each distinct one of a batch."""
    if isinstance(config.loop, PretrainConfig):
        masked = config.loop.masked_asvs if config.loop.nuc_weight else 0.0
        return config.loop.gradient_asvs + masked
    return 1 if config.freeze == "none" else 0


def _bounded(
    config: Config, size: BatchSize, num_weights: int, device: torch.device
) -> ModelConfig:
    bound = float(config.trainer.memory_gib or 0)
    # Processes that train together hold more or less, and shall choose alike.
    held = most(round(1024 * held_gib(device)))[0] / 1024
    shape = within(config.model, size, num_weights, (bound - held) * GIB)
    if shape is None:
        least = held + least_need(config.model, size, num_weights) / GIB
        raise UserError(
            f"trainer.memory_gib={bound:g} is less than the {least:.2f} GiB that the program "
            f"({held:.2f}) and a step with {size.asvs} distinct ASVs need at least: lower "
            f"data.batch_size ({config.data.batch_size}) or data.token_limit, or choose a smaller "
            "model="
        )
    return shape


def _refuse_without_compiler(device: torch.device) -> None:
    """Compile next to nothing, so that what is missing is told before the training begins."""
    try:
        torch.compile(torch.nn.functional.gelu)(torch.zeros(8, device=device))
    except Exception as error:  # of many kinds: no g++, no Triton, no Python headers
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"trainer.compile=true cannot compile here ({type(error).__name__}: {reason}): install "
            "a C++ compiler such as g++ (a GPU wants Triton), or set it to false"
        ) from None
