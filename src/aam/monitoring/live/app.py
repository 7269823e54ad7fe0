"""The routes of the live page. Needs starlette: only ``server`` imports this."""

import getpass
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from aam.facts.stopping import request_stop
from aam.monitoring.live.board import Board, Entry
from aam.monitoring.live.figures import media_type, read_figure
from aam.monitoring.live.followed import Followed
from aam.monitoring.live.pages import Pages
from aam.monitoring.live.views import list_view, look, run_view

PAGE = Path(__file__).with_name("page")
# A figure that somebody opens by itself: drawn, never run.
_FIGURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


def make_app(board: Board, pages: Pages, close: Callable[[], None]) -> Starlette:
    """The application; ``close`` ends the server that it runs in."""

    def runs(_: Request) -> Response:
        board.refresh()
        rows = list_view(board.entries(), board.folder)
        told = {"folder": str(board.folder), "exists": board.exists, "is_run": _is_run(board)}
        return JSONResponse(told | {"now": time.time(), "look": look(), "runs": rows})

    def run(request: Request) -> Response:
        board.refresh()
        entry = _entry(board, request)
        entry.followed = followed = entry.followed or Followed(entry.run_dir)
        given = request.query_params
        since = given.get("since", "")
        told = run_view(
            entry,
            followed,
            board.folder,
            int(since) if since.isascii() and since.isdigit() else 0,
            given.get("generation", ""),
        )
        if told is None:
            raise HTTPException(404, "This run has no facts yet, or they cannot be read.")
        return JSONResponse(told)

    def figure(request: Request) -> Response:
        name = request.path_params["name"]
        content = read_figure(_entry(board, request).run_dir, name)
        if content is None:
            raise HTTPException(404, "There is no such figure.")
        headers = {"content-security-policy": _FIGURE_POLICY, "cache-control": "private"}
        return Response(content, media_type=media_type(name), headers=headers)

    def stop(request: Request) -> Response:
        board.refresh(0)
        entry = _entry(board, request)
        if not entry.is_running:
            raise HTTPException(409, "This run does not go on any more.")
        try:
            request_stop(entry.run_dir, f"{_who()} by the live page")
        except OSError as error:
            raise HTTPException(
                500, f"The request cannot be written into the run folder: {error.strerror}."
            ) from None
        board.refresh(0)
        return JSONResponse({})

    async def changes(request: Request) -> Response:
        return EventSourceResponse(pages.changes(request.query_params.get("run")))

    async def end(_: Request) -> Response:
        close()
        return JSONResponse({})

    @asynccontextmanager
    async def watching(_: Starlette) -> AsyncIterator[None]:
        import asyncio

        watch = asyncio.create_task(pages.watch())
        yield
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch

    routes = [
        Route("/api/runs", runs),
        Route("/api/run", run),
        Route("/api/stop", stop, methods=["POST"]),
        Route("/api/close", end, methods=["POST"]),
        Route("/api/changes", changes),
        Route("/figures/{name}", figure),
        *(Route(f"/{name}", _file(path)) for name, path in _files().items()),
    ]
    return Starlette(
        routes=routes, lifespan=watching, exception_handlers={HTTPException: _sentence, 500: _bug}
    )


def _files() -> dict[str, Path]:
    """Address → file of all that the page is made of; plotly.js comes with the plotly package."""
    spec = find_spec("plotly")  # does not import it
    assert spec is not None
    assert spec.submodule_search_locations is not None
    plotly = Path(spec.submodule_search_locations[0], "package_data", "plotly.min.js")
    own = {path.name: path for path in PAGE.iterdir() if path.suffix in (".css", ".js", ".svg")}
    return {"": PAGE / "index.html", "plotly.js": plotly, **own}


def _file(path: Path) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        # Plotly is 5 MB, and ssh may be slow: it is fetched once by each browser.
        kept = "private, max-age=86400" if path.parent != PAGE else "no-cache"
        return FileResponse(path, headers={"cache-control": kept})

    return answer


def _entry(board: Board, request: Request) -> Entry:
    """The run that the request names: one of those on the board, never a path."""
    entry = board.entry(request.query_params.get("run", ""))
    if entry is None:
        raise HTTPException(404, "This run is gone: its folder was deleted or moved.")
    return entry


def _is_run(board: Board) -> bool:
    """Whether the folder is that of one run."""
    return [entry.run_dir for entry in board.entries()] == [board.folder]


def _who() -> str:
    """As in ``name@host``."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for this user
        name = "somebody"
    return f"{name}@{socket.gethostname()}"


async def _sentence(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _bug(_: Request, error: Exception) -> Response:
    what: dict[str, Any] = {"error": f"This cannot be shown: {type(error).__name__}: {error}"}
    return JSONResponse(what, 500)
