"""Checkpoints: written whole or not at all, with a checksum, and loaded without running code."""

import io
import os
from pathlib import Path
from typing import Any

import torch

from aam.errors import UserError
from aam.facts.files import write_atomically
from aam.facts.seals import sealed, unsealed

FORMAT = 1
LAST, BEST, MODEL = "last.pt", "best_model.pt", "model.pt"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values) to a temporary name, fsync it and rename it.

    Raises
    ------
    OSError
        If the disk refuses; a checkpoint of that name from before stays whole.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_atomically(path, sealed(buffer.getvalue()))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    UserError
        If there is none, or it is truncated, altered, or not one of ours.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}: give a run folder that has one") from None
    except OSError as error:
        raise UserError(f"the checkpoint {path} cannot be read: {error.strerror}") from None
    payload = unsealed(raw)
    if payload is None:
        raise UserError(
            f"the checkpoint {path} is damaged ({len(raw)} bytes, and the checksum at its end does "
            "not fit): it was cut short or altered; use another checkpoint of the run"
        )
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is no checkpoint that is safe to load: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is no aam checkpoint of format {FORMAT}")
    return content


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
