"""The pages that are open: each is told that something changed, and asks for it then."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from aam.monitoring.live.board import Board

# A scan looks at a few files of each run. It is repeated so soon, or after so many times as long
# as it took: over a slow network, many runs must not keep the file server busy.
PAUSE_S = 0.5
REST = 9.0
MAX_PAUSE_S = 1.5
# With no page open, only the end of the runs is waited for.
UNSEEN_PAUSE_S = 10.0


class Pages:
    """Watches the board for all open pages at once, as long as :meth:`watch` runs.

    ``idle_s``: for how long no page is open and no run goes on before ``on_idle`` is called; None
    for ever. ``is_needed`` says whether somebody counts on the server still.
    """

    def __init__(
        self,
        board: Board,
        *,
        on_idle: Callable[[], None] = lambda: None,
        idle_s: float | None = None,
        is_needed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._board = board
        self._on_idle = on_idle
        self._idle_s = idle_s
        self._is_needed = is_needed
        self._opened: list[str | None] = []  # the run that each open page shows
        self._news = asyncio.Event()  # another one after each scan
        self._hurry = asyncio.Event()
        self._is_closed = False

    async def changes(self, key: str | None) -> AsyncIterator[dict[str, str]]:
        """Tell a page, which shows a run or only the list, of each new state of the board."""
        self._opened.append(key)
        self._hurry.set()
        sent = None
        try:
            while not self._is_closed:
                news = self._news
                state = self._board.state(key)
                if state != sent:
                    yield {"data": json.dumps(state)}
                    sent = state
                await news.wait()
            yield {"event": "closed", "data": ""}
        finally:
            self._opened.remove(key)

    async def watch(self) -> None:
        """Scan the board again and again."""
        seen_at = time.monotonic()
        while not self._is_closed:
            started = time.monotonic()
            self._hurry.clear()
            opened = [key for key in self._opened if key is not None]
            await asyncio.to_thread(self._board.scan, opened)
            self._tell()
            now = time.monotonic()
            if self._opened or self._board.has_running() or self._is_needed():
                seen_at = now
            elif self._idle_s is not None and now - seen_at >= self._idle_s:
                self._on_idle()
                return
            await self._rest(now - started)

    def close(self) -> None:
        """Let all pages go; the next one is told at once that there is nothing here."""
        self._is_closed = True
        self._hurry.set()
        self._tell()

    async def _rest(self, took_s: float) -> None:
        pause_s = min(max(PAUSE_S, REST * took_s), MAX_PAUSE_S)
        if not self._opened:
            idle_s = UNSEEN_PAUSE_S if self._idle_s is None else self._idle_s
            pause_s = max(PAUSE_S, min(UNSEEN_PAUSE_S, idle_s))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), pause_s)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
