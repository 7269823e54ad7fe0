"""The settings of a run, from the ``.hydra`` folder that lies in its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aam.errors import UserError

CONFIG = Path(".hydra", "config.yaml")
OVERRIDES = Path(".hydra", "overrides.yaml")


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


def read_overrides(run_dir: Path) -> list[str]:
    """What the command line gave, as in ``optimizer.lr=1e-4``; empty where it is not known."""
    try:
        overrides = _read_yaml(run_dir / OVERRIDES)
    except UserError:
        return []
    return [str(one) for one in overrides] if isinstance(overrides, list) else []


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
