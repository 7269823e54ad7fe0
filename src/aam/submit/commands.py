"""The commands of schedulers are called here, and nowhere else: what a test has to stand in for."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from aam.errors import UserError


def call(command: Sequence[str], folder: Path | None = None) -> str:
    """Run a command and return what it printed.

    Raises
    ------
    UserError
        If there is no such command or folder here, or it refused: with the last line that it said.
    """
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        if folder is not None and not folder.is_dir():
            raise UserError(
                f"{folder}, where aam-submit was called, is gone: bring it back, for relative "
                "paths begin there"
            ) from None
        raise UserError(
            f"there is no {command[0]} on this machine: call aam-submit where jobs are submitted, "
            "or choose env=local"
        ) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no word"]
        raise UserError(f"{command[0]} refused, exit code {done.returncode}: {said[-1]}")
    return done.stdout
