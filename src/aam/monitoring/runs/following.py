"""A run in the terminal while it goes on: from events to the lines that a person reads."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aam.facts.follow import Follower
from aam.facts.presence import is_written
from aam.facts.reader import EVENTS, epoch_events
from aam.facts.summary import RUNNING, state_of
from aam.monitoring.scores import of_model
from aam.monitoring.wording import duration, epoch_line, number, resumed_line

Event = dict[str, Any]
GONE = "gone"
_STARTS = ("on_start", "on_resume")
_MAX_MESSAGE = 400  # it may name all samples of a batch


class Watch:
    """Reads what is new of a run, and knows when there is no more to come."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.state: str | None = None
        """None while there is no fact, then a state of a run, or ``gone``."""
        self._follower = Follower(run_dir)
        self._last: Event | None = None
        self._start: Event = {"meta": {}}

    def read(self) -> tuple[bool, list[Event]]:
        """Whether the facts began anew, and the events that came since the last call."""
        # Looked for first: whatever a writer wrote before it left is then read below.
        somebody_writes = is_written(self.run_dir)
        generation = self._follower.generation
        events = self._follower.read()
        for event in events:
            self._last = event
            if event["moment"] in _STARTS:
                self._start = event
        if self._last is not None:
            is_there = (self.run_dir / EVENTS).exists()
            self.state = state_of(self._last, self._start, somebody_writes) if is_there else GONE
        return self._follower.generation != generation, events

    @property
    def error(self) -> dict[str, str] | None:
        """What it failed by."""
        return None if self._last is None else self._last["error"]

    @property
    def goes_on(self) -> bool:
        """Whether more may come."""
        return self.state in (None, RUNNING)


class Lines:
    """Tells events to a person; of the first ones, the start and the last ``num_past`` epochs."""

    def __init__(self, num_past: int) -> None:
        self._num_past: int | None = num_past
        self._num_epochs: int | None = None
        self._num_done = 0
        self._val_losses: dict[int, float | None] = {}
        self._kinds: list[str] = []

    def of(self, events: Sequence[Event]) -> list[str]:
        """The lines of the events that came since the last call."""
        told = [self._of(event) for event in events]
        first = 0
        head: list[str] = []
        if self._num_past is not None and events:
            first = since_epochs(events, self._num_past)
            self._num_past = None
            skipped = len(epoch_events(events[:first]))
            if skipped:
                head = [*told[0], f"… {skipped} epoch{'' if skipped == 1 else 's'} before"]
        return [*head, *(line for lines in told[first:] for line in lines)]

    def _of(self, event: Event) -> list[str]:
        moment = event["moment"]
        if moment in _STARTS:
            return self._begin(event)
        if moment == "on_epoch_end":
            return self._epoch(event)
        if moment == "on_train_end":
            return self._trained(event)
        if moment == "on_test_end":
            scores = of_model(event["metrics"]["test"])
            return ["Test: " + ", ".join(f"{name} {number(v)}" for name, v in scores.items())]
        if moment == "on_exception":
            error = event["error"]
            from aam.monitoring.style import shortened  # imports numpy

            why = shortened(error["message"], _MAX_MESSAGE)
            return [f"Failed after {self._done()}: {error['type']}: {why}"]
        if moment == "on_stop":
            by = f" by {event['reason']}" if event["reason"] else ""
            return [f"Stopped{by} after {self._done()}"]
        return []

    def _begin(self, event: Event) -> list[str]:
        meta = event["meta"]
        planned = meta.get("num_epochs")
        self._num_epochs = planned if isinstance(planned, int) else None
        if event["moment"] == "on_resume":
            self._num_done = event["epoch"]
            return [resumed_line(event)]
        self._num_done = 0
        samples = [f"{n} {split}" for split, n in meta.get("num_samples", {}).items() if n]
        where = f"on {meta.get('hostname', '?')} ({meta.get('device', '?')})"
        return [", ".join([f"{event['loop']} {where}", f"samples: {', '.join(samples) or '?'}"])]

    def _epoch(self, event: Event) -> list[str]:
        epoch = event["epoch"]
        line = epoch_line(event, self._val_losses.get(epoch - 1), self._num_epochs)
        self._val_losses[epoch] = event["val_loss"]
        self._num_done = epoch + 1
        return [line, *self._judged(event["diagnostics"])]

    def _judged(self, findings: Sequence[dict[str, str]]) -> Iterator[str]:
        """Findings that are new, and those that are over: their evidence changes every epoch."""
        kinds = [one["kind"] for one in findings]
        for one in findings:
            if one["kind"] not in self._kinds:
                yield f"  {one['kind']}: {one['evidence']}. Advice: {one['advice']}"
        over = [kind for kind in self._kinds if kind not in kinds]
        if over:
            yield f"  no longer: {', '.join(over)}"
        self._kinds = kinds

    def _trained(self, event: Event) -> list[str]:
        took = event["total_time_s"]
        text = f"Trained {self._done()}" + ("" if took is None else f" ({duration(took)})")
        best = event["best"]
        if best is not None:
            text += f", best epoch {best['epoch'] + 1} ({best['metric']} {number(best['value'])})"
        return [text]

    def _done(self) -> str:
        return f"{self._num_done} epoch{'' if self._num_done == 1 else 's'}"


def since_epochs(events: Sequence[Event], num_epochs: int) -> int:
    """Where the last ``num_epochs`` epochs begin in a list of events."""
    ends = [place for place, one in enumerate(events) if one["moment"] == "on_epoch_end"]
    if len(ends) <= num_epochs:
        return 0
    return ends[-num_epochs] if num_epochs else ends[-1] + 1
