"""``aam-train``: train a model. Imports nothing until it has looked at the arguments."""

import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        import signal

        from aam.cli.usage import help_text

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in: aam-train --help | head
        print(help_text())
        return 0
    if "--version" in arguments:
        from aam import __version__

        print(f"aam {__version__}")
        return 0
    from aam.cli.launch import launch

    return launch(arguments)


if __name__ == "__main__":
    sys.exit(main())
