"""Run folders made by the schema of the facts, without any training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.config import DiagnosticsConfig
from aam.facts.recorder import Recorder
from aam.facts.schema import blank_event, validate
from aam.facts.tables import write_tsv
from aam.monitoring.diagnostics import Diagnosis

Event = dict[str, Any]


@pytest.fixture
def make_event(tmp_path: Path, start_meta: dict[str, Any]) -> Callable[..., Event]:
    """Make a valid event."""

    def make(moment: str, **fields: Any) -> Event:
        event = blank_event() | {
            "moment": moment,
            "run_id": "a-run",
            "run_dir": str(tmp_path),
            "loop": "pretrain",
            "timestamp": "2026-11-21T14:09:53Z",
        }
        if moment in ("on_start", "on_resume"):
            event["meta"] = dict(start_meta)
        event |= fields
        validate(event)
        return event

    return make


@pytest.fixture
def epoch_event(make_event: Callable[..., Event]) -> Callable[..., Event]:
    """Make the event of an epoch from its losses."""

    def make(epoch: int, train: float | None, val: float | None, **fields: Any) -> Event:
        given = {"epoch": epoch, "step": epoch + 1, "train_loss": train, "val_loss": val}
        return make_event("on_epoch_end", **(given | fields))

    return make


@pytest.fixture
def healthy_events(make_event: Callable[..., Event]) -> list[Event]:
    """Thirty epochs of a pretraining that goes well: noisy, best in epoch 27."""
    noise = np.random.default_rng(7)
    events = [make_event("on_start")]
    best: Event | None = None
    diagnosis = Diagnosis(DiagnosticsConfig())
    for epoch in range(30):
        left = float(np.exp(-epoch / 7))
        parts = {}
        for split, lag in (("train", 0.0), ("val", 0.06)):
            unifrac = 0.006 + 0.05 * left * (1 + 3 * lag) + noise.normal(0, 0.0006)
            nuc = 0.31 + 1.07 * left + 0.35 * lag + noise.normal(0, 0.006)
            parts[split] = {
                "total_loss": unifrac + nuc,
                "unifrac_loss": unifrac,
                "nuc_loss": nuc,
                "nuc_accuracy": 0.25 + 0.62 * (1 - left) - lag / 4 + noise.normal(0, 0.006),
            }
        r2 = 0.82 - 14 * float(np.exp(-epoch / 0.9)) - 0.6 * left + noise.normal(0, 0.012)
        parts["val"] |= {
            "unifrac_r2": r2,
            "unifrac_mae": 0.03 + 0.08 * left + noise.normal(0, 0.001),
            "unifrac_spearman": 0.93 - 0.8 * left + noise.normal(0, 0.008),
        }
        parts["train"]["grad_norm"] = 0.4 + 3 * left + abs(noise.normal(0, 0.25))
        val_loss = parts["val"]["total_loss"]
        is_better = best is None or val_loss < best["value"]
        if is_better:
            best = {"epoch": epoch, "metric": "val_loss", "value": val_loss}
        fields = {
            "epoch": epoch,
            "step": 12 * (epoch + 1),
            "train_loss": parts["train"]["total_loss"],
            "val_loss": val_loss,
            "lr": 1e-4
            * min(1.0, (epoch + 1) / 3)
            * (0.5 + 0.5 * float(np.cos(np.pi * epoch / 30))),
            "metrics": parts | {"test": {}},
            "epoch_time_s": 4.2,
            "total_time_s": 4.2 * (epoch + 1),
            "best": best,
        }
        fields["diagnostics"] = diagnosis.after(fields)
        events.append(make_event("on_epoch_end", **fields))
        if is_better:
            pairs = {"val_unifrac": "predictions/val_unifrac.tsv"}
            events.append(make_event("on_validation_improved", **fields, artifacts=pairs))
    return events


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder that holds the events, and the distances of pairs of its samples."""

    def write(events: list[Event], num_pairs: int = 4_000) -> Path:
        run_dir = tmp_path / "run_20261121-140953_pretrain"
        (run_dir / "facts").mkdir(parents=True)
        (run_dir / "predictions").mkdir()
        lines = "".join(json.dumps(event, allow_nan=False) + "\n" for event in events)
        (run_dir / "facts" / "events.jsonl").write_text(lines, encoding="utf-8")
        noise = np.random.default_rng(3)
        true = np.clip(noise.normal(0.62, 0.09, num_pairs), 0.15, 0.97)
        predicted = np.clip(0.12 + 0.81 * true + noise.normal(0, 0.035, num_pairs), 0, 1)
        for split in ("val", "test"):
            with (run_dir / "predictions" / f"{split}_unifrac.tsv").open("w") as file:
                file.write("sample_a\tsample_b\ttrue\tpredicted\n")
                for i, (one, other) in enumerate(zip(true, predicted, strict=True)):
                    file.write(f"S#{i}\tS {i + 1}\t{one:.6f}\t{other:.6f}\n")
        return run_dir

    return write


