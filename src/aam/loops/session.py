"""What all training loops share: a task and a config → a recorded, resumable training."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch

from aam.config import Config, one_of
from aam.errors import NonFiniteError, StopRequestedError, UserError
from aam.facts.meta import run_metadata
from aam.facts.reader import epoch_events, read_events
from aam.facts.recorder import Recorder
from aam.loops.beside import Beside
from aam.loops.prepared import Prepared
from aam.loops.resuming import refuse_other_inputs, refuse_other_settings
from aam.loops.run import Run
from aam.loops.telling import as_fact, planned, start_facts, test_facts, why
from aam.monitoring.diagnostics import Diagnosis, GuardedDiagnosis, Plan
from aam.monitoring.orchestrator import listeners
from aam.training.distributed import at_loss, explained, is_first, num_ranks, of_first
from aam.training.early_stopping import EarlyStopping
from aam.training.engine import Engine
from aam.training.optimizers import build_optimizer
from aam.training.run_folder import RunFolder
from aam.training.scheduling import Schedule
from aam.training.shards import load_model
from aam.training.spread import Spread, spread
from aam.training.task import Task


def train(made: Prepared, run: Run) -> float:
    """Train the task, look at the test set once, and return the best watched value.

    Raises
    ------
    NonFiniteError, StopRequestedError
        After the fact of it is written.
    """
    config, device, num_samples = made.config, made.device, made.num_samples
    watched = _watched(config, made.task, num_samples)
    _refuse_empty_shares(config, num_samples)
    task = spread(made.task, config.trainer, device)
    beside = made.beside if is_first() else None
    names = [*made.metric_names, *(beside.names() if beside else ())]
    recorder = Recorder(run.run_dir, loop=config.loop.name, metric_names=names, resume=run.resume)
    try:
        # What FSDP leaves of a parameter on one rank makes no histogram.
        parameters = None if config.trainer.strategy == "fsdp" else task.model.named_parameters
        for listener in listeners(config.logging, run.run_dir, parameters) if is_first() else []:
            recorder.add_listener(listener)
        kept = {"config": asdict(config)} | ({"recipe": beside.recipe} if beside else {})
        keeper = RunFolder(run.run_dir, kept)
        meta = of_first(
            lambda: run_metadata(
                seed=config.trainer.seed,
                device=str(device),
                inputs=made.inputs,
                num_samples=num_samples,
            )
        )
        meta |= planned(config) | {"num_ranks": num_ranks()}
        diagnosis = GuardedDiagnosis(config.logging.diagnostics, Plan.of(run.run_dir, meta))
        engine = _engine(task, made, watched, recorder, keeper, diagnosis)
        known = start_facts(meta, beside, keeper)
        with engine.stop:
            if run.resume:
                events = of_first(lambda: _events(run))
                refuse_other_inputs(events, meta["inputs"])
                keeper.take_stop_request()  # older than this resume: not meant for it
                state = of_first(keeper.load_last)
                refuse_other_settings(state["config"], kept["config"])
                engine.load_state_dict(state)
                best_epoch = engine.stopping.best_epoch
                if best_epoch is not None and not of_first(lambda: keeper.holds_best(best_epoch)):
                    engine.stopping.forget()
                diagnosis.take_up(
                    one for one in epoch_events(events) if one["epoch"] < engine.epoch
                )
                recorder.emit("on_resume", epoch=engine.epoch, step=engine.update, **known)
            else:
                recorder.emit("on_start", **known)
                keeper.save_last(engine.state_dict())  # a run killed in its first epoch resumes too
            at_loss(lambda error: _record_error(error, engine, recorder, diagnosis))
            _record(task, engine, recorder, keeper, beside, made.finish, diagnosis)
        best = engine.stopping.best_value
        return float("nan") if best is None else best
    finally:
        recorder.close()


def _watched(config: Config, task: Task, num_samples: Mapping[str, int]) -> str:
    """The figure that decides which epoch is best."""
    metric = config.early_stopping.best_metric
    one_of("early_stopping.best_metric", metric, ("val_loss", *task.figures))
    if config.optimized_metric is not None:
        one_of("optimized_metric", config.optimized_metric, ("val_loss", *task.figures))
    if num_samples["val"]:
        return metric
    if metric != "val_loss":
        raise UserError(
            f"early_stopping.best_metric={metric} needs validation samples; "
            "set split.val_fraction above 0"
        )
    return "train_loss"


def _refuse_empty_shares(config: Config, num_samples: Mapping[str, int]) -> None:
    num_shared = min(config.data.batch_size, num_samples["train"])
    if num_shared < num_ranks():
        raise UserError(
            f"{num_ranks()} processes cannot share batches of {num_shared} samples: start fewer "
            "(--nproc-per-node), or raise data.batch_size"
        )


def _engine(
    task: Task,
    made: Prepared,
    watched: str,
    recorder: Recorder,
    keeper: RunFolder,
    diagnosis: Diagnosis,
) -> Engine:
    config = made.config
    optimizer = build_optimizer(config.optimizer, task.model, made.lr_scales)
    schedule = Schedule(
        config.scheduler,
        optimizer,
        num_updates=made.updates_an_epoch * config.trainer.epochs,
        num_epochs=config.trainer.epochs,
    )
    stopping = EarlyStopping(metric=watched, patience=config.early_stopping.patience)
    return Engine(
        task,
        trainer=config.trainer,
        checkpoint=config.checkpoint,
        optimizer=optimizer,
        schedule=schedule,
        stopping=stopping,
        recorder=recorder,
        keeper=keeper,
        device=made.device,
        diagnosis=diagnosis,
    )


def _record(
    task: Task,
    engine: Engine,
    recorder: Recorder,
    keeper: RunFolder,
    beside: Beside | None,
    finish: Callable[[int], None] | None,
    diagnosis: Diagnosis,
) -> None:
    """Fit and test; whatever ends it early is a fact before it goes up."""
    try:
        engine.fit()
        best_epoch = _take_best(task, keeper)
        if finish is not None and best_epoch is not None:
            finish(best_epoch)
        _test(task, engine, recorder, keeper, beside, best_epoch)
    except (StopRequestedError, KeyboardInterrupt) as stop:
        try:
            recorder.emit("on_stop", epoch=engine.epoch, step=engine.update, reason=why(stop))
        finally:
            if engine.stop.is_urgent:
                recorder.listeners.clear()  # closing them would finish figures
        raise
    except Exception as raised:
        error = explained(raised)
        _record_error(error, engine, recorder, diagnosis)
        raise error from error.__cause__


def _record_error(
    error: Exception, engine: Engine, recorder: Recorder, diagnosis: Diagnosis
) -> None:
    where: dict[str, Any] = {"epoch": engine.epoch, "step": engine.update}
    if isinstance(error, NonFiniteError):
        where["diagnostics"] = diagnosis.nonfinite(engine.epoch, error.what)
    with suppress(OSError):  # as on a full disk: the error itself is then told by the command alone
        recorder.emit("on_exception", error=as_fact(error), **where)


def _events(run: Run) -> list[dict[str, Any]]:
    """What the run that goes on has told before."""
    assert run.run_dir is not None
    return read_events(run.run_dir)


def _take_best(task: Task, keeper: RunFolder) -> int | None:
    """Put the best weights into the model, in eval mode; their epoch (from 1), if there is one."""
    weights, epoch = of_first(lambda: _best(keeper))
    if weights is not None:
        load_model(task.model, weights)
    if isinstance(task, Spread):
        task.bring_together()
    task.model.eval()
    return epoch


def _best(keeper: RunFolder) -> tuple[dict[str, Any] | None, int | None]:
    best = keeper.best()
    return (None, None) if best is None else (best["model"], best["epoch"])


def _test(
    task: Task,
    engine: Engine,
    recorder: Recorder,
    keeper: RunFolder,
    beside: Beside | None,
    best_epoch: int | None,
) -> None:
    """Judge the best model on the test set: once, after the choice was made on validation."""
    with torch.no_grad():
        evaluation = task.evaluate("test")
    if evaluation is None:
        return
    engine.raise_if_asked()  # before it is told: a run that goes on then tests but once
    recorder.emit(
        "on_test_end",
        epoch=None if best_epoch is None else best_epoch - 1,
        step=engine.update,
        best=engine.stopping.as_fact(),
        **test_facts(evaluation, beside, keeper),
    )
