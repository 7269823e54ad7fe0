"""Run folders made by the schema of the facts, without any training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.config import DiagnosticsConfig
from aam.facts.schema import blank_event, validate
from aam.monitoring.diagnostics import diagnose

Event = dict[str, Any]


@pytest.fixture
def make_event(tmp_path: Path) -> Callable[..., Event]:
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
            event["meta"] = {
                "git": {"commit": None, "dirty": None},
                "hostname": "here",
                "pid": 1,
                "seed": 0,
                "device": "cpu",
                "versions": {"aam": "0", "python": "3", "torch": "2", "numpy": "2"},
                "inputs": {},
                "num_samples": {"train": 80, "val": 20},
                "command": "aam-train",
                "working_dir": "/",
            }
        event |= fields
        validate(event)
        return event

    return make


@pytest.fixture
def epoch_event(make_event: Callable[..., Event]) -> Callable[..., Event]:
    """Make the event of an epoch from its losses."""

    def make(epoch: int, train: float | None, val: float | None, **fields: Any) -> Event:
        given = {"epoch": epoch, "step": epoch, "train_loss": train, "val_loss": val}
        return make_event("on_epoch_end", **(given | fields))

    return make


@pytest.fixture
def healthy_events(make_event: Callable[..., Event]) -> list[Event]:
    """Thirty epochs of a pretraining that goes well: noisy, best in epoch 27."""
    noise = np.random.default_rng(7)
    events = [make_event("on_start")]
    best: Event | None = None
    train_losses: list[float] = []
    val_losses: list[float] = []
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
        train_losses.append(parts["train"]["total_loss"])
        val_losses.append(parts["val"]["total_loss"])
        is_better = best is None or val_losses[-1] < best["value"]
        if is_better:
            best = {"epoch": epoch, "metric": "val_loss", "value": val_losses[-1]}
        fields = {
            "epoch": epoch,
            "step": 12 * (epoch + 1),
            "train_loss": train_losses[-1],
            "val_loss": val_losses[-1],
            "lr": 1e-4
            * min(1.0, (epoch + 1) / 3)
            * (0.5 + 0.5 * float(np.cos(np.pi * epoch / 30))),
            "metrics": parts | {"test": {}},
            "epoch_time_s": 4.2,
            "total_time_s": 4.2 * (epoch + 1),
            "best": best,
            "diagnostics": diagnose(train_losses, val_losses, DiagnosticsConfig()),
        }
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
