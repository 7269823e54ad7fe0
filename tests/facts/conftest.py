"""Facts as a training would write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aam.facts.meta import run_metadata
from aam.facts.recorder import Recorder

METRICS = ("total_loss", "unifrac_loss")


@pytest.fixture(scope="session")
def meta() -> dict[str, Any]:
    return run_metadata(
        seed=7, device="cpu", inputs={}, num_samples={"train": 8, "val": 2, "test": 0}
    )


@pytest.fixture(scope="session")
def epoch_fields() -> Callable[..., dict[str, Any]]:
    def make(epoch: int, shift: float = 0.0) -> dict[str, Any]:
        train, val = 1 / (epoch + 1) + shift, 1.1 / (epoch + 1) + shift
        return {
            "epoch": epoch,
            "step": 10 * (epoch + 1),
            "train_loss": train,
            "val_loss": val,
            "lr": 1e-4,
            "metrics": {
                "train": {"total_loss": train, "unifrac_loss": train / 2},
                "val": {"total_loss": val, "unifrac_loss": val / 2},
            },
            "epoch_time_s": 1.5,
            "total_time_s": 1.5 * (epoch + 1),
            "throughput": 20.0,
            "max_memory_mib": 512.0,
            "best": {"epoch": epoch, "metric": "val_loss", "value": val},
        }

    return make


@pytest.fixture
def open_recorder(tmp_path: Path) -> Callable[..., Recorder]:
    def make(run_dir: Path | None = tmp_path / "run", **options: Any) -> Recorder:
        return Recorder(run_dir, **{"loop": "pretrain", "metric_names": METRICS} | options)

    return make
