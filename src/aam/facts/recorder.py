"""Write the facts of a run: each event to disk first, then to whoever listens."""

import json
import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.curves import Curves
from aam.facts.files import LineFile, write_atomically
from aam.facts.listener import Listener, Progress
from aam.facts.plain import plain
from aam.facts.presence import Presence
from aam.facts.reader import EVENTS, best, epoch_events, read_events
from aam.facts.scalars import Scalars
from aam.facts.schema import (
    BOUND_FIELDS,
    DONE_AGAIN_MOMENTS,
    MOMENTS,
    SPLITS,
    blank_event,
    misfit,
)

_log = logging.getLogger(__name__)

# The caller gives these.
_GIVEN_FIELDS = blank_event().keys() - {
    "schema_version",
    "moment",
    "run_id",
    "run_dir",
    "loop",
    "timestamp",
    "nonfinite",
    "resumed_from",
}


class Recorder:
    """The one writer of a run's ``facts/`` and ``training_metrics.json``.

    Parameters
    ----------
    run_dir
        The run folder; ``None`` writes nothing, listeners still hear everything.
    loop
        Name of the loop, as in ``loop=pretrain``.
    metric_names
        Plain names of all metrics that the run may give: the ``metric_*`` columns of
        ``scalars.csv``.
    run_id
        Only for a new run; made here if not given. A resumed run keeps its own.
    resume
        Go on with the facts in ``run_dir``. The caller then emits ``on_resume``, whose ``epoch`` is
        the first that will be done again, before any other epoch.

    Raises
    ------
    UserError
        If a new run's folder already holds facts, if there are none to resume, if their columns
        differ, or if another process is writing them (``Presence`` says how that is told).
    """

    def __init__(
        self,
        run_dir: Path | None,
        *,
        loop: str,
        metric_names: Sequence[str],
        run_id: str | None = None,
        resume: bool = False,
    ) -> None:
        self.run_dir = None if run_dir is None else run_dir.absolute()
        self.loop = loop
        self.run_id = run_id or _new_run_id()
        self.listeners: list[Listener] = []
        self._curves = Curves()
        self._resumed_from: dict[int, int] = {}  # of the epochs that are done again
        self._events: LineFile | None = None
        self._scalars: Scalars | None = None
        self._presence: Presence | None = None
        if self.run_dir is not None:
            self._scalars = Scalars(self.run_dir / "facts" / "scalars.csv", metric_names)
            try:
                if resume:
                    self._reopen(self.run_dir, self._scalars)
                else:
                    self._create(self.run_dir, self._scalars)
            except BaseException:
                self.close()
                raise

    def emit(self, moment: str, **fields: Any) -> dict[str, Any]:
        """Record that something happened, tell the listeners, and return the event.

        ``fields`` are those of ``events.schema.json``; what is not given is null or empty.
        numpy and torch scalars are taken as they are. ``on_train_end`` gets its ``history`` here.

        Raises
        ------
        OSError
            If the disk refuses; the facts written before stay whole.
        UserError
            As ``refuse_if_lost``.
        """
        self.refuse_if_lost()
        if moment == "on_train_end":
            fields.setdefault("history", self._curves.history())
        event = self._event(moment, fields)
        if self._events is not None:
            self._events.append(json.dumps(event, allow_nan=False) + "\n")
        self._derive(event)
        self._tell("on_event", event)
        return event

    def refuse_if_lost(self) -> None:
        """Raise if another process has taken the run over.

        Raises
        ------
        UserError
            Naming it.
        """
        if self._presence is not None:
            self._presence.refuse_if_lost()

    def progress(self, progress: Progress) -> None:
        """Tell the listeners that a step is done. Nothing is written."""
        self._tell("on_progress", progress)

    def add_listener(self, listener: Listener) -> None:
        """Let ``listener`` hear all that comes from now on."""
        self.listeners.append(listener)

    def close(self) -> None:
        """Close the files, so that the run may go on elsewhere; then the listeners.

        A second call does nothing.
        """
        for held in (self._events, self._scalars, self._presence):
            if held is not None:
                held.close()
        self._tell("close")
        self.listeners.clear()

    def _create(self, run_dir: Path, scalars: Scalars) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        try:
            (run_dir / "facts").mkdir()  # of two runs that start together, one gets here
        except FileExistsError:
            raise UserError(
                f"{run_dir} already holds the facts of a run: "
                "choose another run folder, or resume that run"
            ) from None
        self._presence = Presence(run_dir)
        self._events = LineFile(run_dir / EVENTS)
        scalars.restart([])

    def _reopen(self, run_dir: Path, scalars: Scalars) -> None:
        events = read_events(run_dir / EVENTS)
        if not events:
            raise UserError(
                f"{run_dir / EVENTS} holds no event, so there is nothing to resume: start a new run"
            )
        scalars.check_header()
        self.run_id = events[0]["run_id"]
        self._presence = Presence(run_dir)
        self._events = LineFile(run_dir / EVENTS, outlives_lock=self._presence.took_over)

    def _event(self, moment: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The whole event in plain values; a ValueError if the caller broke the schema."""
        unknown = fields.keys() - _GIVEN_FIELDS
        if moment not in MOMENTS or unknown:
            raise ValueError(f"no such moment or fields: {moment} {sorted(unknown)}")
        for name, moments in BOUND_FIELDS.items():
            if (fields.get(name) is not None) != (moment in moments):
                raise ValueError(f"{name} belongs to {' and '.join(moments)}; this is {moment}")
        nonfinite: list[str] = []
        given = {
            name: plain(value, name, nonfinite)
            for name, value in fields.items()
            if value is not None
        }
        event = blank_event() | given
        event["metrics"] = {split: {} for split in SPLITS} | event["metrics"]
        event |= {
            "moment": moment,
            "run_id": self.run_id,
            "run_dir": None if self.run_dir is None else plain(self.run_dir, "run_dir", []),
            "loop": self.loop,
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "nonfinite": nonfinite,
        }
        if moment in DONE_AGAIN_MOMENTS:
            event["resumed_from"] = self._resumed_from.get(event["epoch"])
        wrong = misfit(event)
        if wrong is not None or len(event["metrics"]) > len(SPLITS):
            raise ValueError(f"{moment}: {wrong or 'metrics'} is not as the schema has it")
        return event

    def _derive(self, event: dict[str, Any]) -> None:
        """Bring what is made from events up to this one: curves, and the two files."""
        moment = event["moment"]
        if moment == "on_resume":
            self._restore(event["epoch"])
        self._curves.take(event)
        if self.run_dir is None or self._scalars is None:
            return
        if moment in ("on_epoch_end", "on_test_end"):
            self._scalars.append(event)
        if moment in ("on_epoch_end", "on_validation_improved", "on_resume"):
            text = json.dumps(self._curves.training_metrics(), allow_nan=False)
            write_atomically(self.run_dir / "training_metrics.json", text + "\n")

    def _restore(self, epoch: int) -> None:
        """Take up curves, best and ``scalars.csv`` as a reader sees them after ``on_resume``."""
        if self.run_dir is None or self._scalars is None:
            return
        events = read_events(self.run_dir / EVENTS)
        told = {one["epoch"] for one in events if one["moment"] == "on_epoch_end"}
        self._resumed_from = {again: epoch for again in told if again >= epoch}
        epochs = epoch_events(events)
        self._curves.restore(epochs, best(events))
        self._scalars.restart(epochs)

    def _tell(self, method: str, *arguments: object) -> None:
        """Reach every listener; one that raises is reported, closed and dropped."""
        for listener in tuple(self.listeners):
            try:
                getattr(listener, method)(*arguments)
            except Exception as error:
                self.listeners = [other for other in self.listeners if other is not listener]
                name = type(listener).__name__
                _log.warning(
                    "the listener %s failed (%s: %s) and is left out from here on; "
                    "the training goes on",
                    name,
                    type(error).__name__,
                    error,
                )
                _log.debug("where %s failed:", name, exc_info=True)
                if method != "close":
                    with suppress(Exception):
                        listener.close()


def _new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
