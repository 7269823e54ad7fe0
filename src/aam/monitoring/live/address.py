"""Where the live page is served: a port, an address with a token, and the way there by ssh."""

import os
import secrets
import socket
import sys
from dataclasses import dataclass, field
from errno import EADDRNOTAVAIL
from importlib.util import find_spec
from urllib.parse import urlsplit

from aam.errors import UserError

LOCAL = "127.0.0.1"
FIRST_PORT = 8585
_ANY = ("0.0.0.0", "::")
_NUM_PORTS = 20
_NEEDED = ("starlette", "uvicorn", "sse_starlette", "plotly")


@dataclass(frozen=True)
class Address:
    """A socket that listens, and the token that whoever asks must know."""

    listener: socket.socket
    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def port(self) -> int:
        """The port that it has."""
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The whole address of the page, as a browser on this machine takes it."""
        host = socket.gethostname() if self.host in _ANY else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{self.token}/"


def check_installed() -> None:
    """Raise ``UserError`` if there are packages missing that only the live page needs."""
    missing = [name.replace("_", "-") for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"the live page needs {', '.join(missing)}, not installed here: "
            "pip install 'aam[monitor]'"
        )


def take_address(host: str = LOCAL, port: int | None = None) -> Address:
    """Listen on a port; 0 is any that is free, None ``FIRST_PORT`` or the next that is free.

    Raises
    ------
    UserError
        If there is no such host here, or the port is taken or reserved.
    """
    wanted = range(FIRST_PORT, FIRST_PORT + _NUM_PORTS) if port is None else [port]
    reason = OSError()
    for one in wanted:
        try:
            return Address(_listening(host, one), host)
        except socket.gaierror as error:
            raise UserError(f"host={host} is not known here: {error.strerror}") from None
        except OSError as error:
            if error.errno == EADDRNOTAVAIL:
                raise UserError(
                    f"host={host} is no address of this machine: give one that it has, or "
                    "0.0.0.0 for all of them"
                ) from None
            reason = error
    raise UserError(
        f"nothing can be served at host={host} port={wanted[-1]}: {reason.strerror}; "
        "port=0 takes one that is free"
    )


def has_display() -> bool:
    """Whether a browser that is opened here is seen by the user."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def tunnel(url: str) -> str:
    """The command that makes the address of a page be found from another machine as well."""
    port = urlsplit(url).port
    return f"ssh -N -L {port}:{LOCAL}:{port} {socket.gethostname()}"


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(128)  # a browser that is opened now waits for its answer
    except OSError:
        listener.close()
        raise
    return listener
