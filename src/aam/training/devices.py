"""Devices, threads, seeds and memory."""

import resource
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from aam.config import TrainerConfig
from aam.errors import UserError
from aam.training.ranks import is_launched, local_rank, num_local


def pick_device(trainer: TrainerConfig) -> torch.device:
    """``auto`` takes a CUDA device, then Apple's, then the CPU.

    Of several processes on a machine each takes a CUDA device of its own, unless one is named.

    Raises
    ------
    UserError
        If the asked-for device is not there, or cannot compute in the asked-for precision.
    """
    name = trainer.device
    if name == "auto":
        mps = torch.backends.mps.is_available() and not is_launched()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if name == "cuda" and is_launched():
        num_gpus = torch.cuda.device_count()
        if num_local() > num_gpus:
            raise UserError(
                f"torchrun started {num_local()} processes on a machine with {num_gpus} GPUs: give "
                f"--nproc-per-node={num_gpus}, or trainer.device=cpu"
            )
        name = f"cuda:{local_rank()}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a "meta" device holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"trainer.device={name} is not to be had here ({str(error).splitlines()[0]}); "
            "use trainer.device=auto"
        ) from None
    wants_bf16 = trainer.precision == "bf16" and device.type == "cuda"
    if wants_bf16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("this GPU has no bf16; use trainer.precision=fp32")
    return device


def seed_everything(trainer: TrainerConfig) -> None:
    """Seed torch and set its threads. Data draws have generators of their own."""
    torch.manual_seed(trainer.seed)
    if trainer.num_threads is not None:
        torch.set_num_threads(trainer.num_threads)


def autocast(trainer: TrainerConfig, device: torch.device) -> AbstractContextManager[Any]:
    """What a forward pass is made in, by ``trainer.precision``."""
    if trainer.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def peak_memory_mib(device: torch.device) -> float:
    """The most memory so far: of the GPU where there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
