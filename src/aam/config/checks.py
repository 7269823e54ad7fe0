"""Checks that the config groups share: each refuses a value by a sentence that names its key."""

import math
from collections.abc import Mapping
from difflib import get_close_matches

from aam.errors import UserError


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices, naming the nearest right one."""
    if value in choices:
        return
    near = get_close_matches(value, choices, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{key}={value} is not one of {', '.join(choices)}{hint}")


def at_least(group: str, config: object, **least: float) -> None:
    """Refuse settings below their least value, and those that are no finite number."""
    for key, smallest in least.items():
        value = getattr(config, key)
        if value is not None and not smallest <= value < math.inf:
            raise UserError(f"{group}.{key}={value} must be at least {smallest:g}")


def numbers(group: str, settings: Mapping[str, object], *keys: str) -> None:
    """Refuse settings of a group of free keys that are no finite numbers of at least 0."""
    for key in keys:
        value = settings.get(key, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and 0 <= value < math.inf):  # type: ignore[operator]
            raise UserError(f"{group}.{key}={value} must be a number of at least 0")


def fraction_below_one(group: str, config: object, *keys: str) -> None:
    """Refuse settings outside [0, 1)."""
    for key in keys:
        if not 0 <= getattr(config, key) < 1:
            raise UserError(f"{group}.{key}={getattr(config, key)} must lie in [0, 1)")


def above_zero(group: str, config: object, *keys: str) -> None:
    """Refuse settings that are not finite numbers above 0."""
    for key in keys:
        value = getattr(config, key)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{group}.{key}={value} must be above 0")
