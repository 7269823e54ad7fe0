"""``aam-train monitor=true``: a live page beside the runs of a command."""

import logging
from pathlib import Path

from aam.errors import UserError

_log = logging.getLogger(__name__)


class LivePage:
    """The live page of a command: started once, however many jobs a sweep has."""

    def __init__(self) -> None:
        self._is_started = False

    def show(self, folder: Path) -> None:
        """Start the page of a folder and say where it is; a page that cannot be is one warning."""
        if self._is_started:
            return
        self._is_started = True
        from aam.monitoring.live.address import tunnel
        from aam.monitoring.live.beside import start

        try:
            url = start(folder)
        except (UserError, OSError) as error:
            _log.warning("monitor=true: the training goes on without a live page: %s", error)
            return
        print(f"Live page: {url}\n  from another computer, first: {tunnel(url)}", flush=True)