@pytest.fixture
def healthy_run(healthy_events: list[Event], write_run: Callable[..., Path]) -> Path:
    """A run folder of ``healthy_events``."""
    return write_run(healthy_events)


@pytest.fixture
def supervised_run(tmp_path: Path, start_meta: dict[str, Any]) -> Callable[..., Path]:
    """Record a supervised run of three epochs, best in the second, that predicts ``true``.

    ``outputs`` are those of the model, for validation and test alike:
    values ``[n, T]`` in regression, probabilities ``[n, C]`` for ``classes``. ``baselines`` are
    outputs by name.
    """

    def record(
        true: Any,
        outputs: Any,
        baselines: dict[str, Any] | None = None,
        *,
        columns: tuple[str, ...] = ("age_days",),
        classes: tuple[str, ...] = (),
        groups: list[str] | None = None,
        group_column: str | None = None,
    ) -> Path:
        from aam.losses.metrics import classification_metrics, regression_metrics

        run_dir = tmp_path / "run_20261121-140953_finetune"
        true, outputs = np.asarray(true), np.asarray(outputs, dtype=float)

        def scores(of: Any) -> dict[str, float]:
            of = np.asarray(of, dtype=float)
            if classes:
                return classification_metrics(true, of)
            return regression_metrics(true, of, columns)

        def table(of: Any) -> dict[str, Any]:
            of = np.asarray(of, dtype=float)
            cells: dict[str, Any] = {"sample-id": [f"S{i}" for i in range(len(true))]}
            if groups is not None:
                cells["group"] = groups
            if classes:
                cells["true"] = [classes[index] for index in true]
                cells["predicted"] = [classes[index] for index in of.argmax(axis=1)]
                return cells | {f"probability_{c}": of[:, i] for i, c in enumerate(classes)}
            for i, column in enumerate(columns):
                end = f"_{column}" if len(columns) > 1 else ""
                cells |= {f"true{end}": true[:, i], f"predicted{end}": of[:, i]}
            return cells

        figures = scores(outputs)
        beside = {
            f"baseline_{name}_{metric}": value
            for name, of in (baselines or {}).items()
            for metric, value in scores(of).items()
        }
        files = {"val_best": "predictions/val_best.tsv", "test": "predictions/test.tsv"}
        for file in files.values():
            write_tsv(run_dir / file, table(outputs))
        if baselines:
            blocks = [
                table(of) | {"baseline": [name] * len(true)} for name, of in baselines.items()
            ]
            whole = {key: [cell for b in blocks for cell in b[key]] for key in blocks[0]}
            for split in ("val", "test"):
                files[f"{split}_baselines"] = f"predictions/{split}_baselines.tsv"
                write_tsv(run_dir / files[f"{split}_baselines"], whole)
        target = {
            "task": "classification" if classes else "regression",
            "columns": list(columns),
            "classes": list(classes),
            "group_column": group_column,
            "split": {"kind": "grouped", "fold": 0, "folds": 5, "repeats": 1, "seed": 0},
        }

        def named(*names: str) -> dict[str, str]:
            return {name: files[name] for name in names if name in files}

        names = ["total_loss", "target_loss", *figures, *beside]
        recorder = Recorder(run_dir, loop="finetune", metric_names=names)
        meta = start_meta | {
            "target": target,
            "num_samples": {"train": 400, "val": 90, "test": len(true)},
        }
        recorder.emit(
            "on_start", meta=meta, metrics={"val": beside}, artifacts=named("val_baselines")
        )
        for epoch, factor in enumerate((1.6, 1.0, 1.1)):
            losses = {"total_loss": 0.2 * factor, "target_loss": 0.2 * factor}
            val = {name: factor * value for name, value in figures.items()} | losses
            fact = {
                "epoch": epoch,
                "train_loss": 0.18 * factor,
                "val_loss": 0.2 * factor,
                "lr": 1e-4,
                "metrics": {"train": losses, "val": val},
                "best": {
                    "epoch": min(epoch, 1),
                    "metric": "val_loss",
                    "value": 0.2 * (1.0 if epoch else factor),
                },
            }
            recorder.emit("on_epoch_end", **fact)
            if epoch < 2:
                recorder.emit("on_validation_improved", **fact, artifacts=named("val_best"))
        recorder.emit("on_train_end", epoch=2)
        recorder.emit(
            "on_test_end",
            epoch=1,
            metrics={"test": figures | beside},
            artifacts=named("test", "test_baselines"),
        )
        recorder.close()
        return run_dir

    return record
