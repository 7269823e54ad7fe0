"""What ``_target_`` of a config group names: found, held against its keywords, and called."""

import inspect
import math
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from aam.errors import UserError

HOMES = ("torch.optim.", "pytorch_optimizer.", "aam.")
"""Where targets may come from; the second takes most of a second to load: only when chosen."""

_HOMES_TOLD = "torch.optim, pytorch_optimizer or aam"
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SUBJECTS = ("self", "params", "optimizer")


def resolve(group: str, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class or function that ``_target_`` names, and keywords that it takes.

    Raises
    ------
    UserError
        If there is no such target, or it takes no such keyword; the nearest right one is named.
    """
    keywords = {key: value for key, value in config.items() if key != "_target_"}
    name = str(config.get("_target_"))
    module, _, attribute = name.rpartition(".")
    foreign = UserError(f"{group}._target_={name} must name something in {_HOMES_TOLD}")
    if not _is_home(module):
        raise foreign
    try:
        target = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise UserError(f"{group}._target_={name} does not exist") from None
    if not callable(target):
        raise UserError(f"{group}._target_={name} is neither a class nor a function")
    if not _is_home(target.__module__):  # what a module there has from elsewhere, such as Path
        raise foreign
    parameters = inspect.signature(target).parameters.values()
    taken = [one.name for one in parameters if one.kind in _NAMED and one.name not in _SUBJECTS]
    for key in keywords:
        if key not in taken:
            initials = "".join(word[:1] for word in key.split("_"))  # learning_rate: lr
            near = [initials] if initials in taken else get_close_matches(key, taken, n=1)
            hint = f"did you mean {group}.{near[0]}?" if near else f"it takes {', '.join(taken)}"
            raise UserError(f"{group}.{key} is no setting of {name}; {hint}")
    return target, keywords


def _is_home(module: object) -> bool:
    return f"{module}.".startswith(HOMES)


def take_number(key: str, keywords: dict[str, Any]) -> float:
    """Take a number that is no less than 0 out of the keywords; 0 where there is none.

    Raises
    ------
    UserError
        If it is another value.
    """
    value = keywords.pop(key.partition(".")[2], 0.0)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise UserError(f"{key}={value} must be a number of at least 0")
    return number


def make(group: str, target: Any, subject: object, keywords: Mapping[str, Any]) -> Any:
    """Call the target with the parameters of a model, or with an optimizer.

    Raises
    ------
    UserError
        If it refuses a keyword (``lr=-1``) or misses one.
    """
    try:
        return target(subject, **keywords)
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        given = ", ".join(f"{key}={value}" for key, value in keywords.items())
        raise UserError(f"the {group} cannot be made with {given}: {error}") from None
