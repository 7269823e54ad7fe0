"""Find the runs that a person names: by folder, by name or a part of it, or as the latest."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from aam.errors import UserError, shown
from aam.facts.folders import outputs_folder
from aam.facts.reader import EVENTS
from aam.facts.summary import find_runs, summarize

LATEST = "latest"


def find_run(word: str, outputs: Path | None = None) -> Path:
    """The one run that is meant by a folder, a name below ``outputs``, or a unique part of a name.

    ``latest`` is the run that was started last. A folder that holds no run yet is taken as it is.

    Raises
    ------
    UserError
        If there is none, or several; the error names them.
    """
    folder = _folder(word)
    if (folder / EVENTS).is_file():
        return folder
    if folder.is_dir():
        return _only(list(find_runs(folder)), f"{word} holds") or folder
    outputs = outputs_folder() if outputs is None else outputs
    if os.sep in word:
        what = "is no folder" if folder.exists() else "does not exist"
        raise UserError(f"{word} {what}: give a run folder, or the name of a run")
    runs = list(find_runs(outputs))
    if word == LATEST and runs:
        return max(runs, key=_started)
    found = _only(_called(word, runs), f"{word} may be")
    if found is None:
        raise UserError(f"no run below {outputs} is called {word}{_hint(word, runs)}")
    return found


def find_all(words: Sequence[str], outputs: Path | None = None) -> list[Path]:
    """Every run that is meant by the words, each once, in their order; all runs without words.

    A word is as in :func:`find_run`, or a folder with any number of runs below it.

    Raises
    ------
    UserError
        If a word means no run and is no folder, or no run is found at all.
    """
    outputs = outputs_folder() if outputs is None else outputs
    if not words and not outputs.is_dir():
        raise UserError(
            f"{outputs} does not exist, so nothing was run from here: give a folder, or set "
            "AAM_OUTPUTS"
        )
    runs: dict[Path, Path] = {}
    for word in words or [str(outputs)]:
        folder = _folder(word)
        found = find_runs(folder) if folder.is_dir() else [find_run(word, outputs)]
        runs.update({run.resolve(): run for run in found})
    if not runs:
        raise UserError(f"{shown(words or [outputs])} holds no run: give a folder such as outputs")
    return list(runs.values())


def _folder(word: str) -> Path:
    if not word:  # as by "$RUN" where RUN is not set; to Python it is the current folder
        raise UserError('a RUN is empty (""): give its folder, a part of its name, or latest')
    return Path(word).expanduser()


def _each_once(runs: Iterable[Path]) -> list[Path]:
    """Without those that a link leads to a second time."""
    return list({run.resolve(): run for run in runs}.values())


def _called(word: str, runs: Sequence[Path]) -> list[Path]:
    """The runs of that name; if none is, those that have it between two ``_``; then as any part."""
    ways: list[Callable[[str], bool]] = [
        lambda name: name == word,
        lambda name: f"_{word}_" in f"_{name}_",
        lambda name: word in name,
    ]
    found = ([run for run in runs if is_meant(run.name)] for is_meant in ways)
    return next((some for some in found if some), [])


def _only(runs: Sequence[Path], what: str) -> Path | None:
    if len(runs) > 1:
        runs = _each_once(runs)
    if len(runs) > 1:
        raise UserError(f"{what} {shown(_told_apart(runs), 5)}: give one of them")
    return runs[0] if runs else None


def _told_apart(runs: Sequence[Path]) -> Iterable[str]:
    """Their names; their paths where runs of two folders have one name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _hint(word: str, runs: Sequence[Path]) -> str:
    if not runs:
        return ": there is no run there"
    near = get_close_matches(word, [run.name for run in runs], n=1)
    return f"; did you mean {near[0]}?" if near else "; aam-facts ls names them"


def _started(run: Path) -> datetime:
    try:
        summary = summarize(run)
    except (UserError, OSError):  # gone since it was found
        summary = None
    return datetime.min.replace(tzinfo=UTC) if summary is None else summary.started
