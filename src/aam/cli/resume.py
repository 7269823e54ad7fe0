"""``aam-train resume=RUN_DIR``: take up a run where its newest whole epoch left it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from aam.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from aam.config import Config

# What may differ from the run as it was started; a trailing dot stands for all keys below.
CHANGEABLE = (
    "trainer.epochs",
    "trainer.max_minutes",
    "trainer.device",
    "trainer.num_threads",
    "trainer.max_grad_norm",
    "early_stopping.patience",
    "optimizer.lr",
    "monitor",
    "logging.",
)
_INPUTS = ("table", "tree", "rep_seqs", "metadata", "distances")


def is_resume(arguments: Sequence[str]) -> bool:
    """Whether a run shall go on."""
    return any(argument.startswith("resume=") for argument in arguments)


def find_run(arguments: Sequence[str]) -> tuple["Config", Path, list[str]]:
    """The configuration and the folder of the run to go on with, and what is changed now.

    What earlier resumes changed (``note``) holds on.

    Raises
    ------
    UserError
        If that folder is no run with a whole epoch, or something else than ``CHANGEABLE`` is set.
    """
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise UserError(f"resume= goes on with one run and takes no {options[0]}: leave it out")
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    run_dir = Path(given[-1]).expanduser().absolute()
    _check_folder(run_dir)
    overrides = [argument for argument in arguments if not argument.startswith("resume=")]
    from aam.cli.composing import as_config

    saved = _saved(run_dir)
    for noted in _notes(run_dir):
        saved = _changed(saved, noted)
    config = as_config(_changed(saved, overrides))
    max_lr = config.scheduler.get("max_lr")
    is_rate_given = any(override.startswith("optimizer.lr=") for override in overrides)
    if is_rate_given and max_lr not in (None, config.optimizer["lr"]):
        raise UserError(
            f"scheduler.max_lr={max_lr} is the learning rate of this run, so optimizer.lr has no "
            "say: leave it out"
        )
    return config, run_dir, overrides


def note(run_dir: Path, overrides: Sequence[str]) -> Path:
    """Note a change beside the run's own configuration, which stays as it is."""
    from omegaconf import OmegaConf

    for number in count(1):
        path = _note_path(run_dir, number)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def _notes(run_dir: Path) -> Iterator[list[str]]:
    """The changes of earlier resumes, in their order."""
    from omegaconf import OmegaConf

    for number in count(1):
        path = _note_path(run_dir, number)
        if not path.exists():
            return
        with _readable(path):
            yield [str(override) for override in OmegaConf.load(path)]


def _note_path(run_dir: Path, number: int) -> Path:
    return run_dir / ".hydra" / f"resume-{number}.yaml"


def _check_folder(run_dir: Path) -> None:
    if not run_dir.is_dir():
        raise UserError(f"resume={run_dir}: there is no such folder; give the folder of a run")
    if not (run_dir / ".hydra" / "config.yaml").is_file():
        raise UserError(
            f"resume={run_dir} is no run folder: it has no .hydra/config.yaml; "
            "give the folder of a run, such as outputs/runs/run_…"
        )
    if not (run_dir / "last.pt").is_file():
        raise UserError(
            f"resume={run_dir}: the run has no last.pt, so nothing of it was saved; start it again"
        )


def _saved(run_dir: Path) -> "DictConfig":
    """The run's own configuration; its input files are found from wherever one is now."""
    from omegaconf import DictConfig, OmegaConf

    folder = run_dir / ".hydra"
    with _readable(folder):
        config = OmegaConf.load(folder / "config.yaml")
        assert isinstance(config, DictConfig)
        started_in = Path(OmegaConf.load(folder / "hydra.yaml").hydra.runtime.cwd)
        for key in _INPUTS:
            if config.data.get(key) is not None:
                config.data[key] = str(started_in / Path(config.data[key]).expanduser())
        if config.get("pretrained") is not None:
            config.pretrained = str(started_in / Path(config.pretrained).expanduser())
    return config


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torn or edited, in whatever way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"the configuration in {path} cannot be read: {reason}") from None


def _changed(config: "DictConfig", overrides: Sequence[str]) -> "DictConfig":
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if not any(key == one or (one[-1] == "." and key.startswith(one)) for one in CHANGEABLE):
            raise UserError(
                f"{key} cannot be changed when a run goes on; it may change "
                f"{', '.join(one + '*' * one.endswith('.') for one in CHANGEABLE)}"
            )
        if key == "logging.save_artifacts":
            raise UserError(
                "a run that goes on writes to its folder: leave logging.save_artifacts out"
            )
        if override.is_sweep_override():
            raise UserError(f"{override.input_line} gives several values; a run goes on with one")
        OmegaConf.update(config, key, override.value())
    return config
