"""Several processes as one training: how ranks meet, share a batch and agree.

Every rank draws the same global batch and takes its own share of the samples. What it gives to the
backward pass is such that the mean over ranks is the loss of the global batch, for a mean over
ranks is what DDP and FSDP make of gradients. Where one process trains, each function gives back
what it was given.

Shapes: B samples of the global batch, b samples of this rank, K clades.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from aam.config import TrainerConfig
from aam.errors import RankLostError, UserError
from aam.training import ranks
from aam.training.devices import pick_device
from aam.training.lifeline import Lifeline, Meeting, meet_first

T = TypeVar("T")
CPU = torch.device("cpu")  # what ranks tell each other beside tensors never waits for a GPU
_lifeline: Lifeline | None = None


@contextmanager
def joined(
    trainer: TrainerConfig, last_words: Callable[[Exception], object] = str
) -> Iterator[None]:
    """Train together with the other processes that ``torchrun`` started, while the block runs.

    Where another rank is lost and this one hangs, so that nothing can be raised, ``last_words`` is
    called from another thread before the process ends.

    Raises
    ------
    UserError
        If ``trainer.strategy`` needs several processes and this is one alone.
    """
    if not ranks.is_launched() and trainer.strategy != "auto":
        raise UserError(
            f"trainer.strategy={trainer.strategy} needs torchrun: start with torchrun "
            "--nproc-per-node=2 -m aam.cli.train …, or leave it out"
        )
    if ranks.num_launched() == 1 and trainer.strategy == "auto":
        yield
        return
    device = pick_device(trainer)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    has_own_gpu = device.type == "cuda" and trainer.device in ("auto", "cuda")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if has_own_gpu else "gloo",
        timeout=timedelta(minutes=trainer.wait_minutes),
    )
    global _lifeline
    lifeline = Lifeline(_connections(), last_words)
    try:
        with lifeline as _lifeline:
            yield
    except BaseException as error:
        if not has_own_gpu:  # NCCL could hang here
            dist.destroy_process_group()  # who waits for this rank in a collective may fail at once
        if ranks.rank():
            lifeline.outlast()
        raise (explained(error) if isinstance(error, Exception) else error) from error.__cause__
    else:
        dist.destroy_process_group()
    finally:
        _lifeline = None


def _connections() -> dict[int, socket.socket]:
    """From the first rank to all others, or from another one to the first."""
    meeting = Meeting() if is_first() else None
    port, token = of_first(lambda: (meeting.port, meeting.token) if meeting else None) or (0, b"")
    if meeting is not None:
        return meeting.wait_for(num_ranks() - 1)
    return meet_first(os.environ["MASTER_ADDR"], port, token, dist.get_rank())


def num_ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not dist.is_initialized() or dist.get_rank() == 0


def own_rows(num_rows: int) -> slice:
    """This rank's share of so many rows: none is in two shares, and sizes are as even as can be."""
    return _shares(num_rows)[dist.get_rank() if dist.is_initialized() else 0]


def share(own: float, whole: float) -> float:
    """What a mean over ``own`` elements of ``whole`` is to be multiplied with.

    The mean over ranks of the products is the mean over all elements.
    """
    return 1.0 if num_ranks() == 1 else num_ranks() * own / (whole or 1)


def mean_of_all(own_n: Tensor, num_all: int) -> Tensor:
    """This rank's part in the mean over the elements of all ranks, of which it may have none."""
    if num_ranks() == 1:
        return own_n.mean()
    return own_n.sum() * (num_ranks() / num_all)


def gathered(x_bK: Tensor, num_rows: int) -> Tensor:
    """The rows of all ranks ``[B, K]``, in the order of ``own_rows``, each with its gradient."""
    if num_ranks() == 1:
        return x_bK
    x_BK: Tensor = _Gather.apply(x_bK, num_rows)  # type: ignore[no-untyped-call]
    return x_BK


def mean_over_ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Figures averaged over ranks: the same numbers, bit for bit, on each."""
    if num_ranks() == 1:
        return dict(values)
    own_V = torch.tensor(list(values.values()), dtype=torch.float64)
    all_RV = [torch.empty_like(own_V) for _ in range(num_ranks())]
    dist.all_gather(all_RV, own_V)
    return dict(zip(values, torch.stack(all_RV).mean(0).tolist(), strict=True))


def most(*numbers: int) -> tuple[int, ...]:
    """The largest that any rank gave, of each number: all do next what one has reason to."""
    if num_ranks() == 1:
        return numbers
    held = torch.tensor(numbers)
    dist.all_reduce(held, dist.ReduceOp.MAX)
    return tuple(held.tolist())


def of_first(make: Callable[[], T]) -> T:
    """What the first rank makes, on every rank; the others make nothing.

    Raises
    ------
    RankLostError
        On the others, if it fails on the first.
    """
    if num_ranks() == 1:
        return make()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = make()
        except Exception as error:
            dist.broadcast_object_list([None, f"{type(error).__name__}: {error}"], device=CPU)
            raise
    dist.broadcast_object_list(told, device=CPU)
    if told[1] is not None:
        raise RankLostError(f"the first rank ended with {told[1]}")
    made: T = told[0]
    return made


def at_loss(tell: Callable[[Exception], object]) -> None:
    """Have ``tell`` called, from another thread, where a rank is lost and this one hangs."""
    if _lifeline is not None:
        _lifeline.at_loss = tell


def explained(error: Exception) -> Exception:
    """The loss of another rank, where that is what an error of the connection comes from."""
    if _lifeline is None:
        return error
    _lifeline.take_in_hand()
    is_of_connection = isinstance(error, dist.DistError) or "gloo" in str(error)
    if isinstance(error, RankLostError) or not is_of_connection:
        return error
    loss = _lifeline.loss() or f"the other ranks could not be heard any more: {error}"
    explained = RankLostError(loss)
    explained.__cause__ = error
    return explained


class _Gather(torch.autograd.Function):
    """All ranks' rows. Each rank computes the same loss from them, so its own gradient is there."""

    @staticmethod
    def forward(ctx: Any, own_bK: Tensor, num_rows: int) -> Tensor:
        shares = _shares(num_rows)
        sizes = [rows.stop - rows.start for rows in shares]
        padded = F.pad(own_bK, (0, 0, 0, max(sizes) - len(own_bK))).contiguous()
        blocks = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(blocks, padded)
        ctx.rows = shares[dist.get_rank()]
        return torch.cat([block[:size] for block, size in zip(blocks, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][ctx.rows] * num_ranks(), None  # gradients are averaged afterwards


def _shares(num_rows: int) -> list[slice]:
    """Of each rank."""
    size, rest = divmod(num_rows, num_ranks())
    starts = [rank * size + min(rank, rest) for rank in range(num_ranks() + 1)]
    return [slice(start, stop) for start, stop in pairwise(starts)]
