from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

import yaml
from event_files import Event, play, read, values
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

SETTINGS: dict[str, Any] = {
    "loop": {"name": "finetune", "head": "mlp", "max_eval_samples": 512},
    "pretrained": "/runs/run_1_pretrain_ecam",
    "data": {"name": "biom", "table": "/t.biom", "batch_size": 64, "rarefaction_depth": None},
    "model": {"dim": 32, "num_heads": 2},
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-3, "betas": [0.9, 0.99]},
    "trainer": {"epochs": 20, "seed": 3, "num_threads": 1, "device": "cpu"},
    "baselines": {"enabled": False},
    "logging": {"make_plots": True},
    "run_name": "x",
}
CHOICES = {"loop": "finetune", "data": "biom", "optimizer": "adamw", "model": "tiny"}


def session(accumulator: EventAccumulator, name: str) -> Any:
    """``session_start_info`` or ``session_end_info``; None if the tab has none."""
    about = accumulator.summary_metadata.get(f"_hparams_/{name}")
    if about is None:
        return None
    return getattr(HParamsPluginData.FromString(about.plugin_data.content), name)


def hparams(accumulator: EventAccumulator) -> dict[str, Any]:
    values = session(accumulator, "session_start_info").hparams
    return {key: getattr(one, one.WhichOneof("kind")) for key, one in values.items()}


def write_settings(run_dir: Path, overrides: list[str]) -> None:
    (run_dir / ".hydra").mkdir()
    hydra = {"hydra": {"runtime": {"choices": CHOICES}}}
    for name, content in (("config", SETTINGS), ("overrides", overrides), ("hydra", hydra)):
        (run_dir / ".hydra" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_the_row_of_a_run_has_what_people_compare(
    tmp_path: Path, make_event: Callable[..., Event]
) -> None:
    given = ["loop=finetune", "baselines.enabled=false", "trainer.num_threads=1", "run_name=x"]
    write_settings(tmp_path, given)
    play(tmp_path, [make_event("on_start")], list)
    assert hparams(read(tmp_path)) == {
        "loop": "finetune",
        "loop.head": "mlp",
        "pretrained": "run_1_pretrain_ecam",  # which brings its own shape: no model
        "data": "biom",
        "data.batch_size": 64,
        "optimizer": "adamw",
        "optimizer.lr": 1e-3,
        "trainer.epochs": 20,
        "trainer.seed": 3,
        "baselines.enabled": False,
    }
    started = session(read(tmp_path), "session_start_info").start_time_secs
    assert datetime.fromtimestamp(started, UTC) == datetime(2026, 11, 21, 14, 9, 53, tzinfo=UTC)
    rmtree(tmp_path / "tensorboard")
    play(tmp_path, [make_event("on_start")])  # fitted at once
    unread = {"data.batch_size", "optimizer", "optimizer.lr", "trainer.epochs"}
    assert not unread & {*hparams(read(tmp_path))}


def test_the_row_of_a_run_knows_how_it_ended(
    tmp_path: Path, make_event: Callable[..., Event], epoch_event: Callable[..., Event]
) -> None:
    """Through every end that a run can have, it keeps one row with its newest settings."""
    write_settings(tmp_path, [])
    meta = make_event("on_start")["meta"]
    with_test = meta | {"num_samples": {"train": 9, "test": 1}}
    started = make_event("on_start", meta=with_test)
    resumed = make_event("on_resume", epoch=1, meta=with_test)
    history = {"train_loss": [], "val_loss": [], "lr": []}
    error = {"type": "E", "message": "", "traceback": ""}
    trained = make_event("on_train_end", history=history)

    def status_after(*events: Event) -> Any:
        play(tmp_path, list(events), make_plots=False)
        end = session(read(tmp_path), "session_end_info")
        return None if end is None else end.status

    assert status_after(started, epoch_event(0, 1.0, 1.0), trained) is None  # dies in the test
    assert status_after(resumed, make_event("on_exception", error=error)) == STATUS_FAILURE
    (tmp_path / ".hydra" / "resume-1.yaml").write_text("- trainer.seed=4\n")
    assert status_after(resumed, make_event("on_stop", reason="SIGINT")) is None
    assert hparams(read(tmp_path))["trainer.seed"] == 4
    tested = make_event("on_test_end", metrics={"train": {}, "val": {}, "test": {"mae": 1.0}})
    assert status_after(resumed, trained, tested) == STATUS_SUCCESS
    untested = make_event("on_resume", epoch=1, meta=meta)
    assert status_after(untested, trained) == STATUS_SUCCESS
    assert len(list((tmp_path / "tensorboard").glob("*.session"))) == 2
    assert values(read(tmp_path), "train/total_loss") == {1: 1.0}
