"""A command without Hydra: from its arguments to its exit code.

Imports nothing until it has read them, so that ``--help`` comes at once.
"""

import os
import sys
from collections.abc import Callable


def run_command(text: str, do: Callable[[list[str]], None]) -> int:
    """Show the help that ``text`` is, or do what the arguments say; returns the exit code."""
    arguments = sys.argv[1:]
    if {"--help", "-h"} & set(arguments):
        from aam.cli.printing import show

        show(text)
        return 0
    from aam.cli.logs import console
    from aam.cli.outcome import attempt

    with console(tracebacks=os.environ.get("HYDRA_FULL_ERROR") == "1"):
        return attempt(lambda: do(arguments), arguments)
