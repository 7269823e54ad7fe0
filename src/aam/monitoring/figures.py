"""Ask the drawing process for figures. Nothing here waits, until the run is over."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aam.config import LoggingConfig
from aam.facts.listener import Progress
from aam.monitoring.drawing_process import DrawingProcess, LostError
from aam.monitoring.plan import plan

_log = logging.getLogger(__name__)
ENDS = ("on_train_end", "on_stop", "on_exception")


class Figures:
    """Listener that posts "moment epoch" to a worker process, which is started when first needed.

    A request that does not fit into the pipe waits for the next one, or is replaced by it: the
    worker is behind then. A worker that is lost is warned of once and started once more, and asked
    for everything again; the training goes on in any case, at the worst without figures.
    """

    def __init__(
        self,
        run_dir: Path,
        logging_config: LoggingConfig,
        *,
        command: Sequence[str] = (sys.executable, "-P", "-m", "aam.monitoring.worker"),
        patience_s: float = 120.0,
    ) -> None:
        config = json.dumps(asdict(logging_config))
        self._command = (*command, str(run_dir.resolve()), config)
        self._patience_s = patience_s
        self._every_epochs = logging_config.every_epochs
        self._moments = {drawing.moment for drawing in plan(logging_config)}
        self._worker: DrawingProcess | None = None
        self._num_lost = 0
        # Moment → its newest request: all there were, and those that the worker has not got.
        self._wanted: dict[str, bytes] = {}
        self._unsent: dict[str, bytes] = {}
        self._passed_over: int | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        """Ask for the figures of this moment, and at an end for epochs that were passed over."""
        moment, epoch = event["moment"], event["epoch"]
        if moment == "on_epoch_end" and (epoch + 1) % self._every_epochs:
            self._passed_over = epoch
            return
        if moment in ENDS and self._passed_over is not None:
            moment, epoch = "on_epoch_end", self._passed_over
        if moment == "on_epoch_end":
            self._passed_over = None
        if moment in self._moments:
            self._wanted[moment] = self._unsent[moment] = f"{moment} {epoch}\n".encode()
            self._send()

    def on_progress(self, progress: Progress) -> None:
        """Steps have no figures."""

    def close(self) -> None:
        """Let the worker finish, but not for longer than it is worth."""
        deadline = time.monotonic() + self._patience_s
        # Twice at most: what a worker leaves that is lost now, another one draws.
        while self._is_hoped_for and (self._worker or self._unsent):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            try:
                worker = self._worker = self._worker or DrawingProcess(self._command)
                worker.finish(b"".join(self._unsent.values()), left_s)
            except LostError as lost:
                self._lose(lost)
            else:
                self._worker = None
                self._unsent.clear()

    @property
    def _is_hoped_for(self) -> bool:
        return self._num_lost < 2

    def _send(self) -> None:
        """Give the worker what it has not got, as far as that fits into the pipe."""
        if not self._is_hoped_for:
            return
        try:
            worker = self._worker = self._worker or DrawingProcess(self._command)
            for moment, request in tuple(self._unsent.items()):
                if not worker.send(request):
                    break
                del self._unsent[moment]
            worker.relay()
        except LostError as lost:
            self._lose(lost)

    def _lose(self, why: LostError) -> None:
        """Give the worker up; the first one with a warning, for one says all."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None
        self._num_lost += 1
        self._unsent = dict(self._wanted)
        if self._num_lost == 1:
            _log.warning(
                "the drawing process is lost (%s): the training goes on, and aam-facts plot draws "
                "what is missing in the end",
                why,
            )
        else:
            _log.info("the drawing process is lost again (%s): no more figures", why)
