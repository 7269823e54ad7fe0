"""From Python, numpy and torch values to what strict JSON (RFC 8259) can hold."""

import math
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def plain(value: Any, key: str, nonfinite: list[str]) -> Any:
    """Turn ``value`` into None, bool, int, float, str, lists and dicts with string keys.

    Numbers that are not finite become None; their dotted keys (``key`` is that of ``value``) are
    added to ``nonfinite``. Scalars and arrays of numpy and torch are known by their ``tolist``
    method, so that neither package is loaded here.

    Raises
    ------
    TypeError
        If something is no number, text, list, mapping or path.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        nonfinite.append(key)
        return None
    if isinstance(value, str):
        # Names that are not UTF-8 reach Python as lone surrogates, which JSON readers refuse.
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {
            plain(str(name), "", []): plain(item, f"{key}.{name}", nonfinite)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item, f"{key}.{index}", nonfinite) for index, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return plain(PurePath(value).as_posix(), key, nonfinite)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), key, nonfinite)
    raise TypeError(f"{key} is a {type(value).__name__}, which a fact cannot hold")
