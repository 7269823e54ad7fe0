"""The runs of a comparison, each read from its folder alone, in whatever state it is."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.reader import EVENTS, best, epoch_events, read_events
from aam.facts.settings import CONFIG, read_choices, read_whole_settings
from aam.facts.summary import FINISHED, RunSummary, summarize
from aam.monitoring.runs.identity import INPUT_FILES, identity_of
from aam.monitoring.scores import is_baseline

VAL, TEST = SPLITS = ("val", "test")
TOTAL = ("val_loss", "total_loss")  # names of one and the same
# Runs that differ in these alone are the same thing done again.
SPLIT_KEYS, SEED_KEY = ("split.seed", "split.fold"), "trainer.seed"
# Where it ran, what stood beside it, and where the data lay say nothing of what was tried.
_NO_SETTINGS = (
    "run_name",
    "trainer.device",
    "trainer.num_threads",
    *(f"data.{name}" for name in ("name", "demo_seed", *INPUT_FILES)),
)
_NO_GROUPS = ("logging.", "baselines.")
# Settings that say on which samples, or on which values, a run is judged.
_OF_IDENTITY = ("split.", "data.shuffle_target", "data.group_column")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One run that was started: what it was about, and how it did."""

    summary: RunSummary
    identity: dict[str, Any]
    """What runs that are ranked together have in common, by config key."""
    num_samples: dict[str, int]
    settings: dict[str, str] | None
    """What is compared and the replicates' keys, by config key; None where it is not known."""
    curve: dict[int, dict[str, float | None]] = field(repr=False)
    """Epoch (from 0) → metric → value on the validation part."""
    best: dict[str, Any] | None
    """The best epoch (from 0), its metric and value, as the run itself defined it."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.summary.run_dir

    @property
    def is_finished(self) -> bool:
        """Whether it went to its end."""
        return self.summary.state == FINISHED

    @property
    def watched(self) -> str | None:
        """The metric whose best epoch is the run's best."""
        name = None if self.best is None else self.best.get("metric")
        return name if isinstance(name, str) else None

    @property
    def split_key(self) -> tuple[str, ...]:
        """Which split of the samples it is: runs with the same one saw the same samples."""
        settings = self.settings or {}
        return tuple(settings.get(key, "") for key in SPLIT_KEYS)

    @property
    def replicate(self) -> tuple[str, ...]:
        """Which of the repetitions of one thing it is."""
        return (*self.split_key, (self.settings or {}).get(SEED_KEY, ""))

    @cached_property
    def choices(self) -> dict[str, str]:
        """What was chosen of each config group; empty where it is not known."""
        return read_choices(self.folder)

    def metrics(self, split: str) -> list[str]:
        """Names that :meth:`value` has a value for."""
        names = self.curve.get(self.best["epoch"], {}) if self.best and split == VAL else {}
        if split == TEST and self.summary.test is not None:
            names = self.summary.test["metrics"][TEST]
        return [name for name, value in names.items() if value is not None]

    def value(self, split: str, metric: str) -> float | None:
        """The best model's value: in validation that of the best epoch, whatever it is best in."""
        if split == TEST:
            test = self.summary.test
            name = "total_loss" if metric in TOTAL else metric
            value = None if test is None else test["metrics"][TEST].get(name)
            return None if value is None else float(value)
        return None if self.best is None else self.at(self.best["epoch"], metric)

    def at(self, epoch: int, metric: str) -> float | None:
        """The validation's value after an epoch (from 0)."""
        name = "val_loss" if metric in TOTAL else metric
        return self.curve.get(epoch, {}).get(name)


def read_contenders(folders: Iterable[Path]) -> tuple[list[Contender], list[Path]]:
    """The runs of these folders, and those folders whose facts hold no start (yet)."""
    found: list[Contender] = []
    unstarted: list[Path] = []
    for folder in folders:
        contender = _read(folder)
        if contender is None:
            unstarted.append(folder)
        else:
            found.append(contender)
    return found, unstarted


def without_facts(folders: Iterable[Path], depth: int = 2) -> Iterator[Path]:
    """Folders at or below these that Hydra has made for a run which has not written any fact."""
    for folder in folders:
        try:
            has_facts, has_config = ((folder / one).is_file() for one in (EVENTS, CONFIG))
            inside = sorted(one for one in folder.iterdir() if one.name[0] != "." and one.is_dir())
        except OSError:  # gone, no folder, or not for us to read
            continue
        if has_config and not has_facts:
            yield folder
        elif depth > 0 and not has_facts:
            yield from without_facts(inside, depth - 1)


def _read(folder: Path) -> Contender | None:
    try:
        summary, events = summarize(folder), read_events(folder)
    except UserError:  # gone since it was found
        return None
    except OSError as error:  # not for us to read
        _log.warning("%s is left out: %s", folder, error.strerror)
        return None
    start = next((event for event in events if event["moment"] == "on_start"), None)
    if summary is None or start is None:
        return None
    settings = _settings(folder)
    return Contender(
        summary=summary,
        identity=identity_of(summary.loop, start["meta"]) | _of_identity(settings),
        num_samples=dict(start["meta"].get("num_samples") or {}),
        settings=_compared(settings),
        curve={event["epoch"]: _validation(event) for event in epoch_events(events)},
        best=best(events),
    )


def _settings(folder: Path) -> dict[str, str] | None:
    try:
        return read_whole_settings(folder)
    except UserError as error:
        _log.warning("the run is compared without its settings: %s", error)
        return None


def _of_identity(settings: dict[str, str] | None) -> dict[str, str]:
    if settings is None:
        return {"settings": "unknown"}
    return {
        key: value
        for key, value in settings.items()
        if key.startswith(_OF_IDENTITY) and key not in SPLIT_KEYS
    }


def _compared(settings: dict[str, str] | None) -> dict[str, str] | None:
    if settings is None:
        return None
    return {
        key: value
        for key, value in settings.items()
        if key in SPLIT_KEYS
        or not (key in _NO_SETTINGS or key.startswith((*_NO_GROUPS, *_OF_IDENTITY)))
    }


def _validation(event: dict[str, Any]) -> dict[str, float | None]:
    """The metrics of the model; ``val_loss`` stands for their ``total_loss``."""
    metrics = event["metrics"][VAL]
    return {"val_loss": event["val_loss"]} | {
        name: value
        for name, value in metrics.items()
        if name not in TOTAL and not is_baseline(name)
    }
