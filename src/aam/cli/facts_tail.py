"""``aam-facts tail``: follow a run in the terminal."""

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol

from aam.cli.printing import json_text, show
from aam.cli.words import read_words
from aam.errors import EXIT_FAILED, EXIT_OK, UserError

if TYPE_CHECKING:
    from aam.monitoring.runs.following import Watch

HELP = """\
aam-facts tail RUN [n=10] [--json]: follow a run in the terminal, on whatever machine it runs.

  aam-facts tail latest
  aam-facts tail RUN n=100             with the last hundred epochs before
  aam-facts tail RUN --json | jq …     every event as it comes, one a line, from the first on

Shows the last n epochs, then every epoch within a second of its end, what the diagnostics find, and
how the run ends; leaves with 0 then, also if it died. Waits for a run that has no facts yet. Ctrl-C
leaves; the run goes on."""
_INTERVAL_S = 0.5


class _Speaker(Protocol):
    def of(self, events: Sequence[dict[str, Any]]) -> list[str]:
        """What to print of the events that came."""


class _Raw:
    """Events as JSON, one a line; of the first ones, those of the last ``num_past`` epochs."""

    def __init__(self, num_past: int | None) -> None:
        self._num_past = num_past

    def of(self, events: Sequence[dict[str, Any]]) -> list[str]:
        from aam.monitoring.runs.following import since_epochs

        if self._num_past is not None and events:
            events = events[since_epochs(events, self._num_past) :]
            self._num_past = None
        return [json_text(event) for event in events]


def tail(words: Sequence[str]) -> int:
    """Follow the run until it ends, the reader leaves, or Ctrl-C.

    Raises
    ------
    UserError
        If a word is wrong, or there is no such run.
    OSError
        If its facts cannot be read.
    """
    given = read_words("tail", words, named="RUN", keys={"n": "EPOCHS"})
    num_past = _number(given.values.get("n"))
    from aam.facts.finding import find_run
    from aam.monitoring.runs.following import GONE, Lines, Watch

    def speaker() -> _Speaker:
        return _Raw(num_past) if given.is_json else Lines(10 if num_past is None else num_past)

    watch = Watch(find_run(given.only_named()))
    _check_readable(watch.run_dir)
    try:
        is_over = _follow(watch, speaker)
    except KeyboardInterrupt:
        return EXIT_OK
    if is_over and not given.is_json:
        show(_last_words(watch))
    return EXIT_FAILED if watch.state == GONE else EXIT_OK


def _check_readable(run_dir: Path) -> None:
    """Facts that are not for us to read never come; those that are not there yet may."""
    from aam.facts.reader import EVENTS

    with suppress(FileNotFoundError, NotADirectoryError), (run_dir / EVENTS).open("rb"):
        pass


def _number(text: str | None) -> int | None:
    if text is not None and not text.isdecimal():
        raise UserError(f"n={text} is no number of epochs: give one such as n=10")
    return None if text is None else int(text)


def _follow(watch: "Watch", make: Callable[[], _Speaker]) -> bool:
    """Print what comes; whether it is the run that has ended, not the reader who has left."""
    speaker = make()
    is_told_to_wait = False
    while True:
        is_anew, events = watch.read()
        if is_anew:
            print(f"{watch.run_dir}: the facts begin anew", file=sys.stderr)
            speaker = make()
        if not all(show(text) for text in speaker.of(events)):
            return False
        if not watch.goes_on:
            return True
        if watch.state is None and not is_told_to_wait:
            print(f"{watch.run_dir} has no facts yet: waiting for them", file=sys.stderr)
            is_told_to_wait = True
        sleep(_INTERVAL_S)


def _last_words(watch: "Watch") -> str:
    """How it stands, and where to go from there."""
    from aam.facts.summary import DIED, FINISHED
    from aam.monitoring.runs.following import GONE
    from aam.monitoring.runs.telling import resume_command
    from aam.monitoring.wording import near

    if watch.state == GONE:
        return f"{watch.run_dir} is gone."
    how = f"The run {'is' if watch.state == FINISHED else 'has'} {watch.state}"
    if watch.state == DIED:
        how += ": nobody writes its facts, and they do not say why"
    more = f"aam-facts show {shlex.quote(str(near(watch.run_dir)))}"
    go_on = None if watch.state == FINISHED else resume_command(watch.run_dir, watch.error)
    return f"{how}.\n" + (f"Go on: {go_on}\n" if go_on else "") + f"More:  {more}"
