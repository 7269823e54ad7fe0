"""Write TensorBoard's files from events, and read them as TensorBoard does."""

from contextlib import closing
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aam.config import LoggingConfig
from aam.monitoring.tensorboard import TensorBoard

Event = dict[str, Any]


def read(run_dir: Path) -> EventAccumulator:
    keep_all = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}
    accumulator = EventAccumulator(str(run_dir / "tensorboard"), size_guidance=keep_all)
    accumulator.Reload()
    return accumulator


def values(accumulator: EventAccumulator, tag: str) -> dict[int, float]:
    points = accumulator.Scalars(tag)
    assert len({one.step for one in points}) == len(points)
    return {one.step: one.value for one in points}


def play(run_dir: Path, events: list[Event], parameters: Any = None, **config: Any) -> None:
    with closing(TensorBoard(run_dir, LoggingConfig(**config), parameters)) as board:
        for event in events:
            board.on_event(event)
