"""What the events of all loops say, whatever is trained."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aam.config import Config
from aam.errors import NonFiniteError, StopRequestedError
from aam.facts.recorder import Recorder
from aam.loops.beside import Beside
from aam.training.run_folder import RunFolder
from aam.training.task import Evaluation


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


@contextmanager
def ends_told(recorder: Recorder) -> Iterator[None]:
    """Of a run without checkpoints: whatever ends it early is a fact before it goes up."""
    try:
        yield
    except (StopRequestedError, KeyboardInterrupt) as stop:
        recorder.emit("on_stop", epoch=0, step=0, reason=why(stop))
        raise
    except Exception as error:
        recorder.emit("on_exception", epoch=0, step=0, error=as_fact(error))
        raise


def why(stop: BaseException) -> str:
    """What ``on_stop`` says: the signal, or who asked for it."""
    return str(stop) or "SIGINT"


def as_fact(error: BaseException) -> dict[str, Any]:
    """What ``on_exception`` says."""
    text = "".join(traceback.format_exception(error))
    samples = error.sample_ids if isinstance(error, NonFiniteError) else ()
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": text,
        **({"samples": samples} if samples else {}),
    }
