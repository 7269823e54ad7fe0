"""``loop=lr_find``: raise the learning rate from update to update, and suggest one.

It trains as the loop does that is examined, once, until the loss explodes. The search is epoch 0 of
the facts; the weights are good for nothing and are not kept.
"""

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from aam.config import Config, LrFindConfig
from aam.errors import UserError
from aam.facts.listener import Progress
from aam.facts.meta import run_metadata
from aam.facts.recorder import Recorder
from aam.loops import find_prepare
from aam.loops.lr_curve import Explosion, Rates, as_metrics, rates_of, smoothed
from aam.loops.prepared import Prepared
from aam.loops.run import Run
from aam.loops.telling import ends_told, planned
from aam.loops.updates import Updates
from aam.monitoring.orchestrator import listeners
from aam.training.devices import peak_memory_mib
from aam.training.distributed import num_ranks
from aam.training.optimizers import build_optimizer
from aam.training.run_folder import RunFolder

METRIC_NAMES = ("total_loss", "suggested_lr", "steepest_lr", "tenth_lr", "last_lr")
TABLE = "lr_find"
_log = logging.getLogger(__name__)


def lr_find(config: Config, run: Run) -> float:
    """Search, record the curve, and return the suggested rate; NaN where there is none.

    Raises
    ------
    UserError
        As the loop that is examined; or several processes were started.
    """
    loop = config.loop
    assert isinstance(loop, LrFindConfig)
    if num_ranks() > 1:
        raise UserError("loop=lr_find searches in one process: start it without torchrun")
    examined = config.of_examined(loop)
    prepare = find_prepare(examined.loop.name)
    assert prepare is not None
    made = prepare(examined, run)
    recorder = Recorder(run.run_dir, loop=loop.name, metric_names=METRIC_NAMES)
    try:
        for listener in listeners(config.logging, run.run_dir):
            recorder.add_listener(listener)
        meta = run_metadata(
            seed=config.trainer.seed,
            device=str(made.device),
            inputs=made.inputs,
            num_samples={"train": made.num_samples["train"]},  # no other part is looked at
        )
        plan = planned(config) | {"num_epochs": 1, "lr": None, "examined": examined.loop.name}
        recorder.emit("on_start", meta=meta | plan)
        with ends_told(recorder):
            return _search(made, loop, recorder, RunFolder(run.run_dir, {}))
    finally:
        recorder.close()


def _search(made: Prepared, loop: LrFindConfig, recorder: Recorder, keeper: RunFolder) -> float:
    started = time.perf_counter()
    steps = []
    for step in _updates(made, loop):
        steps.append(step)
        lr, loss, _ = step
        values = {"total_loss": loss, "lr": lr}
        recorder.progress(Progress(0, 1, len(steps), loop.num_updates, values))
    seconds = time.perf_counter() - started
    lr_N, loss_N, size_N = np.array(steps).T
    finite_N = np.isfinite(loss_N)  # all but the last, at most
    smooth_N = np.full(len(loss_N), np.nan)
    loss_N[~finite_N] = np.nan
    smooth_N[finite_N] = smoothed(loss_N[finite_N], loop.smoothing, loop.explosion)
    rates = rates_of(lr_N[finite_N], loss_N[finite_N], smooth_N[finite_N])
    _warn(rates, loop, float(lr_N[-1]))
    table = {
        "update": np.arange(1, len(lr_N) + 1),
        "lr": lr_N,
        "loss": loss_N,
        "smoothed": smooth_N,
    }
    lowest = float(np.nanmin(smooth_N)) if finite_N.any() else None
    fact: dict[str, Any] = {
        "epoch": 0,
        "step": len(lr_N),
        "train_loss": lowest,
        "lr": rates and rates.suggested,
        "metrics": {"train": {"total_loss": lowest, **as_metrics(rates), "last_lr": lr_N[-1]}},
        "epoch_time_s": seconds,
        "total_time_s": seconds,
        "throughput": size_N.sum() / seconds,
        "max_memory_mib": peak_memory_mib(made.device),
        "artifacts": keeper.save_tables({TABLE: table}),
    }
    recorder.emit("on_epoch_end", **fact)
    recorder.emit("on_train_end", **fact)
    return math.nan if rates is None else rates.suggested


def _updates(made: Prepared, loop: LrFindConfig) -> Iterator[tuple[float, float, int]]:
    """Rate, loss and number of samples of each update, to the end of the search."""
    settings = {**made.config.optimizer, "lr": loop.min_lr}
    optimizer = build_optimizer(settings, made.task.model, made.lr_scales)
    shares = [group["lr"] / loop.min_lr for group in optimizer.param_groups]
    explosion = Explosion(loop.smoothing, loop.explosion)
    updates = Updates(made, optimizer)
    for lr in np.geomspace(loop.min_lr, loop.max_lr, loop.num_updates):
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = share * float(lr)
        loss, num_samples = updates.backward()
        yield float(lr), loss, num_samples
        if explosion.comes_with(loss) or not updates.step():
            return


def _warn(rates: Rates | None, loop: LrFindConfig, last_lr: float) -> None:
    if rates is None:
        _log.warning(
            "no learning rate is suggested: from loop.min_lr=%g to %.2g, where the search ended, "
            "the loss did not fall by twice its scatter; lower loop.min_lr, or raise "
            "loop.num_updates",
            loop.min_lr, last_lr,
        )  # fmt: skip
    elif rates.is_falling:
        _log.warning(
            "the loss still fell at loop.max_lr=%g, where the search ended: raise it", loop.max_lr
        )
