"""What Hydra's errors mean, in one sentence that names the nearest right key or choice."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches

from hydra.errors import OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from aam.composing.config_files import default_choices, groups, plot_families, settings
from aam.composing.keys import keys_of_loops, known_keys, nearest
from aam.config import SearchConfig

_FAMILIES = "logging.families."
_SECTIONS = ("logging.families", "logging.tags", "logging.diagnostics")
_NO_SECTION = re.compile(r"is not a subclass of|[Cc]annot assign \w+ to Dict")
_NO_CHOICE = re.compile(r"Could not find '([^']+)/([^'/]+)'")
_OF_HYDRA = {"hydra/launcher": ("basic", "joblib"), "hydra/sweeper": ("basic", "optuna")}


def explain(error: BaseException, arguments: Sequence[str]) -> str:
    """The sentence for an error of the configuration that the arguments make."""
    message = str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read: write KEY=VALUE or GROUP=CHOICE, with quotes "
            "around a value that has special signs, as in \"key='a, b'\""
        )
    if "INTERVAL_SWEEP" in message:
        return "an interval is for a search: add hydra/sweeper=optuna, or name the values"
    missing = _NO_CHOICE.search(message)
    if missing:
        return _no_choice(*missing.groups())
    if "--multirun" in message:
        given = message.partition("'")[2].partition("'")[0]
        return f"{given} gives several values: add --multirun for a run of each of them"
    cause = _of_omegaconf(error)
    if cause is None:
        return _first_line(message)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return unknown_key(cause.full_key, arguments)
    said = _first_line(str(cause))
    if cause.full_key and _NO_SECTION.search(said):
        return _no_section(cause.full_key, arguments)
    return f"{cause.full_key}: {said[0].lower()}{said[1:]}" if cause.full_key else said


def unknown_key(key: str, arguments: Sequence[str]) -> str:
    """The sentence for a key that does not exist."""
    group, _, leaf = key.partition(".")
    if leaf == "name" and group in groups():
        return (
            f"there is no config key {key}; choose by {group}=, one of {', '.join(groups()[group])}"
        )
    readers = [loop for loop, names in keys_of_loops().items() if key in names]
    if readers:
        return f"{key} is a setting of {' and '.join(f'loop={loop}' for loop in readers)} only"
    near = nearest(key, _keys(arguments))
    hint = f"did you mean {near}?" if near else "aam-train --help lists all keys"
    return f"there is no config key {key}; {hint}"


def _no_choice(group: str, choice: str) -> str:
    if (group, choice) == ("hydra/launcher", "joblib"):
        return "hydra/launcher=joblib is not installed: pip install 'aam[sweep]'"
    choices = groups().get(group, _OF_HYDRA.get(group, ()))
    near = get_close_matches(choice, choices, n=1)
    hint = f"; did you mean {group}={near[0]}?" if near else ""
    return f"there is no {group}={choice}: there is {', '.join(choices)}{hint}"


def _no_section(key: str, arguments: Sequence[str]) -> str:
    """The sentence for a value that was given to a group of settings."""
    given = (argument.lstrip("+").partition("=")[0] for argument in arguments)
    key = next((one for one in given if key in one), key)
    families = plot_families()
    family = key.removeprefix(_FAMILIES).partition(".")[0] if _FAMILIES in key else families[0]
    if family not in families:
        return unknown_key(_FAMILIES + family, arguments)
    inside = (one.name.replace("NAME", family) for one in known_keys())
    example = next((one for one in inside if one.startswith(f"{key}.")), f"{key}.NAME")
    return f"{key} is a group of settings: set them one by one, as in {example}=…"


def _keys(arguments: Sequence[str]) -> Iterator[str]:
    """All keys and groups; of an optimizer and a scheduler, those of the one that was chosen."""
    known = groups()
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    yield from known
    yield from (key.name for key in known_keys())
    yield from (f"hydra.sweeper.{one.name}" for one in fields(SearchConfig))
    yield from _SECTIONS
    yield from (_FAMILIES + name for name in plot_families())
    for group in ("optimizer", "scheduler"):
        choice = given.get(group)
        chosen = choice if choice in known[group] else default_choices()[group]
        yield from (f"{group}.{line.partition(':')[0]}" for line in settings(group, chosen))


def _of_omegaconf(error: BaseException | None) -> OmegaConfBaseException | None:
    while error is not None and not isinstance(error, OmegaConfBaseException):
        error = error.__cause__
    return error


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "unknown error")
