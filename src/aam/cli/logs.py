"""Where log records go: sentences to the console, everything with its time to ``train.log``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

_PYTHON_WARNINGS = "py.warnings"  # of libraries; they help nobody on a console


class _Sentences(logging.Formatter):
    """The message alone, and the traceback where it is wanted."""

    def __init__(self, tracebacks: bool) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if self._tracebacks and record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Lines(logging.Formatter):
    """Time, level and origin, and the traceback of what nobody foresaw."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "foreseen", False):
            record = copy(record)
            record.exc_info = record.exc_text = None
        return super().format(record)


class _File(logging.FileHandler):
    """A log that never adds its own failure (a full disk) to what goes wrong."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Leave the record out."""


@contextmanager
def console(*, tracebacks: bool) -> Iterator[None]:
    """Show what is WARNING or worse on stderr while the block runs.

    A filter holds back the rest, not the handler's level: the progress bar swaps the handler for
    one that does not tear it, and takes over the filters only.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Sentences(tracebacks))
    handler.addFilter(_for_people)
    ours = logging.getLogger("aam")
    level = ours.level
    ours.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        with _added(handler):
            yield
    finally:
        logging.captureWarnings(False)
        ours.setLevel(level)


@contextmanager
def silence() -> Iterator[None]:
    """Show nothing while the block runs."""
    logging.captureWarnings(True)
    try:
        with _added(logging.NullHandler()):
            yield
    finally:
        logging.captureWarnings(False)


@contextmanager
def train_log(run_dir: Path | None) -> Iterator[None]:
    """Append what is INFO or worse to ``train.log`` in the run folder while the block runs."""
    if run_dir is None:
        yield
        return
    handler = _File(run_dir / "train.log", encoding="utf-8")
    handler.setFormatter(_Lines())
    with _added(handler):
        yield


@contextmanager
def _added(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def _for_people(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING and record.name != _PYTHON_WARNINGS
