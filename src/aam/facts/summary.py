"""A run at a glance: what it is, where it stands, how good it is.

Only the lines that matter are parsed, so that hundreds of runs are told in a second.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.presence import is_written
from aam.facts.reader import EVENTS, parse_event

RUNNING, FINISHED, STOPPED, FAILED, DIED = STATES = (
    "running",
    "finished",
    "stopped",
    "failed",
    "died",
)

# Where a run goes on: from the first, or else from the second, which was saved before it.
RESUMABLE = ("last.pt", "previous.pt")

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run's facts come to. ``start`` is its newest ``on_start`` or ``on_resume``."""

    run_dir: Path
    state: str
    """``running``; ``finished`` with its test, where there is one; ``stopped`` by request or
    signal; ``failed`` by an error that is in its facts; ``died`` without a word."""
    start: Event
    started: datetime
    """When it was first started."""
    last: Event
    updated: datetime
    """When its last fact was written."""
    epoch: Event | None
    """The newest ``on_epoch_end`` that no resume does again."""
    test: Event | None
    """The newest ``on_test_end``."""

    @property
    def run_id(self) -> str:
        """Made once per run and kept over resumes."""
        return str(self.last["run_id"])

    @property
    def loop(self) -> str:
        """As in ``loop=pretrain``."""
        return str(self.last["loop"])

    @property
    def num_epochs(self) -> int | None:
        """Epochs that were planned; None where the facts do not say."""
        planned = self.start["meta"].get("num_epochs")
        return planned if isinstance(planned, int) else None

    @property
    def num_done(self) -> int:
        """Epochs that are done."""
        return 0 if self.epoch is None else int(self.epoch["epoch"]) + 1

    @property
    def best(self) -> dict[str, Any] | None:
        """The best epoch (from 0), its metric and value."""
        return None if self.epoch is None else self.epoch["best"]

    @property
    def data(self) -> str:
        """The table that it learns from, by the last two parts of its path."""
        table = self.start["meta"].get("inputs", {}).get("table")
        return "/".join(Path(table["path"]).parts[-2:]) if table else "?"


def summarize(run_dir: Path) -> RunSummary | None:
    """Tell a run from its folder alone; None if its facts hold no start (yet).

    Raises
    ------
    UserError
        If there are no facts. Their content never raises.
    """
    try:
        content = (run_dir / EVENTS).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{run_dir} holds no facts: give a run folder") from None
    first = next(_lines(content, b"on_start", newest=False), None)
    if first is None:
        return None
    resumed = next(_lines(content, b"on_resume"), None)
    last = next(_lines(content, b"[a-z_]+"), first)
    return RunSummary(
        run_dir=run_dir,
        state=state_of(last, first if resumed is None else resumed, is_written(run_dir)),
        start=first if resumed is None else resumed,
        started=time_of(first),
        last=last,
        updated=time_of(last),
        epoch=_newest_epoch(content),
        test=next(_lines(content, b"on_test_end"), None),
    )


def state_of(last: Event, start: Event, is_written: bool) -> str:
    """One of ``STATES``, from the last fact, the newest start, and whether somebody writes."""
    ends = {"on_stop": STOPPED, "on_exception": FAILED, "on_test_end": FINISHED}
    if last["moment"] in ends:
        return ends[last["moment"]]
    if is_written:
        return RUNNING
    is_tested_later = start["meta"].get("num_samples", {}).get("test", 0) > 0
    return FINISHED if last["moment"] == "on_train_end" and not is_tested_later else DIED


def has_checkpoint(run_dir: Path) -> bool:
    """Whether there is something to go on from."""
    return any((run_dir / name).is_file() for name in RESUMABLE)


def find_runs(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Run folders at or below a folder, in the order of their names.

    ``outputs`` holds them two and three levels down (``runs/run_…``, ``multiruns/exp_…/run_…``).
    """
    try:
        is_run = (folder / EVENTS).is_file()
        inside = [] if is_run or depth == 0 else sorted(folder.iterdir())
    except OSError:  # gone, no folder, or not for us to read
        return
    if is_run:
        yield folder
    for one in inside:
        if one.name[0] != ".":
            yield from find_runs(one, depth - 1)


def time_of(event: Event) -> datetime:
    """When an event was written; the beginning of time where it does not say."""
    try:
        return datetime.strptime(event["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _newest_epoch(content: bytes) -> Event | None:
    resumed_at = math.inf
    for event in _lines(content, b"on_(?:epoch_end|resume)"):
        if event["moment"] == "on_resume":
            resumed_at = min(resumed_at, event["epoch"])
        elif event["epoch"] < resumed_at:
            return event
    return None


def _lines(content: bytes, moment: bytes, *, newest: bool = True) -> Iterator[Event]:
    """Events of a moment (a pattern), the newest first or last."""
    # Within a text, quotes stand behind a backslash: only the field itself looks like this.
    places = [one.start() for one in re.finditer(rb'"moment":\s*"%b"' % moment, content)]
    start = end = 0
    for place in reversed(places) if newest else places:
        if start <= place < end:  # a broken line may hold thousands of them: it was looked at
            continue
        start, end = content.rfind(b"\n", 0, place) + 1, content.find(b"\n", place)
        if end < 0:  # torn
            end = len(content)
            continue
        event = parse_event(content[start:end])
        # A torn line that another one went on has two moments, of which the second counts.
        if event is not None and re.fullmatch(moment.decode(), event["moment"]):
            yield event
