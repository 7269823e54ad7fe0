"""What a run was started with: the ``meta`` of ``on_start`` and ``on_resume``."""

import hashlib
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]


def run_metadata(
    *,
    seed: int | None,
    device: str,
    inputs: Mapping[str, Path | None],
    num_samples: Mapping[str, int],
) -> dict[str, Any]:
    """Everything that is needed to say what ran, on what, and to run it again.

    ``inputs`` are the files that were read, by config key (``table``, ``tree``); None is left out.
    ``num_samples`` counts the samples per split. Reads every input once, for its SHA-256.

    Raises
    ------
    OSError
        If an input cannot be read.
    """
    return {
        "git": own_git_state(),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "seed": seed,
        "device": device,
        "versions": installed_versions(),
        "inputs": {name: describe_file(path) for name, path in inputs.items() if path is not None},
        "num_samples": dict(num_samples),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "working_dir": str(Path.cwd()),
    }


def describe_file(path: Path) -> dict[str, Any]:
    """Absolute path, SHA-256 and size in bytes of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return {
            "path": str(path.absolute()),
            "sha256": digest.hexdigest(),
            "num_bytes": file.tell(),
        }


def installed_versions() -> dict[str, str | None]:
    """Versions of what decides on the numbers; None for what is not installed."""
    packages = {name: _version(name) for name in ("torch", "numpy")}
    return {"aam": _version("aam"), "python": platform.python_version(), **packages}


def own_git_state() -> dict[str, Any]:
    """:func:`git_state` of the code that runs."""
    return git_state(_PACKAGE)


def git_state(package: Path) -> dict[str, Any]:
    """Commit of the checkout that ``package`` is ``src/aam`` of, and whether it differs from it.

    Files that git does not track and does not ignore count as a difference. Both are None where the
    package is installed otherwise: another project's repository around it says nothing about it.
    """
    root = _git(package, "rev-parse", "--show-toplevel")
    if root is None or Path(root).resolve() != package.parents[1]:
        return {"commit": None, "dirty": None}
    changes = _git(package.parents[1], "status", "--porcelain")
    return {
        "commit": _git(package, "rev-parse", "--verify", "--quiet", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None if it fails or there is none."""
    # A hook or a parent git sets GIT_DIR and the like, which would point at another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
