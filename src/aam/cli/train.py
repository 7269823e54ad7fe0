"""``aam-train``: train a model. Imports nothing until it has looked at the arguments."""

import io
import os
import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal does not know
    arguments = sys.argv[1:] = _options_first(sys.argv[1:])
    if "--help" in arguments or "-h" in arguments:
        from aam.cli.usage import help_text

        return _show(help_text())
    if "--version" in arguments:
        from aam import __version__

        return _show(f"aam {__version__}")
    from aam.cli.launch import launch

    return launch(arguments)


def _options_first(arguments: list[str]) -> list[str]:
    """Hydra takes no option after the first KEY=VALUE."""
    return sorted(arguments, key=lambda word: word[:1] != "-" and ("=" in word or word[:1] == "~"))


def _show(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # as in: aam-train --help | head
        # Python flushes once more at exit, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.argv[0] = "aam-train"  # python -m, as of torchrun: what the facts say that was run
    sys.exit(main())
