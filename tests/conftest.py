"""Fixtures that all tests share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aam.facts.meta import describe_file
from aam.facts.recorder import Recorder
from aam.facts.seals import sealed
from aam.facts.tables import write_tsv

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
# What ``on_start`` says of the runs that ``record`` writes.
META = {
    "versions": {"aam": "0.1.0", "python": "3", "torch": "2", "numpy": "2"},
    "num_samples": {"train": 8, "val": 2, "test": 2},
    "num_epochs": 4,
    "command": "aam-train --multirun run_name=x,y",
    "working_dir": "/home/ana/study",
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


@pytest.fixture(scope="session")
def one_job() -> Callable[[Sequence[str]], list[str]]:
    """The overrides of a command line as one of its jobs has them: of several values the first."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    def first(override: Any) -> str:
        if not override.is_sweep_override():
            return str(override.input_line)
        is_range = not override.is_discrete_sweep()
        value = override.value().start if is_range else next(override.sweep_string_iterator())
        return f"{override.get_key_element()}={value}"

    def read(words: Sequence[str]) -> list[str]:
        overrides = [word for word in words if not word.startswith("-")]
        return [first(one) for one in OverridesParser.create().parse_overrides(overrides)]

    return read


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


@pytest.fixture
def outputs(monkeypatch, tmp_path) -> Path:
    """Where runs lie, as the environment says too."""
    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


@pytest.fixture
def record(outputs, start_meta) -> Callable[..., Path]:
    """Write a run folder below ``outputs/runs``, as a training of two of four epochs leaves it."""

    def make(name: str, *ends: tuple[str, dict[str, Any]], **changed: Any) -> Path:
        run = outputs / "runs" / name
        recorder = Recorder(run, loop=changed.pop("loop", "pretrain"), metric_names=["unifrac_r2"])
        table = {"val_unifrac": "predictions/val_unifrac.tsv"}
        write_tsv(run / table["val_unifrac"], {"true": [0.5], "predicted": [0.25]})
        recorder.emit("on_start", meta=start_meta | META | changed)
        for epoch, loss in enumerate((0.5, 0.25)):
            fact = epoch_fact(epoch, loss)
            recorder.emit("on_epoch_end", **fact)
            recorder.emit("on_validation_improved", **fact, artifacts=table)
        for moment, fields in ends:
            recorder.emit(moment, **fields)
        recorder.close()
        write_around(run)
        return run

    return make


def epoch_fact(epoch: int, loss: float, **changed: Any) -> dict[str, Any]:
    fact = {
        "epoch": epoch,
        "step": 10 * (epoch + 1),
        "train_loss": loss / 2,
        "val_loss": loss,
        "lr": 1e-3,
        "metrics": {"train": {}, "val": {"unifrac_r2": 1 - loss}},
        "epoch_time_s": 30.0,
        "total_time_s": 30.0 * (epoch + 1),
        "throughput": 4.0,
        "best": {"epoch": epoch, "metric": "val_loss", "value": loss},
    }
    return fact | changed


def write_around(run: Path) -> None:
    """What lies around the facts: settings, checkpoints, a figure."""
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text("loop: {name: pretrain}\n")
    (run / ".hydra" / "overrides.yaml").write_text("- run_name=a b\n- trainer.epochs=4\n")
    for name in ("last.pt", "best_model.pt"):
        (run / name).write_bytes(sealed(b"weights"))
    (run / "model.pt").symlink_to("best_model.pt")
    (run / "figures").mkdir()
    image = b"\x89PNG\r\n\x1a\n" + bytes(8) + b"IEND\xaeB`\x82"
    (run / "figures" / "losses-on_epoch_end.png").write_bytes(image)
