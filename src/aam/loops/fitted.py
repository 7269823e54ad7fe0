"""Loops that fit at once, without epochs: the same facts, tables and figures as those that train.

The fit is epoch 0. Shapes: n samples of a part, T columns, C classes.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aam.config import one_of
from aam.data.predictions import prediction_table
from aam.errors import UserError
from aam.facts.meta import run_metadata
from aam.facts.recorder import Recorder
from aam.loops.beside import Beside
from aam.loops.pretrained import inputs_of
from aam.loops.run import Run
from aam.loops.supervised import Supervised
from aam.loops.target_task import TABLES
from aam.loops.telling import ends_told, start_facts, test_facts
from aam.losses.metrics import judge
from aam.monitoring.orchestrator import listeners
from aam.training.distributed import num_ranks
from aam.training.run_folder import RunFolder
from aam.training.task import Evaluation


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves: how it predicts, and what a checkpoint must keep to do so again."""

    predict: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    """Rows of the study → ``[n, T]`` in own units, or probabilities ``[n, C]``."""
    model: dict[str, Any] | None = None
    """A state dict; None where the model cannot be kept without code."""


def fit_and_record(
    data: Supervised,
    run: Run,
    *,
    beside: Beside,
    device: str,
    fit: Callable[[], Fitted],
) -> float:
    """Fit, judge on validation and once on the test part; returns the watched loss.

    Raises
    ------
    UserError
        If several processes were started: nothing here could be shared among them.
    """
    config = data.config
    if num_ranks() > 1:
        raise UserError(
            f"loop={config.loop.name} fits at once, in one process: start it without torchrun"
        )
    names = ("total_loss", "target_loss", *beside.names())
    if config.optimized_metric is not None:
        one_of("optimized_metric", config.optimized_metric, ("val_loss", *names))
    recorder = Recorder(run.run_dir, loop=config.loop.name, metric_names=names, resume=run.resume)
    try:
        for listener in listeners(config.logging, run.run_dir):
            recorder.add_listener(listener)
        keeper = RunFolder(run.run_dir, {"config": asdict(config), "recipe": beside.recipe})
        meta = run_metadata(
            seed=config.trainer.seed,
            device=device,
            inputs=inputs_of(config, data.study.files),
            num_samples=data.num_samples,
        ) | {"num_epochs": 1}
        recorder.emit("on_start", **start_facts(meta, beside, keeper))
        with ends_told(recorder):
            return _fit(data, beside, recorder, keeper, fit)
    finally:
        recorder.close()


def _fit(
    data: Supervised,
    beside: Beside,
    recorder: Recorder,
    keeper: RunFolder,
    fit: Callable[[], Fitted],
) -> float:
    started = time.perf_counter()
    fitted = fit()
    judged = {part: _judge(data, fitted, part) for part in ("train", "val")}
    figures = {part: dict(one.metrics) for part, one in judged.items() if one}
    watched = "val" if "val" in figures else "train"
    loss = figures[watched]["total_loss"]
    seconds = time.perf_counter() - started
    best = {"epoch": 0, "metric": f"{watched}_loss", "value": loss}
    fact: dict[str, Any] = {
        "epoch": 0,
        "step": 0,
        "train_loss": figures["train"]["total_loss"],
        "val_loss": figures["val"]["total_loss"] if "val" in figures else None,
        "metrics": figures,
        "epoch_time_s": seconds,
        "total_time_s": seconds,
        "throughput": len(data.split.train) / seconds,
        "best": best,
    }
    recorder.emit("on_epoch_end", **fact)
    artifacts = keeper.save_tables(judged["val"].tables) if judged["val"] else {}
    if fitted.model is not None:
        artifacts |= keeper.save_best({"model": fitted.model, "epoch": 1})
    recorder.emit("on_validation_improved", **fact, artifacts=artifacts)
    recorder.emit("on_train_end", epoch=0, step=0, best=best, total_time_s=seconds)
    test = _judge(data, fitted, "test")
    if test is not None:
        facts = test_facts(test, beside, keeper)
        recorder.emit("on_test_end", epoch=0, step=0, best=best, **facts)
    return loss


def _judge(data: Supervised, fitted: Fitted, part: str) -> Evaluation | None:
    rows = getattr(data.split, part)
    if not len(rows):
        return None
    outputs = fitted.predict(rows)
    loss = target_loss(data, rows, outputs)
    metrics = {"total_loss": loss, "target_loss": loss, **judge(data.target, rows, outputs)}
    table = prediction_table(data.study, data.target, rows, outputs, groups=data.groups)
    return Evaluation(metrics=metrics, tables={TABLES[part]: table} if part in TABLES else {})


def target_loss(data: Supervised, rows: NDArray[np.int64], outputs: NDArray[np.float64]) -> float:
    """Mean squared error in the transformed unit, or cross entropy in nats."""
    transform, values = data.recipe.transform, data.target.values[rows]
    if transform is not None:
        error = transform.forward(outputs) - transform.forward(values.astype(np.float64))
        return float((error**2).mean())
    true = outputs[np.arange(len(rows)), values.astype(np.int64)]
    return float(-np.log(np.maximum(true, 1e-12)).mean())
