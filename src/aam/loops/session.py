"""What all training loops share: a task and a config → a recorded, resumable training."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from aam.config import Config, one_of
from aam.errors import StopRequestedError
from aam.facts.meta import run_metadata
from aam.facts.recorder import Recorder
from aam.loops.run import Run
from aam.monitoring.diagnostics import diagnose
from aam.monitoring.orchestrator import listeners
from aam.training.checkpoint import BEST, LAST, load_checkpoint
from aam.training.early_stopping import EarlyStopping
from aam.training.engine import Engine, Task
from aam.training.optim import Schedule, build_optimizer
from aam.training.run_folder import RunFolder


def train(
    task: Task,
    config: Config,
    run: Run,
    *,
    device: torch.device,
    metric_names: Sequence[str],
    inputs: Mapping[str, Path],
    num_samples: Mapping[str, int],
) -> float:
    """Train the task, look at the test set once, and return the best watched value.

    Raises
    ------
    NonFiniteError, StopRequestedError
        After the fact of it is written.
    """
    best_metric = config.early_stopping.best_metric
    one_of("early_stopping.best_metric", best_metric, ("val_loss", *metric_names))
    state = load_checkpoint(run.run_dir / LAST) if run.resume and run.run_dir else None
    recorder = Recorder(
        run.run_dir, loop=config.loop.name, metric_names=metric_names, resume=run.resume
    )
    try:
        for listener in listeners(config.logging, run.run_dir):
            recorder.add_listener(listener)
        keeper = RunFolder(run.run_dir, asdict(config))
        engine = _engine(task, config, recorder, keeper, device)
        meta = run_metadata(
            seed=config.trainer.seed, device=str(device), inputs=inputs, num_samples=num_samples
        )
        if state is None:
            recorder.emit("on_start", meta=meta)
            keeper.save_last(engine.state_dict())  # a run killed in its first epoch resumes too
        else:
            engine.load_state_dict(state)
            recorder.emit("on_resume", epoch=engine.epoch, step=engine.update, meta=meta)
        _record(task, engine, recorder, keeper)
        best = engine.stopping.best_value
        return float("nan") if best is None else best
    finally:
        recorder.close()


def _engine(
    task: Task, config: Config, recorder: Recorder, keeper: RunFolder, device: torch.device
) -> Engine:
    optimizer = build_optimizer(config.optimizer, task.model)
    num_updates = -(-task.num_steps() // min(config.trainer.accumulate, task.num_steps()))
    schedule = Schedule(
        config.scheduler,
        optimizer,
        num_updates=num_updates * config.trainer.epochs,
        num_epochs=config.trainer.epochs,
    )
    stopping = EarlyStopping(
        metric=config.early_stopping.best_metric, patience=config.early_stopping.patience
    )
    return Engine(
        task,
        trainer=config.trainer,
        optimizer=optimizer,
        schedule=schedule,
        stopping=stopping,
        recorder=recorder,
        keeper=keeper,
        device=device,
        diagnose=partial(diagnose, thresholds=config.logging.diagnostics),
    )


def _record(task: Task, engine: Engine, recorder: Recorder, keeper: RunFolder) -> None:
    """Fit and test; whatever ends it early is a fact before it goes up."""
    try:
        engine.fit()
        _test(task, engine, recorder, keeper)
    except StopRequestedError:
        recorder.emit("on_stop", epoch=engine.epoch, step=engine.update)
        raise
    except (Exception, KeyboardInterrupt) as error:
        where: dict[str, Any] = {"epoch": engine.epoch, "step": engine.update}
        recorder.emit("on_exception", error=_as_fact(error), **where)
        raise


def _test(task: Task, engine: Engine, recorder: Recorder, keeper: RunFolder) -> None:
    """Judge the best model on the test set: once, after the choice was made on validation."""
    if keeper.run_dir is not None and (keeper.run_dir / BEST).exists():
        task.model.load_state_dict(load_checkpoint(keeper.run_dir / BEST)["model"])
    task.model.eval()
    with torch.no_grad():
        evaluation = task.evaluate("test")
    if evaluation is None:
        return
    artifacts = keeper.save_tables(evaluation.tables)
    best = engine.stopping.as_fact()
    recorder.emit(
        "on_test_end",
        epoch=None if best is None else best["epoch"],
        step=engine.update,
        metrics={"test": dict(evaluation.metrics)},
        best=best,
        artifacts=artifacts,
    )


def _as_fact(error: BaseException) -> dict[str, str]:
    text = "".join(traceback.format_exception(error))
    return {"type": type(error).__name__, "message": str(error), "traceback": text}
