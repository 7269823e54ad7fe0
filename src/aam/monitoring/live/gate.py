"""Who may ask: one who knows the token, and calls this machine by a name that is its own."""

import secrets
import socket
from collections.abc import Collection, MutableMapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSAL = "This page needs its whole address, with the token in it: aam-monitor prints it.\n"
FOREIGN = "This machine is not known by that name: put its IP address in place of it.\n"
# Scripts and styles only from here; what a fact says is never run, and never sent elsewhere.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Gate:
    """ASGI application around another, which gets what lies below ``/TOKEN`` and nothing else.

    ``names`` are those by which this machine may be called, besides any IP address and localhost: a
    page from elsewhere that has its name lead here (DNS rebinding) is sent away.
    """

    def __init__(self, app: "ASGIApp", token: str, names: Collection[str] = ()) -> None:
        self._app = app
        self._token = token.encode()
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Let one request through, or refuse it."""
        from starlette.responses import PlainTextResponse, RedirectResponse

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token, mark, path = scope["path"].removeprefix("/").partition("/")
        app: ASGIApp = PlainTextResponse(REFUSAL, 403)
        if secrets.compare_digest(token.encode(errors="replace"), self._token):
            if not self._is_ours(scope["headers"]):
                app = PlainTextResponse(FOREIGN, 403)
            elif not mark:  # the last sign is easily missed when an address is copied
                app = RedirectResponse(f"/{token}/")
            else:
                scope, app = {**scope, "path": f"/{path}"}, self._app
        await app(scope, receive, _with_headers(send))

    def _is_ours(self, headers: list[tuple[bytes, bytes]]) -> bool:
        hosts = [value.decode("latin-1") for key, value in headers if key == b"host"]
        return len(hosts) == 1 and (_is_address(hosts[0]) or _name(hosts[0]) in self._names)


def _name(host: str) -> str:
    """Without the port."""
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() else host).lower()


def _is_address(host: str) -> bool:
    try:
        ip_address(_name(host).strip("[]"))
    except ValueError:
        return False
    return True


def _with_headers(send: "Send") -> "Send":
    """Add ``HEADERS`` to what is sent, but for those that it has."""

    async def sending(message: "Message") -> None:
        if message["type"] == "http.response.start":
            message = _completed(message)
        await send(message)

    return sending


def _completed(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    given = list(message["headers"])
    names = {name.lower() for name, _ in given}
    ours = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
    return {**message, "headers": [*given, *(one for one in ours if one[0] not in names)]}
