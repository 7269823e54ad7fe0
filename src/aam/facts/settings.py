"""The settings of a run, from the ``.hydra`` folder that lies in its own."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from aam.errors import UserError

CONFIG = Path(".hydra", "config.yaml")
OVERRIDES = Path(".hydra", "overrides.yaml")
HYDRA = Path(".hydra", "hydra.yaml")


def read_config(run_dir: Path) -> dict[str, Any]:
    """The configuration that the run was started with, as nested mappings.

    Raises
    ------
    UserError
        If it is absent, torn or edited into something else.
    """
    config = _read_yaml(run_dir / CONFIG)
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
    changes: list[str] = []
    for number in count(1):
        path = run_dir / ".hydra" / f"resume-{number}.yaml"
        if not path.is_file():
            break
        changes += _read_lines(path)
    return changes


def read_choices(run_dir: Path) -> dict[str, str]:
    """What was chosen of each config group, as in ``scheduler: constant``; empty if not known."""
    try:
        choices = _read_yaml(run_dir / HYDRA)["hydra"]["runtime"]["choices"]
        return {str(group): str(choice) for group, choice in choices.items()}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}


def _read_lines(path: Path) -> list[str]:
    try:
        lines = _read_yaml(path)
    except UserError:
        return []
    return [str(one) for one in lines] if isinstance(lines, list) else []


def _read_yaml(path: Path) -> Any:
    import yaml

    # The parser written in C is ten times as fast; it is there wherever PyYAML has a wheel.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"the configuration {path} cannot be read: {reason}") from None


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, default=str)
