"""TensorBoard's event files, and what stands in them.

They are written by the thread that calls. torch's ``SummaryWriter`` has one of its own: what fails
there is a traceback on the screen, and reaches the caller with a later event only.
"""

import os
import re
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = Any  # Summary.Value: TensorBoard has no types
NUM_BINS = 60  # the page joins them to 30
OPTIMIZER = ("lr", "grad_norm")


class EventFile:
    """A new event file in ``folder``, which is made where the run folder is still there.

    TensorBoard reads the files of a folder in the order of their names, which begin with the time.
    The file is followed where its folder is moved.

    Parameters
    ----------
    first_step
        Points of earlier files from this step on are no longer shown, if these have said theirs.
    ending
        Of the name, to be found again by.

    Raises
    ------
    OSError
        If the disk refuses, or the file was deleted since. Also by ``write`` and ``close``.
    """

    def __init__(self, folder: Path, first_step: int | None = None, ending: str = "") -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        second, rest = divmod(time.time_ns(), 10**9)
        self._path = folder / (
            f"events.out.tfevents.{second:010}.{rest:09}.{socket.gethostname()}{ending}"
        )
        self._file = self._path.open("xb")
        self._is_counted = os.fstat(self._file.fileno()).st_nlink > 0  # not by every file system
        self._records = RecordWriter(self._file)
        self._append(file_version="brain.Event:2")
        if first_step is not None:
            self._append(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def write(self, values: Iterable[Value], step: int) -> None:
        """Add values of one step; they are in the file on return."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._is_counted and os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(f"{self._path} was deleted")
        self._append(step=step, summary=Summary(value=list(values)))
        self._file.flush()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _append(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())


def scalars(values: Mapping[str, float]) -> list[Value]:
    """One point each, by tag."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]


def image(tag: str, png: bytes) -> Value:
    """An image, as it lies in a PNG file."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])  # of its first chunk, IHDR
    held = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=tag, image=held)


def histogram(tag: str, values: NDArray[Any]) -> Value | None:
    """The distribution of the finite values, in bins of one width; None if there are none."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return None
    counts, edges = np.histogram(finite, NUM_BINS)
    held = HistogramProto(
        min=finite.min(),
        max=finite.max(),
        num=finite.size,
        sum=finite.sum(),
        sum_squares=finite @ finite,
        bucket_limit=edges[1:],
        bucket=counts,
    )
    return Summary.Value(tag=tag, histo=held)


def custom_scalars(names: Iterable[str]) -> Value:
    """What the Custom Scalars tab shows, by plain names of metrics."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.custom_scalar import metadata
    from tensorboard.plugins.custom_scalar.layout_pb2 import (
        Category,
        Chart,
        Layout,
        MultilineChartContent,
    )

    categories = [
        Category(
            title=category,
            chart=[
                Chart(title=title, multiline=MultilineChartContent(tag=[pattern]))
                for title, pattern in charts.items()
            ],
        )
        for category, charts in layout(names).items()
    ]
    content = Layout(category=categories).SerializeToString()
    return Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=TensorProto(dtype=DT_STRING, string_val=[content]),
    )


def layout(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Charts by category and title; each is the pattern of the tags that it draws."""
    categories: dict[str, dict[str, str]] = {"Losses": {}, "Metrics": {}, "Optimizer": {}}
    for name in names:
        is_loss = name.endswith("loss")
        category = "Optimizer" if name in OPTIMIZER else "Losses" if is_loss else "Metrics"
        # A pattern must match from the start of a tag. Tags of both splits make two curves.
        categories[category][name] = rf"^((train|val)/)?{re.escape(name)}$"
    return {category: charts for category, charts in categories.items() if charts}
