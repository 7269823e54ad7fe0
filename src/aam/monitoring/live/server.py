"""Serve the live page. Needs uvicorn: imported only where a page is about to be served."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from aam.monitoring.live.address import Address
from aam.monitoring.live.app import make_app
from aam.monitoring.live.board import Board
from aam.monitoring.live.gate import Gate
from aam.monitoring.live.pages import Pages

# How long requests may take that are being answered when the end comes.
GRACE_S = 1
_SETTINGS: dict[str, Any] = {
    "http": "h11",
    "ws": "none",
    "loop": "asyncio",
    "lifespan": "on",
    "log_config": None,
    "log_level": "critical",
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": GRACE_S,
}


def serve(
    folder: Path,
    address: Address,
    *,
    idle_s: float | None = None,
    is_needed: Callable[[], bool] = lambda: False,
) -> None:
    """Serve the page of a folder until a signal, the page itself, or an idle time ends it.

    ``idle_s`` and ``is_needed`` are those of :class:`aam.monitoring.live.pages.Pages`. SIGINT and
    SIGTERM end it as wished: nothing is raised.
    """

    def end() -> None:
        server.force_exit = server.should_exit  # asked twice: wait for no answer under way
        server.should_exit = True
        pages.close()

    board = Board(folder)
    pages = Pages(board, on_idle=end, idle_s=idle_s, is_needed=is_needed)
    app = Gate(make_app(board, pages, end), address.token, [address.host])
    server = _Server(uvicorn.Config(app, **_SETTINGS), end)
    with closing(address.listener):
        server.run(sockets=[address.listener])


class _Server(uvicorn.Server):
    """Has signals call ``end``; uvicorn would raise them once more when all is over."""

    def __init__(self, config: uvicorn.Config, end: Callable[[], None]) -> None:
        super().__init__(config)
        self._end = end

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        is_main = threading.current_thread() is threading.main_thread()
        both = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        for one in both:
            loop.add_signal_handler(one, self._end)
        try:
            yield
        finally:
            for one in both:
                loop.remove_signal_handler(one)
