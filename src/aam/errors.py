"""Errors that the user can mend, and the exit codes of every command."""

from collections.abc import Sequence

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 85  # a setting: checkpoint.exit_code
EXIT_NOTHING_TO_RESUME = 130

_LONGEST = 1000  # letters of a sentence: a cell of a broken file may have millions


class UserError(Exception):
    """What the user gave is wrong: one sentence that says what, where and what to do.

    Commands print the sentence without a traceback and leave with ``EXIT_USER_ERROR``. What is in
    it comes from files of others: it is made one printable line, and what is too long is cut out of
    its middle.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(_one_line(sentence))


class NonFiniteError(Exception):
    """A loss, output or gradient that is NaN or infinite: the update was not made.

    ``what`` says it in short, ``more`` goes on with the sentence, which names the first few of the
    samples.
    """

    def __init__(self, what: str, more: str = "", sample_ids: Sequence[str] = ()) -> None:
        samples = f", samples {shown(sample_ids)}" if sample_ids else ""
        super().__init__(f"{what}{samples}{more}")
        self.what = what
        self.sample_ids = tuple(sample_ids)


class StopRequestedError(BaseException):
    """A signal asked the run to stop; what was done by then is saved, if it was no second signal.

    Like ``KeyboardInterrupt`` no ``Exception``: libraries on the way would take it for an error.
    """


class StopAfterEpochError(StopRequestedError):
    """Somebody asked the run to stop after its epoch: done as wished, not interrupted."""


class SweepStoppedError(StopRequestedError):
    """A signal asked a sweep to stop, outside of a job in this process; jobs of it can go on."""

    def __init__(self, signal: str, folder: object) -> None:
        super().__init__(signal)
        self.folder = folder


# What is said of memory that is not to be had: torch's allocators, Apple's, C++'s, cuBLAS's.
_NO_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, numpy's, or what torch says of it on any device."""
    if isinstance(error, MemoryError):
        return True
    # Torch's own class is a RuntimeError too; it is not loaded for it.
    return isinstance(error, RuntimeError) and any(what in str(error) for what in _NO_MEMORY)


class RankLostError(Exception):
    """Another of the processes that train together ended, died or fell silent."""


def shown(names: object, limit: int = 3) -> str:
    """The first few of many names, for an error sentence: ``a, b, c and 7 more``."""
    listed = [str(name) for name in names]  # type: ignore[attr-defined]
    text = ", ".join(listed[:limit])
    return text if len(listed) <= limit else f"{text} and {len(listed) - limit} more"


def _one_line(sentence: str) -> str:
    if len(sentence) > _LONGEST:
        sentence = f"{sentence[: _LONGEST // 2]} … {sentence[-_LONGEST // 2 :]}"
    if sentence.isprintable():
        return sentence
    # A line break, an escape code for the terminal, half of a surrogate pair …
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in sentence
    )
