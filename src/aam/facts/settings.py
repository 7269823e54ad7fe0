"""The settings of a run, from the ``.hydra`` folder that lies in its own."""

import json
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from aam.errors import UserError

CONFIG = Path(".hydra", "config.yaml")
OVERRIDES = Path(".hydra", "overrides.yaml")
HYDRA = Path(".hydra", "hydra.yaml")
_DEEPEST = 50
_MOST_INTERPOLATIONS = 1000


def read_config(run_dir: Path) -> dict[str, Any]:
    """The configuration that the run was started with, as nested mappings.

    Raises
    ------
    UserError
        If it is absent, torn or edited into something else.
    """
    config = read_yaml(run_dir / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{run_dir / CONFIG} holds no configuration: it is torn or was edited")
    return config


def read_settings(run_dir: Path) -> dict[str, str]:
    """Every setting by its dotted key; texts as they are, all other values as JSON.

    Raises
    ------
    UserError
        As :func:`read_config`.
    """
    return dict(_leaves(read_config(run_dir), ""))


def read_whole_settings(run_dir: Path) -> dict[str, str]:
    """As :func:`read_settings`, with what resumes have changed: ``trainer.epochs: 50, then 100``.

    Raises
    ------
    UserError
        As :func:`read_config`.
    """
    settings = read_settings(run_dir)
    for change in read_changes(run_dir):
        key, _, value = change.lstrip("+").partition("=")
        before = settings.get(key, "null")
        if before.rpartition(", then ")[2] != value:
            settings[key] = f"{before}, then {value}"
    return settings


def read_overrides(run_dir: Path) -> list[str]:
    """What the command line gave, as in ``optimizer.lr=1e-4``; empty where it is not known."""
    return _read_lines(run_dir / OVERRIDES)


def read_changes(run_dir: Path) -> list[str]:
    """What resumes have changed, in their order, as in ``trainer.epochs=100``."""
    return [change for path in notes_of_changes(run_dir) for change in _read_lines(path)]


def notes_of_changes(run_dir: Path) -> Iterator[Path]:
    """The files that say what each resume has changed, in their order."""
    return takewhile(Path.is_file, names_of_notes(run_dir))


def names_of_notes(run_dir: Path) -> Iterator[Path]:
    """Where such files lie, without an end."""
    return (run_dir / ".hydra" / f"resume-{number}.yaml" for number in count(1))


def read_choices(run_dir: Path) -> dict[str, str]:
    """What was chosen of each config group, as in ``scheduler: constant``; empty if not known."""
    try:
        choices = read_yaml(run_dir / HYDRA)["hydra"]["runtime"]["choices"]
        return {str(group): str(choice) for group, choice in choices.items()}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}


def _read_lines(path: Path) -> list[str]:
    try:
        lines = read_yaml(path)
    except UserError:
        return []
    return [str(one) for one in lines] if isinstance(lines, list) else []


def read_yaml(path: Path) -> Any:
    """A file of settings, refused where no run would have written it.

    Raises
    ------
    UserError
        If it is absent, torn, edited into something else, or made to exhaust its reader.
    """
    import yaml

    # The parser written in C is ten times as fast; it is there wherever PyYAML has a wheel.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_unlike_settings(text, loader)
        return yaml.load(text, loader)
    except Exception as error:  # absent, torn or edited, in whatever way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"the configuration {path} cannot be read: {reason}") from None


def _refuse_unlike_settings(text: str, loader: Any) -> None:
    """Refuse what no run writes, before anything is built of it.

    Deep nesting crashes the parser, aliases multiply to more than memory holds, and OmegaConf takes
    half a millisecond for each interpolation.
    """
    import yaml

    if text.count("${") > _MOST_INTERPOLATIONS:
        raise ValueError(f"it has more than {_MOST_INTERPOLATIONS} interpolations")
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases, which no run writes")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value if isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except TypeError:  # a date as a key, say
        return str(value)
