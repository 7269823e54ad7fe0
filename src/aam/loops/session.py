"""What all training loops share: a task and a config → a recorded, resumable training."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from aam.config import Config, one_of
from aam.errors import NonFiniteError, StopRequestedError, UserError
from aam.facts.meta import run_metadata
from aam.facts.reader import epoch_events, read_events
from aam.facts.recorder import Recorder
from aam.loops.beside import Beside
from aam.loops.pretrained import PRETRAINED
from aam.loops.run import Run
from aam.monitoring.diagnostics import Diagnosis, GuardedDiagnosis, Plan
from aam.monitoring.orchestrator import listeners
from aam.training.checkpoint import LAST, load_checkpoint
from aam.training.early_stopping import EarlyStopping
from aam.training.engine import Engine, Evaluation, Task
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
    beside: Beside | None = None,
    lr_scales: Mapping[str, float] | None = None,
    finish: Callable[[int], None] | None = None,
) -> float:
    """Train the task, look at the test set once, and return the best watched value.

    ``beside`` is what a supervised loop adds: the target and its baselines. ``lr_scales`` gives
    parameters whose names begin so a share of the learning rate. ``finish`` is called with the best
    epoch (from 1) when the best model is in place, in eval mode, and before it is tested.

    Raises
    ------
    NonFiniteError, StopRequestedError
        After the fact of it is written.
    """
    watched = _watched(config, task, num_samples)
    state = load_checkpoint(run.run_dir / LAST) if run.resume and run.run_dir else None
    names = [*metric_names, *(beside.names() if beside else ())]
    recorder = Recorder(run.run_dir, loop=config.loop.name, metric_names=names, resume=run.resume)
    try:
        for listener in listeners(config.logging, run.run_dir, task.model.named_parameters):
            recorder.add_listener(listener)
        kept = {"config": asdict(config)} | ({"recipe": beside.recipe} if beside else {})
        keeper = RunFolder(run.run_dir, kept)
        meta = run_metadata(
            seed=config.trainer.seed, device=str(device), inputs=inputs, num_samples=num_samples
        ) | planned(config)
        diagnosis = GuardedDiagnosis(config.logging.diagnostics, Plan.of(run.run_dir, meta))
        engine = _engine(
            task, config, watched, recorder, keeper, device, lr_scales or {}, diagnosis
        )
        known = start_facts(meta, beside, keeper)
        with engine.stop:
            if state is None:
                recorder.emit("on_start", **known)
                keeper.save_last(engine.state_dict())  # a run killed in its first epoch resumes too
            else:
                assert run.run_dir is not None
                events = read_events(run.run_dir)
                _refuse_other_inputs(events, meta["inputs"])
                keeper.take_stop_request()  # older than this resume: not meant for it
                engine.load_state_dict(state)
                diagnosis.take_up(
                    one for one in epoch_events(events) if one["epoch"] < engine.epoch
                )
                recorder.emit("on_resume", epoch=engine.epoch, step=engine.update, **known)
            _record(task, engine, recorder, keeper, beside, finish, diagnosis)
        best = engine.stopping.best_value
        return float("nan") if best is None else best
    finally:
        recorder.close()


def _watched(config: Config, task: Task, num_samples: Mapping[str, int]) -> str:
    """The figure that decides which epoch is best."""
    metric = config.early_stopping.best_metric
    one_of("early_stopping.best_metric", metric, ("val_loss", *task.figures))
    if num_samples["val"]:
        return metric
    if metric != "val_loss":
        raise UserError(
            f"early_stopping.best_metric={metric} needs validation samples; "
            "set split.val_fraction above 0"
        )
    return "train_loss"


def _refuse_other_inputs(events: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]) -> None:
    """A run goes on with the very files that it was started with.

    But for ``pretrained``: what was taken from it is in the run's own checkpoint since.
    """
    before: dict[str, Any] = next(
        (event["meta"]["inputs"] for event in events if event["moment"] == "on_start"), {}
    )
    for key, file in inputs.items():
        if key in before and key != PRETRAINED and before[key]["sha256"] != file["sha256"]:
            raise UserError(
                f"data.{key} ({file['path']}) is not the file that the run was started with: its "
                "content has changed; bring that back, or start a new run"
            )


def _engine(
    task: Task,
    config: Config,
    watched: str,
    recorder: Recorder,
    keeper: RunFolder,
    device: torch.device,
    lr_scales: Mapping[str, float],
    diagnosis: Diagnosis,
) -> Engine:
    optimizer = build_optimizer(config.optimizer, task.model, lr_scales)
    num_updates = -(-task.num_steps() // min(config.trainer.accumulate, task.num_steps()))
    schedule = Schedule(
        config.scheduler,
        optimizer,
        num_updates=num_updates * config.trainer.epochs,
        num_epochs=config.trainer.epochs,
    )
    stopping = EarlyStopping(metric=watched, patience=config.early_stopping.patience)
    return Engine(
        task,
        trainer=config.trainer,
        optimizer=optimizer,
        schedule=schedule,
        stopping=stopping,
        recorder=recorder,
        keeper=keeper,
        device=device,
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
        recorder.emit("on_stop", epoch=engine.epoch, step=engine.update, reason=why(stop))
        raise
    except Exception as error:
        where: dict[str, Any] = {"epoch": engine.epoch, "step": engine.update}
        if isinstance(error, NonFiniteError):
            where["diagnostics"] = diagnosis.nonfinite(engine.epoch, error.what)
        recorder.emit("on_exception", error=as_fact(error), **where)
        raise


def _take_best(task: Task, keeper: RunFolder) -> int | None:
    """Put the best weights into the model, in eval mode; their epoch (from 1), if there is one."""
    best = keeper.best()
    if best is not None:
        task.model.load_state_dict(best["model"])
    task.model.eval()
    return None if best is None else best["epoch"]


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
    engine.stop.raise_if_asked()  # before it is told: a run that goes on then tests but once
    recorder.emit(
        "on_test_end",
        epoch=None if best_epoch is None else best_epoch - 1,
        step=engine.update,
        best=engine.stopping.as_fact(),
        **test_facts(evaluation, beside, keeper),
    )


def planned(config: Config) -> dict[str, Any]:
    """What ``meta`` says of the plan: epochs, the learning rate before any schedule, clipping."""
    return {
        "num_epochs": config.trainer.epochs,
        "lr": config.optimizer.get("lr"),
        "max_grad_norm": config.trainer.max_grad_norm,
    }


def start_facts(meta: dict[str, Any], beside: Beside | None, keeper: RunFolder) -> dict[str, Any]:
    """What ``on_start`` and ``on_resume`` say: the run, its target, the baselines' validation."""
    if beside is None:
        return {"meta": meta}
    return {
        "meta": {**meta, "target": beside.described},
        "metrics": {"val": beside.figures("val")},
        "artifacts": keeper.save_tables(beside.tables("val")),
    }


def test_facts(evaluation: Evaluation, beside: Beside | None, keeper: RunFolder) -> dict[str, Any]:
    """What ``on_test_end`` says: the model's figures, and the baselines' on the same samples."""
    tables = dict(evaluation.tables)
    metrics = dict(evaluation.metrics)
    if beside is not None:
        tables |= beside.tables("test")
        metrics |= beside.figures("test")
    return {"metrics": {"test": metrics}, "artifacts": keeper.save_tables(tables)}


def why(stop: BaseException) -> str:
    """What ``on_stop`` says: the signal, or who asked for it."""
    return str(stop) or "SIGINT"


def as_fact(error: BaseException) -> dict[str, str]:
    """What ``on_exception`` says."""
    text = "".join(traceback.format_exception(error))
    return {"type": type(error).__name__, "message": str(error), "traceback": text}
