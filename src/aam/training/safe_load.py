"""What torch may load of a file that somebody else wrote: plain tensors and values, no larger than
the file.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aam.errors import UserError


def safe_load(payload: bytes) -> Any:
    """Load what ``torch.save`` wrote, onto the CPU and without running code.

    Raises
    ------
    ValueError
        In one line: it is something else, or would take more memory than its own size.
    """
    try:
        _refuse_packed(payload)
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        _refuse_beyond(content, len(payload))
    except Exception as error:
        raise ValueError(_reason(error)) from None
    return content


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Take the content of a checkpoint apart in here: what is not as it should be is a UserError.

    A whole checkpoint may be one of another version, or made by hand.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} holds something else than this version of aam saves "
            f"({type(error).__name__}: {_reason(error)}): train it again, or give another one"
        ) from None


def part(content: dict[str, Any], key: str) -> dict[str, Any]:
    """A mapping within a checkpoint; ``TypeError`` if it is something else."""
    found = content[key]
    if not isinstance(found, dict):  # a tensor would take any key, with a warning
        raise TypeError(f"its {key} is no mapping")
    return found


def _refuse_packed(payload: bytes) -> None:
    """Refuse a zip file whose members would unpack to more than it is; torch packs nothing."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        members = archive.infolist()
    num_bytes = sum(member.file_size for member in members)
    if num_bytes > len(payload) or any(member.compress_type for member in members):
        raise ValueError(f"its {len(payload)} bytes would unpack to {num_bytes}")


def _refuse_beyond(content: object, size: int) -> None:
    """Refuse tensors that no run saves: a few numbers repeated without end, none at all, …"""
    waiting, seen = [content], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:  # a list may hold itself
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            if item.layout != torch.strided or item.device.type != "cpu":
                raise ValueError(f"it has a tensor of layout {item.layout} on {item.device}")
            if item.requires_grad:  # a warning, wherever it is taken for a number
                raise ValueError("it has a tensor that takes a gradient")
            if item.numel() * item.element_size() > size:
                raise ValueError(f"it has a tensor of shape {[*item.shape]} in {size} bytes")
        elif isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list | tuple | set):
            waiting += item


def _reason(error: Exception) -> str:
    """One line: of torch's long advice how to load the file all the same, what it refused."""
    text = str(error)
    refused = re.search(r"WeightsUnpickler error: (.+)", text)
    lines = (line.strip() for line in text.splitlines())
    return refused[1].strip() if refused else next(filter(None, lines), "no reason")
