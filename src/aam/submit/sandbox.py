"""Jobs without a shared file system: they read copies of their files, in a folder of their own."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from aam.composing.compose import quoted, value_of
from aam.config import FILE_KEYS, Config
from aam.errors import UserError

JOBS = "jobs.txt"  # the list of jobs, which goes along


def files_of(config: Config) -> dict[str, Path]:
    """Key → the file or folder that it names, for all that a job reads."""
    given = {key: reduce(getattr, key.split("."), config) for key in FILE_KEYS}
    return {
        key: Path(str(one)).expanduser().absolute() for key, one in given.items() if one is not None
    }


def by_name(files: Iterable[Path]) -> dict[str, str]:
    """Bare name → path of all that is to be brought along.

    Raises
    ------
    UserError
        If two have one name, one has that of the list of jobs, or a comma, which would end it in
        a submit file.
    """
    paths: dict[str, str] = {}
    for path in files:
        if "," in str(path):
            raise UserError(f"{path} has a comma, at which HTCondor ends the name: rename it")
        if path.name == JOBS:
            raise UserError(f"{path} has the name of the list of jobs that goes along: rename it")
        other = paths.setdefault(path.name, str(path))
        if other != str(path):
            raise UserError(
                f"{other} and {path} have one name, and the jobs have no folders to tell them "
                "apart: rename one of them"
            )
    return paths


def in_sandbox(overrides: Sequence[str], files: Mapping[str, Path]) -> list[str]:
    """The overrides with every file by its bare name."""
    named = {key: f"{key}={quoted(path.name)}" for key, path in files.items()}
    kept = [line for line in overrides if line.partition("=")[0] not in named]
    return [*kept, *named.values()]


def names_in(arguments: Sequence[str]) -> list[str]:
    """The files that a command line names."""
    given = [one for one in arguments if one.partition("=")[0] in FILE_KEYS]
    return [str(value_of(one)) for one in given]
