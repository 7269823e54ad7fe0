import os
import re
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from event_files import Event, play, read, values
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from aam.config import LoggingConfig, TagsConfig
from aam.facts.reader import read_events
from aam.facts.recorder import Recorder
from aam.monitoring.tensorboard import TensorBoard

FACT = {"train_loss": 1.0, "metrics": {"train": {"mae": 1.0}}}


def charts(accumulator: EventAccumulator) -> dict[str, dict[str, str]]:
    """Pattern by category and title, as the page reads them."""
    layout = layout_pb2.Layout()
    (content,) = accumulator.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val
    layout.ParseFromString(content)
    assert all(len(one.multiline.tag) == 1 for part in layout.category for one in part.chart)
    return {
        part.title: {one.title: one.multiline.tag[0] for one in part.chart}
        for part in layout.category
    }


def test_every_metric_is_there_and_both_splits_lie_in_one_chart(
    tmp_path: Path, healthy_events: list[Event], make_event: Callable[..., Event]
) -> None:
    metrics = {"train": {}, "val": {}, "test": {"unifrac_r2": 0.8, "baseline_mean_r2": 0.0}}
    tested = make_event("on_test_end", epoch=26, metrics=metrics)
    play(tmp_path, [*healthy_events, tested])
    written = read(tmp_path)
    epochs = [event for event in healthy_events if event["moment"] == "on_epoch_end"]
    curves = {
        f"{split}/{name}": name
        for split in ("train", "val")
        for name in epochs[0]["metrics"][split]
    }
    best = {tag.replace("val/", "best/") for tag in curves if tag.startswith("val/")}
    assert {*written.Tags()["scalars"]} == {*curves, *best, "lr", "test/unifrac_r2"}
    for tag, name in curves.items():
        split = tag.partition("/")[0]
        expected = {event["epoch"] + 1: event["metrics"][split][name] for event in epochs}
        assert values(written, tag) == pytest.approx(expected, rel=1e-6)
    assert values(written, "lr")[30] == pytest.approx(epochs[-1]["lr"])
    assert values(written, "test/unifrac_r2") == pytest.approx({27: 0.8})
    assert max(values(written, "best/unifrac_r2")) == 27
    best_r2 = epochs[26]["metrics"]["val"]["unifrac_r2"]
    assert values(written, "best/unifrac_r2")[27] == pytest.approx(best_r2)

    drawn = charts(written)
    assert {name for names in drawn.values() for name in names} == {*curves.values(), "lr"}
    assert [*drawn["Losses"]] == ["total_loss", "unifrac_loss", "nuc_loss"]
    assert [*drawn["Optimizer"]] == ["grad_norm", "lr"]
    for names in drawn.values():
        for name, pattern in names.items():
            matched = {tag for tag in written.Tags()["scalars"] if re.match(pattern, tag)}
            assert matched == {tag for tag, of in curves.items() if of == name} | ({name} & {"lr"})


def test_metrics_of_any_name_have_a_chart_of_their_own(
    tmp_path: Path, epoch_event: Callable[..., Event]
) -> None:
    """Columns of metadata have names with brackets and slashes; not all is defined at first."""
    metrics = {"mae_age (days/10)": 1.0, "mae_age": 2.0, "r2": None, "baseline_mean_mae": 3.0}
    event = epoch_event(0, None, 0.5, metrics={"train": {}, "val": metrics, "test": {}}, lr=None)
    play(tmp_path, [event])
    written = read(tmp_path)
    assert {*written.Tags()["scalars"]} == {
        "val/total_loss",
        "val/mae_age (days/10)",
        "val/mae_age",
    }
    drawn = {
        name: [tag for tag in written.Tags()["scalars"] if re.match(pattern, tag)]
        for name, pattern in charts(written)["Metrics"].items()
    }
    assert drawn == {
        "mae_age (days/10)": ["val/mae_age (days/10)"],
        "mae_age": ["val/mae_age"],
        "r2": [],
    }


def test_a_run_without_validation_is_judged_by_its_training(
    tmp_path: Path, make_event: Callable[..., Event]
) -> None:
    best = {"epoch": 4, "metric": "train_loss", "value": 0.5}
    fact = {"epoch": 4, "step": 5, "train_loss": 0.5, "best": best}
    play(tmp_path, [make_event("on_validation_improved", **fact)])
    written = read(tmp_path)
    assert values(written, "best/train_loss") == {5: 0.5}
    assert written.Tags()["scalars"] == ["best/train_loss"]


def test_a_resumed_run_replaces_what_it_does_again(
    tmp_path: Path, make_event: Callable[..., Event], epoch_event: Callable[..., Event]
) -> None:
    play(tmp_path, [epoch_event(epoch, 1.0, 2.0) for epoch in range(5)])
    play(tmp_path, [make_event("on_resume", epoch=3), epoch_event(3, 0.25, 0.5)])
    expected = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.25}
    assert values(read(tmp_path), "train/total_loss") == expected
    # The program itself, where it has no fast reader, has an accumulator of its own.
    shown = plugin_event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    points = [(one.step, *one.tensor_proto.float_val) for one in shown.Tensors("train/total_loss")]
    assert points == [*expected.items()]


