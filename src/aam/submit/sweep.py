"""A command line with several values → the overrides of each job, as ``--multirun`` has them."""

from collections.abc import Sequence
from itertools import product

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

from aam.composing.config_files import groups
from aam.errors import UserError


def expand(words: Sequence[str]) -> list[list[str]]:
    """The overrides of each job: ``a=1,2 b=3`` → ``[[a=1, b=3], [a=2, b=3]]``.

    Hydra's own parser reads them, so ``choice(…)``, ``range(…)`` and ``glob(…)`` are known too. The
    last one varies fastest.

    Raises
    ------
    OverrideParseException
        If a word cannot be read.
    UserError
        If it gives values without an end, such as ``interval(0,1)``.
    """
    overrides = OverridesParser.create().parse_overrides(list(words))
    return [list(job) for job in product(*map(_lines, overrides))]


def _lines(override: Override) -> list[str]:
    """The override once for each of its values."""
    line = str(override.input_line)
    if not override.is_sweep_override():
        return [line]
    key, value = override.get_key_element(), override.value()
    if isinstance(value, Glob):
        choices = value.filter(list(groups().get(override.key_or_group, ())))
        if not choices:
            raise UserError(f"{line} fits no choice: aam-train --help lists those that there are")
        return [f"{key}={choice}" for choice in choices]
    if not override.is_discrete_sweep():
        raise UserError(f"{line} gives values without an end: name them, with commas between")
    return [f"{key}={one}" for one in override.sweep_string_iterator()]
