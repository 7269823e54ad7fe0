"""Errors that the user can mend, and the exit codes of every command."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 85


class UserError(Exception):
    """What the user gave is wrong: one sentence that says what, where and what to do.

    Commands print the sentence without a traceback and leave with ``EXIT_USER_ERROR``.
    """


class NonFiniteError(Exception):
    """A loss, output or gradient that is NaN or infinite: the update was not made.

    ``what`` says it in short, ``more`` goes on with the sentence.
    """

    def __init__(self, what: str, more: str = "") -> None:
        super().__init__(what + more)
        self.what = what


class StopRequestedError(BaseException):
    """A signal asked the run to stop; the newest whole epoch is saved.

    Like ``KeyboardInterrupt`` no ``Exception``: libraries on the way would take it for an error.
    """


class StopAfterEpochError(StopRequestedError):
    """Somebody asked the run to stop after its epoch: done as wished, not interrupted."""


def shown(names: object, limit: int = 3) -> str:
    """The first few of many names, for an error sentence: ``a, b, c and 7 more``."""
    listed = [str(name) for name in names]  # type: ignore[attr-defined]
    text = ", ".join(listed[:limit])
    return text if len(listed) <= limit else f"{text} and {len(listed) - limit} more"
