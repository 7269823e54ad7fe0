"""``facts/scalars.csv``: the numbers of the events as a table, one row per (epoch, split)."""

import csv
import io
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aam.errors import UserError, shown
from aam.facts.files import LineFile, write_atomically

_log = logging.getLogger(__name__)

COLUMNS = (
    "epoch",
    "split",
    "step",
    "train_loss",
    "val_loss",
    "lr",
    "epoch_time_s",
    "throughput",
    "max_memory_mib",
)


class Scalars:
    """Writes ``scalars.csv``; its header is fixed at the start of the run by the metric names.

    The columns before ``metric_*`` are facts of the epoch, alike in the rows of its splits. An
    empty cell is a number that there is not, or that was not finite.
    """

    def __init__(self, path: Path, metric_names: Sequence[str]) -> None:
        self.path = path
        self._metrics = tuple(metric_names)
        self._unknown: set[str] = set()
        self._file: LineFile | None = None

    def check_header(self) -> None:
        """Refuse to go on with a file of other columns.

        Raises
        ------
        UserError
            Naming the columns that differ.
        """
        if not self.path.exists():  # as after a kill at the very start; restart makes it anew
            return
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                found = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(
                f"{self.path} is no table that a run wrote ({error}): move it away, and it is made "
                "anew from the events"
            ) from None
        wanted = self._header()
        if found in ([], wanted):
            return
        lost = [name for name in found if name not in wanted]
        new = [name for name in wanted if name not in found]
        raise UserError(
            f"{self.path} has other columns than this run would write "
            f"(only in the file: {shown(lost) or 'none'}; only now: {shown(new) or 'none'}): "
            "resume with the settings that the run was started with"
        )

    def restart(self, epochs: Iterable[dict[str, Any]]) -> None:
        """Write the file anew, with the header and the rows of these epochs, and go on there."""
        self.close()
        rows = [row for event in epochs for row in self._rows(event)]
        write_atomically(self.path, _csv([self._header(), *rows]))
        self._file = LineFile(self.path)

    def append(self, event: dict[str, Any]) -> None:
        """Add the rows of an ``on_epoch_end`` (train, val) or ``on_test_end`` (test) event."""
        if self._file is None:
            raise RuntimeError("a resumed run must emit on_resume before its first epoch")
        self._file.append(_csv(self._rows(event)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _header(self) -> list[str]:
        return [*COLUMNS, *(f"metric_{name}" for name in self._metrics)]

    def _rows(self, event: dict[str, Any]) -> list[list[Any]]:
        if event["moment"] == "on_test_end":
            return [self._row(event, "test")]
        has_val = event["metrics"]["val"] or event["val_loss"] is not None
        return [self._row(event, split) for split in (("train", "val") if has_val else ("train",))]

    def _row(self, event: dict[str, Any], split: str) -> list[Any]:
        metrics = event["metrics"][split]
        unknown = metrics.keys() - set(self._metrics) - self._unknown
        if unknown:
            self._unknown |= unknown
            _log.warning(
                "%s has no column for %s, which was not announced at the start; see events.jsonl",
                self.path.name,
                shown(sorted(unknown)),
            )
        epoch_facts = event | {"split": split}
        return [
            *(epoch_facts[name] for name in COLUMNS),
            *(metrics.get(name) for name in self._metrics),
        ]


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # floats as repr: every digit
    return text.getvalue()
