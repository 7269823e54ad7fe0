"""The runs of a cross-validation, read from their folders alone.

One run trains and tests one fold; here it is told what it was about and how it did.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aam.errors import UserError, shown
from aam.facts.reader import EVENTS, read_events
from aam.facts.settings import read_settings
from aam.facts.tables import read_tsv
from aam.monitoring.runs.identity import INPUT_FILES, identity_of
from aam.monitoring.scores import of_baselines, of_model

MODEL = "model"
KINDS = ("kfold", "leave_one_group_out")
# The one to judge by (``aam.monitoring.scores.PRIMARY``) first; where no fold has it, the next one.
METRICS = {
    "regression": ("mae", "rmse", "r2"),
    "classification": ("auroc", "balanced_accuracy", "accuracy", "f1", "precision", "recall"),
}

_NO_SETTINGS = ("split.fold", "run_name", *(f"data.{name}" for name in INPUT_FILES))
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldRun:
    """One finished run: what it was about, and how it did on its test samples."""

    folder: Path
    fold: int
    """As ``split.fold``: it counts through all repeats."""
    num_folds: int | None
    """Runs that make the whole cross-validation; None where the facts do not say (one a group)."""
    repeat: int
    train_test: tuple[int, int]
    """Samples to train on and to test on."""
    identity: dict[str, Any]
    """What all folds of one cross-validation have in common, by config key."""
    settings: dict[str, str]
    """All other settings by config key, values as JSON; the fold, run_name and logging apart."""
    scores: dict[str, dict[str, float]]
    """Predictor (``model`` or the name of a baseline) → metric → value on the test samples; what is
    undefined there (an AUROC of one class) is absent."""
    predictions: dict[str, list[str]]
    """The table ``test`` of the run."""
    baseline_predictions: dict[str, list[str]]
    """The table ``test_baselines``; empty where there were none."""


def read_runs(given: Sequence[Path]) -> list[FoldRun]:
    """The finished runs of the folders; those that are not finished are named in the log.

    Each folder is a run folder, or holds run folders.

    Raises
    ------
    UserError
        If a folder holds no run, a run predicts nothing, its split has no folds, its configuration
        or predictions cannot be read, or none is finished.
    """
    folders = {path.resolve(): path for one in given for path in _run_folders(one)}
    runs = {path: _read_run(path) for path in folders.values()}
    unfinished = [path.name for path, run in runs.items() if run is None]
    finished = [run for run in runs.values() if run is not None]
    if not finished:
        raise UserError(
            f"no run was tested to its end ({shown(unfinished)}): wait for them, or go on with one "
            "by aam-train resume=RUN_DIR"
        )
    if unfinished:
        _log.warning(
            "%d of %d runs were not tested to their end and are left out: %s",
            len(unfinished), len(runs), shown(unfinished),
        )  # fmt: skip
    return finished


def _run_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give the folder of a multirun, or of runs")
    if (folder / EVENTS).is_file():
        return [folder]
    runs = [path for path in sorted(folder.iterdir()) if (path / EVENTS).is_file()]
    if not runs:
        raise UserError(
            f"{folder} holds no run: give a folder such as outputs/multiruns/exp_…, or run folders "
            "such as outputs/runs/run_…"
        )
    return runs


def _read_run(folder: Path) -> FoldRun | None:
    """The run; None if it was not tested to its end."""
    events = read_events(folder)
    starts = [event for event in events if event["moment"] == "on_start"]
    if not starts:
        return None
    meta, loop = starts[0]["meta"], starts[0]["loop"]
    target = meta.get("target")
    if target is None:
        raise UserError(
            f"{folder} is a run of loop={loop}, which predicts nothing: give runs of a loop that "
            "does, such as loop=finetune"
        )
    split = target["split"]
    if split["kind"] not in KINDS:
        raise UserError(
            f"{folder} has split.kind={split['kind']}, which has no folds; make them by aam-train "
            "--multirun split=kfold split.fold=0,1,2,3,4"
        )
    tests = [event for event in events if event["moment"] == "on_test_end"]
    if not tests:
        return None
    artifacts = tests[-1]["artifacts"]
    if "test" not in artifacts:
        raise UserError(f"{folder} has no table of test predictions: train that fold once more")
    baselines = artifacts.get("test_baselines")
    is_repeated = split["kind"] == "kfold"  # the other kind has a fold for each group
    return FoldRun(
        folder=folder,
        fold=split["fold"],
        num_folds=split["folds"] * split["repeats"] if is_repeated else None,
        repeat=split["fold"] // split["folds"] if is_repeated else 0,
        train_test=(meta["num_samples"]["train"], meta["num_samples"]["test"]),
        identity=_identity(loop, meta),
        settings=_settings(folder),
        scores=_scores(tests[-1]["metrics"]["test"], metric_names(target)),
        predictions=read_tsv(folder / artifacts["test"]),
        baseline_predictions=read_tsv(folder / baselines) if baselines else {},
    )


def metric_names(target: Mapping[str, Any]) -> tuple[str, ...]:
    """The figures that a run with this ``meta.target`` is judged by, the first ones first."""
    names, columns = METRICS[target["task"]], target["columns"]
    each = [f"{name}_{column}" for column in columns for name in names]
    return (*names, *(each if len(columns) > 1 else []))


def _identity(loop: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    split = meta["target"]["split"]
    keys = ("kind", "folds", "repeats", "seed")
    return identity_of(loop, meta) | {f"split.{key}": split[key] for key in keys}


def _settings(folder: Path) -> dict[str, str]:
    return {
        key: value
        for key, value in read_settings(folder).items()
        if key not in _NO_SETTINGS and not key.startswith("logging.")
    }


def _scores(
    metrics: Mapping[str, float | None], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The metrics of these names, by predictor; what is undefined is left out."""
    by_predictor = {MODEL: of_model(metrics), **of_baselines(metrics, names)}
    return {
        predictor: {name: float(v) for name, v in own.items() if name in names and v is not None}
        for predictor, own in by_predictor.items()
    }
