"""Checkpoints: written whole or not at all, with a checksum, and loaded without running code."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from aam.errors import UserError
from aam.facts.files import atomic_file, write_atomically
from aam.facts.seals import sealed, unsealed
from aam.facts.summary import RESUMABLE
from aam.training.safe_load import safe_load

FORMAT = 1
LAST, PREVIOUS = RESUMABLE
BEST, MODEL = "best_model.pt", "model.pt"
# Of what the writer alone makes: others put requests and signs beside it.
_LEFTOVERS = (
    ".*.pt.*tmp",
    f".{MODEL}.new",
    ".training_metrics.json.*.tmp",
    "facts/.scalars.csv.*.tmp",
    "predictions/.*.tmp",
)


class _UnusableError(Exception):
    """``what`` is wrong with a file, to go after its name; ``advice`` ends the sentence."""

    def __init__(self, what: str, advice: str = "use another checkpoint of the run") -> None:
        super().__init__(what)
        self.what, self.advice = what, advice


class _AbsentError(_UnusableError):
    """There is no such file."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values) to a temporary name, fsync it and rename it.

    Raises
    ------
    OSError
        If the disk refuses; a checkpoint of that name from before stays whole.
    """
    write_atomically(path, _packed(content))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    UserError
        If there is none, or it is truncated, altered, or not one of ours.
    """
    try:
        return _read(path)
    except _AbsentError:
        raise UserError(f"there is no checkpoint {path}: give a run folder that has one") from None
    except _UnusableError as error:
        raise UserError(f"the checkpoint {path} {error.what}; {error.advice}") from None


def save_newest(run_dir: Path, content: dict[str, Any], *, keeps_before: bool) -> None:
    """Let ``content`` be ``last.pt``, and what was there ``previous.pt``, if it is to be kept.

    At every moment both names lead to whole checkpoints, once there were two.

    Raises
    ------
    OSError
        If the disk refuses; both stay as they were.
    """
    packed = _packed(content)
    with atomic_file(run_dir / LAST) as file:
        file.write(packed)
        file.flush()
        os.fsync(file.fileno())  # the new one is whole before the old one moves
        if keeps_before and (run_dir / LAST).exists():
            _name_also(run_dir / LAST, run_dir / PREVIOUS)


def load_newest(run_dir: Path) -> tuple[dict[str, Any], str | None]:
    """``last.pt``, or ``previous.pt`` and a sentence that says why it is that one.

    Raises
    ------
    UserError
        If neither is there and whole.
    """
    try:
        return _read(run_dir / LAST), None
    except _UnusableError as error:
        what = error.what
    try:
        state = _read(run_dir / PREVIOUS)
    except _UnusableError as error:
        raise UserError(
            f"{run_dir} cannot go on, for {LAST} {what}, and {PREVIOUS} {error.what}: bring one of "
            "them back from a backup, or start the run again"
        ) from None
    return state, f"{run_dir / LAST} {what}: going on from {PREVIOUS}, which was saved before it"


def remove_leftovers(run_dir: Path) -> None:
    """Take away what a killed process was writing. Only who writes to the folder may call it."""
    for pattern in _LEFTOVERS:
        for path in run_dir.glob(pattern):
            with suppress(OSError):
                path.unlink()


def link_model(run_dir: Path) -> None:
    """Let ``model.pt`` lead to the best model: a relative link, or a copy where links fail."""
    model = run_dir / MODEL
    temporary = run_dir / f".{MODEL}.new"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(BEST)
        os.replace(temporary, model)  # noqa: PTH105 - the atomic call, over a link
    except OSError:
        write_atomically(model, (run_dir / BEST).read_bytes())


def _packed(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    return sealed(buffer.getvalue())


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise _AbsentError("is gone") from None
    except OSError as error:
        raise _UnusableError(f"cannot be read ({error.strerror})", "look why") from None
    payload = unsealed(raw)
    if payload is None:
        raise _UnusableError(
            f"is damaged ({len(raw)} bytes, and the checksum at their end does not fit)",
            "it was cut short or altered: use another checkpoint of the run",
        )
    try:
        content = safe_load(payload)
    except ValueError as error:
        raise _UnusableError(f"is no checkpoint that is safe to load ({error})") from None
    if not isinstance(content, dict) or not _is_ours(content.get("format")):
        raise _UnusableError(f"is no aam checkpoint of format {FORMAT}")
    return content


def _is_ours(number: object) -> bool:
    return isinstance(number, int) and number == FORMAT


def _name_also(path: Path, name: Path) -> None:
    """Give a file a second name, whatever had that before; or a copy, where links fail."""
    temporary = name.with_name(f".{name.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        temporary.hardlink_to(path)
        temporary.replace(name)
    except OSError:
        write_atomically(name, path.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)  # renaming does nothing where both names were one file
