"""The worker as the trainer sees it: a pipe to it, what it says, and how it ended."""

import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

_log = logging.getLogger(__name__)
_LEVELS = {"INFO": logging.INFO, "WARNING": logging.WARNING}
_REAP_S = 0.5


class LostError(Exception):
    """The process does not draw any more; the message says what became of it."""


class DrawingProcess:
    """A worker that takes requests. Nothing here waits for it but ``finish``.

    Raises
    ------
    LostError
        If it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._last_words = ""
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C stops the training, which has figures to finish
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise LostError(f"it cannot be started: {error}") from None
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self._requests = self.process.stdin.fileno()
        self._notices = self.process.stderr.fileno()
        for pipe in (self._requests, self._notices):
            os.set_blocking(pipe, False)

    def send(self, request: bytes) -> bool:
        """Give it a request; False if the pipe is full, for it is behind then.

        Raises
        ------
        LostError
            If it takes no requests any more.
        """
        try:
            os.write(self._requests, request)  # so short a text goes whole or not at all
        except BlockingIOError:
            return False
        except OSError as error:
            self.relay()
            raise LostError(self._ending() or f"it cannot be reached: {error}") from None
        return True

    def relay(self) -> None:
        """Log what it has said by now."""
        with suppress(BlockingIOError):
            self._log(os.read(self._notices, 1 << 16))

    def finish(self, requests: bytes, timeout_s: float) -> None:
        """Give it the last requests, and wait until it has drawn all and left.

        Raises
        ------
        LostError
            If it leaves with an error, or takes longer than ``timeout_s``.
        """
        try:
            _, said = self.process.communicate(requests, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise LostError("it takes too long") from None
        self._log(said)
        if self.process.returncode:
            raise LostError(self._ending())

    def end(self) -> None:
        """Make sure that it is gone; one that hangs in a file system may stay for a while."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_REAP_S)
        for pipe in (self.process.stdin, self.process.stderr):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()

    def _log(self, said: bytes) -> None:
        """Its notices have a level; the last of other lines may say why it ended."""
        for line in said.decode(errors="replace").splitlines():
            level, _, text = line.partition(" ")
            if level in _LEVELS:
                _log.log(_LEVELS[level], "%s", text)
            elif line.strip():
                self._last_words = line.strip()

    def _ending(self) -> str:
        """How it ended; empty while it has not."""
        try:
            code = self.process.wait(timeout=_REAP_S)
        except subprocess.TimeoutExpired:
            return ""
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it left with code {code}" + (f": {self._last_words}" if self._last_words else "")
