"""The folder of all runs, and folders that nobody else has."""

import os
from itertools import count
from pathlib import Path


def outputs_folder() -> Path:
    """The folder of all runs: ``$AAM_OUTPUTS``, or ``outputs`` if that is not set or empty."""
    return Path(os.environ.get("AAM_OUTPUTS") or "outputs")


def new_folder(path: Path) -> Path:
    """Make a folder that did not exist: this one, or with ``-2`` … where the name is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
