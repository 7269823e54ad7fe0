"""Text for people on standard output. Imports next to nothing: ``--help`` comes through here."""

import os
import sys


def show(text: str) -> None:
    """Print it; a reader that has left, as in ``aam-facts | head``, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes once more at exit, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
