"""``aam-train``: train a model. Imports nothing until it has looked at the arguments."""

import os
import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        from aam.cli.usage import help_text

        return _show(help_text())
    if "--version" in arguments:
        from aam import __version__

        return _show(f"aam {__version__}")
    from aam.cli.launch import launch

    return launch(arguments)


def _show(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # as in: aam-train --help | head
        # Python flushes once more at exit, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
