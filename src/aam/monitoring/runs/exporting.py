"""The numbers of many runs as one tidy table, for pandas and R.

A row is one epoch of one run on one part of the samples, as in ``scalars.csv``; every metric is a
column. So a curve is a filter away, and nothing has to be pivoted.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.files import atomic_file
from aam.facts.reader import best, epoch_events, read_events
from aam.facts.settings import read_whole_settings
from aam.facts.summary import summarize
from aam.monitoring.runs.listing import names_of
from aam.monitoring.scores import of_baselines, of_model

MODEL = "model"
# What every table has, before and after the settings that differ.
_OF_RUN = ("run", "run_dir", "run_id", "loop", "data", "state")
_OF_ROW = ("epoch", "is_best", "split", "predictor", "loss", "step", "lr")
# Of the epoch as a whole: with the training's row alone, so that sums come out right.
_OF_EPOCH = ("epoch_time_s", "total_time_s", "throughput", "max_memory_mib")
_TEXT = (*_OF_RUN, "split", "predictor")

Cells = dict[str, Any]
Event = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """The columns, and each run's own cells and rows; a cell that a row does not have is empty."""

    columns: list[str]
    runs: list[tuple[Cells, list[Cells]]]
    without_rows: list[str]
    """Names of the runs that have no number (yet)."""

    @property
    def num_rows(self) -> int:
        """Of all runs together."""
        return sum(len(rows) for _, rows in self.runs)

    def lines(self) -> Iterator[list[Any]]:
        """The cells of each row, in the order of the columns."""
        for of_run, rows in self.runs:
            for row in rows:
                cells = of_run | row
                yield [cells.get(name) for name in self.columns]


def collect(folders: Sequence[Path]) -> Exported:
    """Read all runs: one that is gone, or has no start in its facts, has no rows."""
    settings = {folder: _settings(folder) for folder in folders}
    differing = _differing(settings.values())
    runs: list[tuple[Cells, list[Cells]]] = []
    without_rows = []
    for folder, name in zip(folders, names_of(folders), strict=True):
        found = _read(folder)
        if found is None or not found[1]:
            without_rows.append(name)
            continue
        of_run, rows = found
        own = {key: _typed(settings[folder].get(key)) for key in differing}
        runs.append(({"run": name, **of_run, **own}, rows))
    seen = {name: None for _, rows in runs for row in rows for name in row}
    metrics = [name for name in seen if name not in (*_OF_ROW, *_OF_EPOCH)]
    return Exported([*_OF_RUN, *differing, *_OF_ROW, *_OF_EPOCH, *metrics], runs, without_rows)


def write_text(path: Path, table: Exported, delimiter: str) -> None:
    """Write it with a header; every digit of a number is kept, what is missing is empty."""
    with atomic_file(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(map(_as_text, table.lines()))
        text.detach()


def write_parquet(path: Path, table: Exported) -> None:
    """Write it with types: text, numbers, truth values.

    Raises
    ------
    UserError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"output={path} needs pyarrow, which is not installed: pip install 'aam[parquet]', or "
            "write a .csv"
        ) from None
    columns = zip(*table.lines(), strict=True) if table.num_rows else ([] for _ in table.columns)
    arrays = {
        name: pyarrow.array(*_with_type(name, list(values), pyarrow))
        for name, values in zip(table.columns, columns, strict=True)
    }
    with atomic_file(path) as file:
        parquet.write_table(pyarrow.table(arrays), file)


def _read(folder: Path) -> tuple[Cells, list[Cells]] | None:
    """What a run is, and its rows."""
    try:
        summary, events = summarize(folder), read_events(folder)
    except (UserError, OSError):  # gone since it was found, or not for us to read
        return None
    if summary is None:
        return None
    of_run = {
        "run_dir": str(folder),
        "run_id": summary.run_id,
        "loop": summary.loop,
        "data": summary.data,
        "state": summary.state,
    }
    return of_run, list(_rows(events))


def _rows(events: Sequence[Event]) -> Iterator[Cells]:
    """Baselines of the validation, the epochs in their order, then the newest test."""
    chosen = best(events)
    best_epoch = None if chosen is None else chosen["epoch"]
    starts = [event for event in events if event["moment"] == "on_start"]
    tests = [event for event in events if event["moment"] == "on_test_end"]
    epochs = epoch_events(events)
    known = {name for event in [*epochs, *tests] for of in event["metrics"].values() for name in of}
    known = set(of_model(dict.fromkeys(known)))
    for event in starts[:1]:
        yield from _baseline_rows(event, "val", known)
    for event in epochs:
        is_best = event["epoch"] == best_epoch
        for split in ("train", "val"):
            row = _model_row(event, split, event["epoch"], is_best, event[f"{split}_loss"])
            if split == "train":
                row |= {name: event[name] for name in _OF_EPOCH}
            if split == "train" or row["loss"] is not None or event["metrics"][split]:
                yield row
    for event in tests[-1:]:
        yield _model_row(
            event, "test", best_epoch, True, event["metrics"]["test"].get("total_loss")
        )
        yield from _baseline_rows(event, "test", known)


def _model_row(
    event: Event, split: str, epoch: int | None, is_best: bool, loss: float | None
) -> Cells:
    return {
        "epoch": epoch,
        "is_best": is_best,
        "split": split,
        "predictor": MODEL,
        "loss": loss,
        "step": event["step"],
        "lr": event["lr"],
        **_metrics(of_model(event["metrics"][split])),
    }


def _baseline_rows(event: Event, split: str, known: Iterable[str]) -> Iterator[Cells]:
    """A baseline knows no epochs."""
    for name, metrics in of_baselines(event["metrics"][split], known).items():
        yield {"is_best": False, "split": split, "predictor": name, **_metrics(metrics)}


def _metrics(metrics: Mapping[str, float | None]) -> Cells:
    """``total_loss`` is the column ``loss``; a metric never takes the name of another column."""
    others = (*_OF_RUN, *_OF_ROW, *_OF_EPOCH)
    return {
        f"metric_{name}" if name in others else name: value
        for name, value in metrics.items()
        if name != "total_loss"
    }


def _settings(folder: Path) -> dict[str, str]:
    try:
        return read_whole_settings(folder)
    except UserError:
        return {}


def _differing(settings: Iterable[Mapping[str, str]]) -> list[str]:
    """Keys that runs have otherwise; a run without them has an empty cell. Not those of figures."""
    known = [one for one in settings if one]
    keys = {key: None for one in known for key in one if not key.startswith("logging.")}
    return [key for key in keys if len({one.get(key) for one in known}) > 1]


def _typed(text: str | None) -> Any:
    """A setting as a number, a truth value or text; ``null`` is empty."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def _as_text(cells: list[Any]) -> list[Any]:
    """``TRUE`` and ``FALSE``, which R and pandas both know."""
    return [str(cell).upper() if isinstance(cell, bool) else cell for cell in cells]


def _with_type(name: str, values: list[Any], pyarrow: Any) -> tuple[list[Any], Any]:
    """A column's values, and the one type that holds them all."""
    kinds = {type(value) for value in values if value is not None}
    if name in _TEXT or not kinds <= {bool, int, float}:
        return [value if value is None else str(value) for value in values], pyarrow.string()
    if kinds == {bool}:
        return values, pyarrow.bool_()
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return values, pyarrow.int64()
    return [value if value is None else float(value) for value in values], pyarrow.float64()
