"""A connection from each rank to the first, by which either learns at once that the other ended.

The system closes the connections of a process, whatever it died of. A collective may not notice:
NCCL waits on the GPU, where no Python runs, until somebody kills the process.
"""

import hmac
import json
import os
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

from aam.errors import EXIT_FAILED, RankLostError
from aam.training.ranks import FIRST_IS_GONE

GRACE_S = 10.0  # torchrun kills the other ranks 30 s after one has failed
_NOTICE_S = 5.0
_MEET_S = 60.0
_GREET_S = 5.0
_OUTLAST_S = 600.0
_TOKEN_BYTES = 16


class Meeting:
    """Where the other ranks find the first: a port that is open until all are there."""

    def __init__(self) -> None:
        self._server = socket.create_server(("", 0))
        self._server.settimeout(_MEET_S)
        self.port: int = self._server.getsockname()[1]
        self.token = secrets.token_bytes(_TOKEN_BYTES)

    def wait_for(self, num_others: int) -> dict[int, socket.socket]:
        """The connections to so many ranks, by their numbers; then nobody else is let in."""
        found: dict[int, socket.socket] = {}
        with self._server:
            while len(found) < num_others:
                connection, _ = self._server.accept()
                connection.settimeout(_GREET_S)
                said = b""
                with suppress(OSError):  # a stranger who is silent
                    said = connection.recv(_TOKEN_BYTES + 4, socket.MSG_WAITALL)
                if hmac.compare_digest(said[:_TOKEN_BYTES], self.token):
                    found[int.from_bytes(said[_TOKEN_BYTES:])] = _kept(connection)
                else:
                    connection.close()
        return found


def meet_first(host: str, port: int, token: bytes, rank: int) -> dict[int, socket.socket]:
    """The connection to the first rank."""
    connection = socket.create_connection((host, port), timeout=_MEET_S)
    connection.sendall(token + rank.to_bytes(4))
    return {0: _kept(connection)}


class Lifeline:
    """Watches the other ends of ``connections`` from a thread of its own, while in use.

    Where a rank is lost, the collectives of the others fail, or hang: those of NCCL do, and those
    of gloo below DDP while the lost rank lives. If that is not taken in hand after a while,
    ``at_loss`` and ``last_words`` are called from the thread, and the process ends at once.
    """

    def __init__(
        self,
        connections: Mapping[int, socket.socket],
        last_words: Callable[[Exception], object] = str,
    ) -> None:
        self.at_loss: Callable[[Exception], object] = str
        self._last_words = last_words
        self._connections = connections
        self._loss: str | None = None
        self._is_pressing = False
        self._is_noticed = threading.Event()
        self._is_in_hand = threading.Event()
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        self._say({"host": socket.gethostname(), "pid": os.getpid()})
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._is_in_hand.set()
        ended = None if error is None else f"{type(error).__name__}: {error}"
        # What is no Exception is a stop: most often all ranks agreed to it, and are still saving.
        self._say({"end": ended, "is_stop": not isinstance(error, Exception)})

    def outlast(self) -> None:
        """Wait until the other ends are gone.

        torchrun ends all ranks with the first that fails: that must not be one whose last words
        are still to be written.
        """
        for connection in self._connections.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        if self._is_over.wait(_OUTLAST_S):
            FIRST_IS_GONE.set()

    def take_in_hand(self) -> None:
        """End this process in good order from here on, whatever becomes of the others."""
        self._is_in_hand.set()

    def loss(self) -> str | None:
        """Who was lost and how, if anybody: a collective may fail before that is noticed."""
        self._is_noticed.wait(_NOTICE_S)
        return self._loss

    def _say(self, what: dict[str, object]) -> None:
        for connection in self._connections.values():
            with suppress(OSError):
                connection.sendall(json.dumps(what).encode() + b"\n")

    def _watch(self) -> None:
        heard = dict.fromkeys(self._connections, b"")
        with selectors.DefaultSelector() as selector:
            for rank, connection in self._connections.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            while selector.get_map() and self._loss is None:
                for key, _ in selector.select():
                    rank, word = key.data, _received(key.fileobj)
                    heard[rank] += word
                    if not word:
                        selector.unregister(key.fileobj)
                        self._judge(rank, heard[rank])
        self._is_over.set()
        self._is_noticed.set()
        if self._loss is not None and self._is_pressing:
            self._insist(self._loss)

    def _judge(self, rank: int, heard: bytes) -> None:
        """How a rank ended, by what it had said."""
        said: dict[str, object] = {}
        for line in heard.splitlines():
            with suppress(ValueError):
                said |= json.loads(line)
        name = f"rank {rank} (process {said.get('pid', '?')} on {said.get('host', '?')})"
        if "end" not in said:
            self._loss = f"{name} died"
        elif said["end"] is not None:
            self._loss = f"{name} ended with {said['end']}"
        self._is_pressing = not said.get("is_stop")

    def _insist(self, loss: str) -> None:
        if self._is_in_hand.wait(GRACE_S):
            return
        for tell in (self.at_loss, self._last_words):
            with suppress(Exception):
                tell(RankLostError(loss))
        os._exit(EXIT_FAILED)


def _kept(connection: socket.socket) -> socket.socket:
    """A connection whose other end is asked for now and then.

    It stays until the system closes it with the process, whoever lets go of it before: an end that
    is seen too early has torchrun kill the first rank in its last words.
    """
    os.dup(connection.fileno())
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _received(connection: object) -> bytes:
    """What has come; nothing where the other end is gone."""
    assert isinstance(connection, socket.socket)
    try:
        return connection.recv(4096)
    except OSError:
        return b""