def test_nothing_is_written_before_there_is_something(
    tmp_path: Path, make_event: Callable[..., Event]
) -> None:
    play(tmp_path, [make_event("on_start")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [(), ("sick", "well")])
def test_a_trained_run_has_the_figure_of_its_best_predictions(
    supervised_run: Callable[..., Path], classes: tuple[str, ...]
) -> None:
    true = [0, 1, 1] if classes else [[1.0], [2.0], [4.0]]
    outputs = [[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]] if classes else [[1.0], [2.5], [4.0]]
    baselines = {"random_forest": outputs}
    run_dir = supervised_run(true, outputs, baselines, classes=classes)
    play(run_dir, read_events(run_dir))
    written = read(run_dir)
    (image,) = written.Images("validation/prediction_plot")
    assert image.step == 2  # the best epoch
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert (image.width, image.height) > (700, 500)
    score = "accuracy" if classes else "mae"
    tags = written.Tags()["scalars"]
    assert {f"val/{score}", f"best/{score}", f"test/{score}"} <= {*tags}
    assert not [tag for tag in tags if "baseline" in tag]


def test_the_figure_is_that_of_the_folder_figures(
    healthy_run: Path, make_event: Callable[..., Event]
) -> None:
    """A pretraining has its distances; a run that was stopped has what was best by then."""
    stopped = [*read_events(healthy_run), make_event("on_stop", reason="SIGTERM")]
    play(healthy_run, stopped)
    (image,) = read(healthy_run).Images("validation/prediction_plot")
    assert image.step == 27
    without: list[dict[str, Any]] = [
        {"make_plots": False},
        {"plots": "minimal"},
        {"tags": TagsConfig(best=False)},
    ]
    for switched_off in without:
        rmtree(healthy_run / "tensorboard")
        play(healthy_run, stopped, **switched_off)
        assert read(healthy_run).Tags()["images"] == []


def test_a_figure_that_fails_costs_nothing_else(
    healthy_run: Path,
    make_event: Callable[..., Event],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr("aam.monitoring.tensorboard.render", fail)
    tested = make_event("on_test_end", metrics={"train": {}, "val": {}, "test": {"mae": 1.0}})
    history = {"train_loss": [], "val_loss": [], "lr": []}
    ended = make_event("on_train_end", history=history)
    play(healthy_run, [*read_events(healthy_run), ended, tested])
    assert "test/mae" in read(healthy_run).Tags()["scalars"]
    assert caplog.messages == ["TensorBoard has no figure (MemoryError: no room)"]


@pytest.fixture
def record_epoch(make_event: Callable[..., Event]) -> Callable[[Path], Recorder]:
    """Record the first epoch of a run, with TensorBoard listening."""

    def record(run_dir: Path) -> Recorder:
        recorder = Recorder(run_dir, loop="pretrain", metric_names=["mae"])
        recorder.add_listener(TensorBoard(run_dir, LoggingConfig(make_plots=False)))
        recorder.emit("on_start", meta=make_event("on_start")["meta"])
        recorder.emit("on_epoch_end", epoch=0, step=1, **FACT)
        return recorder

    return record


def fill_disk(run_dir: Path) -> None:
    """Let the kernel refuse every further byte of the event file that is open."""
    (path,) = (run_dir / "tensorboard").glob("*.tfevents.*")
    (fd,) = (int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.resolve() == path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, fd)
    os.close(full)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (lambda run_dir: rmtree(run_dir / "tensorboard"), "FileNotFoundError: .* was deleted"),
        (fill_disk, "OSError: .* No space left on device"),
    ],
)
def test_a_full_disk_or_a_lost_folder_costs_one_warning(
    tmp_path: Path,
    record_epoch: Callable[[Path], Recorder],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
    error: str,
) -> None:
    recorder = record_epoch(tmp_path)
    harm(tmp_path)
    for epoch in range(1, 4):
        recorder.emit("on_epoch_end", epoch=epoch, step=epoch, **FACT)
    recorder.close()
    assert [event["epoch"] for event in read_events(tmp_path)[1:]] == [0, 1, 2, 3]
    (warning,) = caplog.messages
    assert re.match(rf"the listener TensorBoard failed \({error}\) and is left out", warning)
    assert capfd.readouterr() == ("", "")


def test_curves_follow_a_folder_that_is_moved(
    tmp_path: Path,
    record_epoch: Callable[[Path], Recorder],
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = record_epoch(tmp_path / "run")
    (tmp_path / "run" / "tensorboard").rename(tmp_path / "tensorboard")
    recorder.emit("on_epoch_end", epoch=1, step=1, **FACT)
    recorder.close()
    assert values(read(tmp_path), "train/mae") == {1: 1.0, 2: 1.0}
    assert not caplog.messages
