"""Fixtures that all tests share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aam.facts.meta import describe_file
from aam.facts.recorder import Recorder

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
# Settings of a run as ``.hydra/config.yaml`` nests them; those of a sweep are set on top.
SETTINGS = {
    "loop.name": "pretrain",
    "optimizer._target_": "torch.optim.AdamW",
    "optimizer.lr": 0.001,
    "scheduler._target_": "aam.training.schedules.constant",
    "scheduler.warmup_steps": 100,
    "split.kind": "random",
    "split.seed": 0,
    "split.fold": 0,
    "trainer.epochs": 4,
    "trainer.seed": 0,
    "trainer.num_threads": 1,
    "run_name": None,
    "logging.console": True,
}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says that it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are absent ({SHARED_DATA} does not exist)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def start_meta() -> dict[str, Any]:
    """What ``on_start`` says of a run that was started nowhere."""
    return {
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


@pytest.fixture
def sweep_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_meta: dict[str, Any]
) -> Callable[..., Path]:
    """Write the folder of a run as a training leaves it: facts and ``.hydra``, no model."""
    monkeypatch.setattr("os.fsync", lambda fd: None)

    def write(
        name: str,
        val_losses: Sequence[float] = (0.4, 0.3, 0.2, 0.25),
        *,
        end: str = "on_test_end",
        test: dict[str, float] | None = None,
        metrics: dict[str, Sequence[float]] | None = None,
        baselines: dict[str, float] | None = None,
        watched: str = "val_loss",
        target: dict[str, Any] | None = None,
        num_samples: dict[str, int] | None = None,
        table: bytes = b"one table",
        choices: dict[str, str] | None = None,
        **settings: Any,
    ) -> Path:
        folder = tmp_path / name
        path = tmp_path / "data" / "table.biom"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(table)
        config = SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
        metrics = metrics or {}
        names = ["total_loss", *metrics, *(test or {}), *(baselines or {})]
        recorder = Recorder(
            folder, loop=config["loop.name"], metric_names=list(dict.fromkeys(names))
        )
        num_samples = num_samples or {"train": 80, "val": 20, "test": 20}
        inputs = {"table": describe_file(path)}
        meta = start_meta | {"inputs": inputs, "num_samples": num_samples}
        meta |= {"num_epochs": config["trainer.epochs"]} | ({"target": target} if target else {})
        recorder.emit("on_start", meta=meta, metrics={"val": baselines or {}})
        best: dict[str, Any] | None = None
        for epoch, loss in enumerate(val_losses):
            val = {"total_loss": loss} | {name: values[epoch] for name, values in metrics.items()}
            value = {"train_loss": loss / 2, "val_loss": loss}.get(watched, val.get(watched))
            sign = -1 if watched in ("r2", "auroc", "unifrac_r2") else 1
            if best is None or sign * value < sign * best["value"]:
                best = {"epoch": epoch, "metric": watched, "value": value}
            has_val = num_samples["val"] > 0
            recorder.emit(
                "on_epoch_end",
                epoch=epoch,
                step=10 * (epoch + 1),
                train_loss=loss / 2,
                val_loss=loss if has_val else None,
                lr=config["optimizer.lr"],
                metrics={"train": {"total_loss": loss / 2}, "val": val if has_val else {}},
                epoch_time_s=2.0,
                best=best,
            )
        if end in ("on_train_end", "on_test_end"):
            recorder.emit("on_train_end", best=best)
        if end == "on_test_end":
            tested = {"total_loss": 1.1 * min(val_losses)} | (test or {}) | (baselines or {})
            recorder.emit("on_test_end", epoch=best["epoch"], best=best, metrics={"test": tested})
        elif end == "on_exception":
            error = {"type": "ValueError", "message": "no", "traceback": "no"}
            recorder.emit("on_exception", error=error)
        elif end == "on_stop":
            recorder.emit("on_stop", reason="SIGTERM")
        recorder.close()
        write_hydra(folder, config, choices or {})
        return folder

    return write


def write_hydra(folder: Path, settings: dict[str, Any], choices: dict[str, str]) -> None:
    """The files of ``.hydra`` that are read."""
    from omegaconf import OmegaConf

    (folder / ".hydra").mkdir(parents=True)
    config = OmegaConf.create()
    for key, value in settings.items():
        OmegaConf.update(config, key, value)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    hydra = OmegaConf.create({"hydra": {"runtime": {"choices": choices}}})
    OmegaConf.save(hydra, folder / ".hydra" / "hydra.yaml")
