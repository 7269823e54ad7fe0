"""Ask the drawing process for figures. Nothing here waits, until the run is over."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aam.config import LoggingConfig
from aam.facts.listener import Progress
from aam.monitoring.plan import plan

_log = logging.getLogger(__name__)
ENDS = ("on_train_end", "on_stop", "on_exception")


class Figures:
    """Listener that posts "moment epoch" to a worker process, which is started when first needed.

    A request that does not fit into the pipe is dropped: the worker is behind then, and a later one
    will do. A worker that dies is reported once; the training goes on without figures.
    """

    def __init__(
        self,
        run_dir: Path,
        logging_config: LoggingConfig,
        *,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "aam.monitoring.worker"),
        patience_s: float = 60.0,
    ) -> None:
        self._run_dir = run_dir.resolve()
        self._config = logging_config
        self._command = command
        self._patience_s = patience_s
        self._moments = {drawing.moment for drawing in plan(logging_config)}
        self._worker: subprocess.Popen[bytes] | None = None
        self._is_lost = False
        self._passed_over: int | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        """Ask for the figures of this moment, and at an end for epochs that were passed over."""
        moment, epoch = event["moment"], event["epoch"]
        if moment == "on_epoch_end" and (epoch + 1) % self._config.every_epochs:
            self._passed_over = epoch
            return
        if moment in ENDS and self._passed_over is not None:
            moment, epoch = "on_epoch_end", self._passed_over
        if moment == "on_epoch_end":
            self._passed_over = None
        if moment in self._moments:
            self._post(f"{moment} {epoch}\n")

    def on_progress(self, progress: Progress) -> None:
        """Steps have no figures."""

    def close(self) -> None:
        """Let the worker finish, but not for longer than it is worth."""
        worker = self._worker
        if worker is None or self._is_lost:
            return
        try:
            _, said = worker.communicate(timeout=self._patience_s)
            self._relay(said)
            if worker.returncode:
                self._lose(f"the drawing process ended with code {worker.returncode}")
        except subprocess.TimeoutExpired:
            self._lose(f"the drawing process was not done after {self._patience_s:g} s")

    def _post(self, request: str) -> None:
        if self._is_lost:
            return
        try:
            worker = self._worker = self._worker or self._start()
            assert worker.stdin is not None
            os.write(worker.stdin.fileno(), request.encode())
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"the drawing process cannot be reached ({error})")
        else:
            self._relay(self._said())

    def _start(self) -> "subprocess.Popen[bytes]":
        worker = subprocess.Popen(
            [*self._command, str(self._run_dir), json.dumps(asdict(self._config))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C stops the training, which then has figures to finish
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        for pipe in (worker.stdin, worker.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return worker

    def _said(self) -> bytes:
        """What the worker has said by now."""
        assert self._worker is not None
        assert self._worker.stderr is not None
        try:
            return os.read(self._worker.stderr.fileno(), 1 << 16)
        except BlockingIOError:
            return b""

    def _relay(self, said: bytes) -> None:
        for line in said.decode(errors="replace").splitlines():
            level = logging.INFO if line.startswith("INFO ") else logging.WARNING
            _log.log(level, "%s", line.removeprefix("INFO ").removeprefix("WARNING "))

    def _lose(self, why: str) -> None:
        self._is_lost = True
        _log.warning("%s: the run goes on without new figures", why)
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
