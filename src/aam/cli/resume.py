"""``aam-train resume=RUN``: take up a run where its newest checkpoint left it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aam.config import FILE_KEYS
from aam.config.changes import CHANGEABLE, is_changeable
from aam.errors import UserError, shown
from aam.facts.finding import find_run
from aam.facts.settings import CONFIG, HYDRA, names_of_notes, notes_of_changes, read_yaml
from aam.facts.summary import has_checkpoint

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from aam.config import Config


def is_resume(arguments: Sequence[str]) -> bool:
    """Whether a run shall go on."""
    return any(argument.startswith("resume=") for argument in arguments)


def taken_up(arguments: Sequence[str]) -> tuple["Config", Path, list[str]]:
    """The configuration and the folder of the run to go on with, and what is changed now.

    The run is named as for ``aam-facts``: by its folder, its name, a part of that, or ``latest``.
    What earlier resumes changed (``note``) holds on.

    Raises
    ------
    UserError
        If that is no run with a checkpoint, or something else than ``CHANGEABLE`` is set.
    """
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise UserError(f"resume= goes on with one run and takes no {options[0]}: leave it out")
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    run_dir = find_run(given[-1]).absolute()
    _check_folder(run_dir)
    overrides = [argument for argument in arguments if not argument.startswith("resume=")]
    from aam.composing.compose import as_config

    saved = _saved(run_dir)
    for noted in _notes(run_dir):
        saved = _changed(saved, noted)
    return as_config(_changed(saved, overrides)), run_dir, overrides


def note(run_dir: Path, overrides: Sequence[str]) -> Path:
    """Note a change beside the run's own configuration, which stays as it is."""
    from omegaconf import OmegaConf

    for path in names_of_notes(run_dir):
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def _notes(run_dir: Path) -> Iterator[list[str]]:
    """The changes of earlier resumes, in their order."""
    for path in notes_of_changes(run_dir):
        with _readable(path):
            yield [str(override) for override in _loaded(path)]


def _check_folder(run_dir: Path) -> None:
    if not (run_dir / CONFIG).is_file():
        raise UserError(
            f"resume={run_dir} is no run folder: it has no {CONFIG}; "
            "give the folder of a run, such as outputs/runs/run_…"
        )
    if not has_checkpoint(run_dir):
        raise UserError(
            f"resume={run_dir}: the run has no last.pt, so nothing of it was saved; start it again"
        )


def _saved(run_dir: Path) -> "DictConfig":
    """The run's own configuration; its input files are found from wherever one is now."""
    from omegaconf import DictConfig, OmegaConf

    with _readable((run_dir / CONFIG).parent):
        config = _loaded(run_dir / CONFIG)
        assert isinstance(config, DictConfig)
        str(config.loop.name)  # which tells the keys of the rest
        started_in = Path(_loaded(run_dir / HYDRA).hydra.runtime.cwd)
        for key in FILE_KEYS:
            if (file := OmegaConf.select(config, key)) is not None:
                found = _found(Path(file).expanduser(), started_in)
                OmegaConf.update(config, key, str(found))
    return config


def _found(file: Path, started_in: Path) -> Path:
    """A file that was named where the run was started.

    On a cluster that brings the files along, that folder is another one each time.
    """
    there = started_in / file
    return file.absolute() if file.exists() and not there.exists() else there


def _loaded(path: Path) -> Any:
    from omegaconf import OmegaConf

    read_yaml(path)  # refuses what OmegaConf would build without end
    return OmegaConf.load(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # torn or edited, in whatever way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"the configuration in {path} cannot be read: {reason}") from None


def _changed(config: "DictConfig", overrides: Sequence[str]) -> "DictConfig":
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = [one.key_or_group for one in parsed if not is_changeable(one.key_or_group)]
    if fixed:
        raise UserError(
            f"{shown(fixed, 10)} cannot be changed when a run goes on; it may change "
            f"{', '.join(one + '*' * one.endswith('.') for one in CHANGEABLE)}"
        )
    for override in parsed:
        key = override.key_or_group
        if key == "logging.save_artifacts":
            raise UserError(
                "a run that goes on writes to its folder: leave logging.save_artifacts out"
            )
        if override.is_sweep_override():
            raise UserError(f"{override.input_line} gives several values; a run goes on with one")
        OmegaConf.update(config, key, override.value())
    return config
