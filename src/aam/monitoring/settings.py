"""The logging configuration of a run, through JSON or from the run's own folder."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig, TagsConfig
from aam.errors import UserError
from aam.facts.settings import CONFIG, read_changes, read_config
from aam.monitoring.plan import FAMILY_NAMES

_Config = TypeVar("_Config")


def logging_of(values: Mapping[str, Any]) -> LoggingConfig:
    """Make the config of nested mappings, such as ``dataclasses.asdict`` gives.

    What an earlier version did not know has its default; what only another version knows is left
    out.
    """
    families = {
        name: _made(FamilyConfig, one)
        for name, one in values.get("families", {}).items()
        if name in FAMILY_NAMES
    }
    nested = {
        "families": families,
        "tags": _made(TagsConfig, values.get("tags", {})),
        "diagnostics": _made(DiagnosticsConfig, values.get("diagnostics", {})),
    }
    return _made(LoggingConfig, {**values, **nested})


def logging_of_run(run_dir: Path) -> LoggingConfig:
    """How a run was set to draw when it was last started or resumed; defaults if it does not say.

    Raises
    ------
    UserError
        If its ``.hydra`` folder is torn or was edited into something else.
    """
    if not (run_dir / CONFIG).is_file():
        return LoggingConfig()
    config = read_config(run_dir)
    try:
        _change(config, read_changes(run_dir))
        return logging_of(config.get("logging", {}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the logging settings in {run_dir / CONFIG.parent} cannot be read: {error}"
        ) from None


def in_look(logging: LoggingConfig, **look: Any) -> LoggingConfig:
    """The same configuration with another ``dpi`` or ``format`` of every family.

    Raises
    ------
    UserError
        If there is no such format, or the dpi are out of range.
    """
    families = {
        name: replace(logging.families.get(name, FamilyConfig()), **look) for name in FAMILY_NAMES
    }
    return replace(logging, families=families)


def _made(schema: type[_Config], values: Mapping[str, Any]) -> _Config:
    known = {field.name for field in fields(schema)}  # type: ignore[arg-type]
    return schema(**{name: value for name, value in values.items() if name in known})


def _change(config: dict[str, Any], changes: Sequence[str]) -> None:
    """Do what resumes were told: ``logging.families.losses.dpi=200`` and the like."""
    if not changes:
        return
    # Slow to load, and seldom needed.
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for override in OverridesParser.create().parse_overrides(list(changes)):
        *sections, key = override.key_or_group.split(".")
        section = config
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = override.value()
