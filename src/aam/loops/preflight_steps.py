"""A few updates and a validation of a training that is only looked at: their seconds and memory."""

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from aam.errors import NonFiniteError
from aam.loops.prepared import Prepared
from aam.loops.updates import Updates
from aam.training.devices import peak_memory_mib
from aam.training.optimizers import build_optimizer, set_mode

_UPDATES, _ENOUGH_S = 3, 20.0
_DEAR_S = 60.0  # a validation that would take longer is not made


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What was measured; seconds of an update are a median, the first left out."""

    first_s: float
    update_s: float
    busy: float
    """CPU time by wall time of an update: well below 1 on one thread, others use the machine."""
    one_thread_s: float | None
    """None where there is but one, or their number was given."""
    validation_s: float | None
    """None where there is nothing to validate on, or it would take long."""
    samples: int
    """Of an update."""
    loss: float
    most_gib: float
    checkpoint_bytes: int


def timed(made: Prepared) -> Timed:
    """Make a few updates on the first batches, and validate once. The model is spoiled by it.

    Raises
    ------
    NonFiniteError
        If the loss of the first update is NaN or infinite.
    """
    model = made.task.model
    optimizer = build_optimizer(made.config.optimizer, model, made.lr_scales)
    updates = Updates(made, optimizer)
    first_s, loss, samples = update(updates)
    if not math.isfinite(loss):
        way = "" if made.config.trainer.precision == "fp32" else "; try trainer.precision=fp32"
        raise NonFiniteError(f"the loss is {loss} before any update", way)
    seconds: list[float] = []
    cpu_before = time.process_time()
    while len(seconds) < _UPDATES and sum(seconds) < _ENOUGH_S:
        seconds.append(update(updates)[0])
    busy = (time.process_time() - cpu_before) / sum(seconds)
    update_s = statistics.median(seconds)
    one_thread_s = None
    if _chooses_threads(made) and update_s < _ENOUGH_S:
        with _one_thread():
            one_thread_s = update(updates)[0]
    set_mode(optimizer, training=False)
    return Timed(
        first_s=first_s,
        update_s=update_s,
        busy=busy,
        one_thread_s=one_thread_s,
        validation_s=_validation(made, update_s / samples),
        samples=samples,
        loss=loss,
        most_gib=peak_memory_mib(made.device) / 1024,
        checkpoint_bytes=_num_bytes(model.state_dict()) + _num_bytes(optimizer.state_dict()),
    )


def update(updates: Updates) -> tuple[float, float, int]:
    """Make one; its seconds, the making of its batches included, its loss and its samples."""
    started = time.perf_counter()
    loss, samples = updates.backward()
    updates.step()
    return time.perf_counter() - started, loss, samples


def _validation(made: Prepared, sample_s: float) -> float | None:
    """Seconds; what is drawn once is paid for by a first round, where that is quick.

    ``sample_s``: what a sample takes in training.
    """
    num_samples = made.num_samples["val"]
    if not num_samples or num_samples * sample_s > _DEAR_S:
        return None
    made.task.model.eval()
    for _ in range(2):
        started = time.perf_counter()
        with torch.no_grad():
            made.task.evaluate("val")
        seconds = time.perf_counter() - started
        if seconds > _ENOUGH_S:
            break
    return seconds


def _chooses_threads(made: Prepared) -> bool:
    is_open = made.config.trainer.num_threads is None
    return is_open and made.device.type == "cpu" and torch.get_num_threads() > 1


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _num_bytes(state: Any) -> int:
    """Of all tensors in a state."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(_num_bytes, state.values()))
    return sum(map(_num_bytes, state)) if isinstance(state, list | tuple) else 0
