"""Hydra composes the YAML files and the command line; dataclasses check what comes out."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from aam.composing.config_files import config_dir
from aam.config import LOOPS, Config, LoopConfig
from aam.facts.folders import outputs_folder

FULL_ERROR = "HYDRA_FULL_ERROR"
VERSION_BASE = "1.3"
# Begins as no number does, and has no sign that means something to Hydra.
_PLAIN = re.compile(r"[a-zA-Z_/][\w./+-]*", re.ASCII)


class PastHydraError(BaseException):
    """Carries an error out of a callback: Hydra turns an ``Exception`` there into a warning."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def through_hydra(job: Callable[[DictConfig], object]) -> None:
    """Let Hydra read ``sys.argv`` and call ``job`` for each run that it asks for.

    Raises
    ------
    HydraException, OmegaConfBaseException, UserError
        If the command line or a YAML file is wrong.
    """
    register()
    main = hydra.main(
        version_base=VERSION_BASE, config_path=str(config_dir()), config_name="config"
    )(job)
    with _raising_errors():
        try:
            main()
        except PastHydraError as past:
            raise past.error from None


def register() -> None:
    """Tell Hydra the schema and what its files need: the names of folders."""
    store = ConfigStore.instance()
    schema = OmegaConf.structured(Config)
    schema.loop = "???"  # given by each loop's file
    store.store(name="schema", node=schema)
    for name, settings in LOOPS.items():
        store.store(group="loop_schema", name=name, node=settings, package="loop")
    OmegaConf.register_new_resolver("aam.outputs", lambda: str(outputs_folder()), replace=True)
    OmegaConf.register_new_resolver("aam.name", _name, replace=True)
    OmegaConf.register_new_resolver("aam.job", _job_name, replace=True)


def as_config(composed: DictConfig) -> Config:
    """The dataclasses of a composed configuration; every type is checked and every check run.

    Raises
    ------
    OmegaConfBaseException
        If a key is unknown or a value has another type.
    UserError
        If a value makes no sense.
    """
    ours = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    # Plain values: a key that was added by + would else be taken over with its node.
    plain = OmegaConf.to_container(ours, resolve=True)
    schema = OmegaConf.structured(Config)
    schema.loop = LOOPS.get(str(composed.loop.name), LoopConfig)
    checked = OmegaConf.to_object(OmegaConf.merge(schema, plain))
    assert isinstance(checked, Config)
    return checked


def quoted(text: str) -> str:
    """A text as the value of an override: in quotes, unless it is a plain name or path."""
    if _PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false", "inf", "nan"):
        return text
    # A backslash stands for itself, but before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda one: 2 * one[1] + one[2].replace("'", "\\'"), text)
    return f"'{escaped}'"


def value_of(override: str) -> Any:
    """What an override sets.

    Raises
    ------
    OverrideParseException
        If it cannot be read.
    """
    (parsed,) = OverridesParser.create().parse_overrides([override])
    return parsed.value()


@contextmanager
def _raising_errors() -> Iterator[None]:
    """Have Hydra raise its errors; else it prints them and leaves by itself."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = before


def _name(*parts: object) -> str:
    return "_".join(str(part) for part in parts if part is not None)


def _job_name(number: int) -> str:
    return f"job{number:03d}"
