from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from aam.facts.reader import read_events
from aam.monitoring.tensorboard import TensorBoard

Event = dict[str, Any]


def read(run_dir: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return accumulator


def values(accumulator: EventAccumulator, tag: str) -> dict[int, float]:
    return {one.step: one.value for one in accumulator.Scalars(tag)}


def test_every_metric_is_there_and_both_splits_lie_in_one_chart(
    tmp_path: Path, healthy_events: list[Event], make_event: Callable[..., Event]
) -> None:
    board = TensorBoard(tmp_path)
    for event in healthy_events:
        board.on_event(event)
    tested = make_event(
        "on_test_end", epoch=26, metrics={"train": {}, "val": {}, "test": {"unifrac_r2": 0.8}}
    )
    board.on_event(tested)
    board.close()
    written = read(tmp_path)
    epochs = [event for event in healthy_events if event["moment"] == "on_epoch_end"]
    tags = {f"{split}/{name}" for split in ("train", "val") for name in epochs[0]["metrics"][split]}
    assert set(written.Tags()["scalars"]) == tags | {"lr", "test/unifrac_r2"}
    for tag in tags:
        split, _, name = tag.partition("/")
        expected = {event["epoch"] + 1: event["metrics"][split][name] for event in epochs}
        assert values(written, tag) == pytest.approx(expected, rel=1e-6)
    assert values(written, "test/unifrac_r2") == pytest.approx({27: 0.8})

    layout = layout_pb2.Layout()
    layout.ParseFromString(
        written.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    )
    charts = {
        chart.title: list(chart.multiline.tag)
        for category in layout.category
        for chart in category.chart
    }
    assert charts["total_loss"] == ["^train/total_loss$", "^val/total_loss$"]
    assert set(charts) == {tag.partition("/")[2] for tag in tags}


def test_a_resumed_run_replaces_what_it_does_again(
    tmp_path: Path, make_event: Callable[..., Event], epoch_event: Callable[..., Event]
) -> None:
    board = TensorBoard(tmp_path)
    for epoch in range(5):
        board.on_event(epoch_event(epoch, 1.0, 2.0))
    board.close()
    board = TensorBoard(tmp_path)
    board.on_event(make_event("on_resume", epoch=3))
    board.on_event(epoch_event(3, 0.25, 0.5))
    board.close()
    written = read(tmp_path)
    expected = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.25}
    assert values(written, "train/total_loss") == expected


def test_nothing_is_written_before_there_is_something(
    tmp_path: Path, make_event: Callable[..., Event]
) -> None:
    board = TensorBoard(tmp_path)
    board.on_event(make_event("on_start"))
    board.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [(), ("sick", "well")])
def test_a_trained_run_has_the_figure_of_its_best_predictions(
    supervised_run: Callable[..., Path], classes: tuple[str, ...]
) -> None:
    true = [0, 1, 1] if classes else [[1.0], [2.0], [4.0]]
    outputs = [[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]] if classes else [[1.0], [2.5], [4.0]]
    baselines = {"random_forest": outputs}
    run_dir = supervised_run(true, outputs, baselines, classes=classes)
    board = TensorBoard(run_dir)
    for event in read_events(run_dir):
        board.on_event(event)
    board.close()
    written = read(run_dir)
    (image,) = written.Images("validation/prediction_plot")
    assert image.step == 2  # the best epoch
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert (image.width, image.height) > (700, 500)
    tags = written.Tags()["scalars"]
    assert {f"val/{'accuracy' if classes else 'mae'}", "test/r2" if not classes else "test/f1"} <= {
        *tags
    }
    assert not [tag for tag in tags if "baseline" in tag]


def test_a_run_without_labels_or_improvement_has_no_figure(
    healthy_run: Path, supervised_run: Callable[..., Path], make_event: Callable[..., Event]
) -> None:
    history = {"train_loss": [], "val_loss": [], "lr": []}
    run_dir = supervised_run([[1.0], [2.0]], [[1.0], [2.0]])
    (run_dir / "predictions" / "val_best.tsv").unlink()
    for folder in (healthy_run, run_dir):
        board = TensorBoard(folder)
        board.on_event(read_events(folder)[0])
        board.on_event(make_event("on_train_end", history=history))
        board.close()
        assert not (folder / "tensorboard").exists()
