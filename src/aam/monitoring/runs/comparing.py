"""Runs side by side: what may be ranked together, what differs, what is the same done again."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from aam.errors import shown
from aam.monitoring.runs.contenders import SEED_KEY, SPLIT_KEYS, Contender

# Pretrained on the samples of the training folds alone, each fold has an encoder of its own.
MAY_DIFFER_BY_SPLIT = "pretrained"
UNKNOWN, ABSENT = "?", "-"
# Groups that hold whatever a class takes; a key that is missing elsewhere is of an earlier version.
_OPEN_GROUPS = ("optimizer.", "scheduler.")
_Run = TypeVar("_Run")
_Column = Callable[[Sequence[Contender]], str]


@dataclass(frozen=True)
class Row:
    """Runs of one setting, which differ in seed or split alone."""

    setting: dict[str, str]
    """What other rows of the table have otherwise."""
    finished: list[Contender]
    """One of each seed and split, in their order."""
    unfinished: list[Contender]
    repeated: list[Contender]
    """Finished runs of a seed and split that a newer one of ``finished`` has too."""

    @property
    def runs(self) -> list[Contender]:
        """All of them."""
        return [*self.finished, *self.unfinished, *self.repeated]

    @property
    def label(self) -> str:
        """``optimizer.lr=0.001, scheduler=constant``; the run's name where nothing tells it."""
        known = [f"{key}={value}" for key, value in self.setting.items() if value != UNKNOWN]
        return ", ".join(known) or shown([run.folder.name for run in self.runs], 1)


@dataclass(frozen=True)
class Table:
    """Rows that may be ranked together: of one loop, target, data and kind of split."""

    title: str
    columns: list[str]
    rows: list[Row]

    @property
    def runs(self) -> list[Contender]:
        """All runs of all rows."""
        return [run for row in self.rows for run in row.runs]


def tables_of(contenders: Sequence[Contender]) -> list[Table]:
    """One table for each kind of run, in the order in which they came."""
    kinds: dict[str, list[Contender]] = defaultdict(list)
    for one in contenders:
        kinds[repr(sorted(one.identity.items()))].append(one)
    titles = _titles([runs[0] for runs in kinds.values()])
    return [_table(title, runs) for title, runs in zip(titles, kinds.values(), strict=True)]


def by_settings(
    runs: Sequence[_Run],
    settings: Callable[[_Run], Mapping[str, str]],
    split: Callable[[_Run], Hashable],
) -> list[list[_Run]]:
    """Runs of equal settings; ``pretrained`` may be another for each split of the samples."""
    groups = []
    for group in _split(runs, settings, leave_out=MAY_DIFFER_BY_SPLIT):
        encoders: dict[Hashable, set[str]] = defaultdict(set)
        for run in group:
            encoders[split(run)].add(settings(run).get(MAY_DIFFER_BY_SPLIT, ""))
        is_one = all(len(of_split) == 1 for of_split in encoders.values())
        groups += [group] if is_one else _split(group, settings, leave_out="")
    return groups


def _split(
    runs: Iterable[_Run], settings: Callable[[_Run], Mapping[str, str]], leave_out: str
) -> list[list[_Run]]:
    groups: dict[Hashable, list[_Run]] = defaultdict(list)
    for run in runs:
        groups[frozenset(item for item in settings(run).items() if item[0] != leave_out)].append(
            run
        )
    return list(groups.values())


def _table(title: str, runs: Sequence[Contender]) -> Table:
    differing = _differing(runs)

    def settings(run: Contender) -> dict[str, str]:
        if run.settings is None:  # nothing says that it is like any other
            return {"": str(run.folder)}
        return {key: run.settings.get(key, ABSENT) for key in differing}

    groups = by_settings(runs, settings, lambda run: run.split_key)
    differing = [key for key in differing if len({_values(key, group) for group in groups}) > 1]
    columns = _columns(differing, runs)
    return Table(title, list(columns), [_row(group, columns) for group in groups])


def _values(key: str, group: Sequence[Contender]) -> tuple[str, ...]:
    """What the runs of a row have: one value, or one for each split."""
    if any(run.settings is None for run in group):
        return (UNKNOWN,)
    return tuple(sorted({(run.settings or {}).get(key, ABSENT) for run in group}))


def _said(key: str, group: Sequence[Contender]) -> str:
    return shown(_values(key, group), 2)


def _choice(name: str, group: Sequence[Contender]) -> str:
    return group[0].choices.get(name, UNKNOWN)


def _differing(runs: Sequence[Contender]) -> list[str]:
    """Keys that runs have otherwise, in the order of the configuration."""
    known = [run.settings for run in runs if run.settings is not None]
    keys = {key: None for settings in known for key in settings}
    differing = []
    for key in keys:
        values = {settings[key] for settings in known if key in settings}
        is_absent = key.startswith(_OPEN_GROUPS) and any(key not in one for one in known)
        if len(values) + is_absent > 1 and key not in (*SPLIT_KEYS, SEED_KEY):
            differing.append(key)
    return differing


def _columns(differing: Sequence[str], runs: Sequence[Contender]) -> dict[str, _Column]:
    """Column → what a row has there. Keys that a choice of their group sets are that choice.

    So ``scheduler=constant`` is one column, not five of what it stands for.
    """
    columns: dict[str, _Column] = {}
    told: set[str] = set()
    for key in differing:
        name = key.partition(".")[0]
        of_group = [other for other in differing if other.startswith(f"{name}.")]
        if len(of_group) > 1 and name not in columns:
            by_choice = [other for other in of_group if _follows_choice(other, name, runs)]
            if by_choice:
                columns[name] = partial(_choice, name)
                told.update(by_choice)
        if key not in told:
            columns[key] = partial(_said, key)
    return columns


def _follows_choice(key: str, name: str, runs: Sequence[Contender]) -> bool:
    """Whether a choice of the group says what the key is, in all runs."""
    values: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        if run.settings is not None:
            if name not in run.choices:
                return False
            values[run.choices[name]].add(run.settings.get(key, ABSENT))
    return len(values) > 1 and all(len(of_choice) == 1 for of_choice in values.values())


def _row(group: Sequence[Contender], columns: Mapping[str, _Column]) -> Row:
    newest: dict[tuple[str, ...], Contender] = {}
    repeated = []
    for run in sorted(group, key=lambda one: (one.summary.started, one.folder)):
        if run.is_finished:
            if run.replicate in newest:
                repeated.append(newest[run.replicate])
            newest[run.replicate] = run
    return Row(
        setting={name: value(group) for name, value in columns.items()},
        finished=sorted(newest.values(), key=lambda one: _natural(one.replicate)),
        unfinished=[run for run in group if not run.is_finished],
        repeated=repeated,
    )


def _natural(texts: Iterable[str]) -> list[tuple[int, str]]:
    """Numbers by their size."""
    return [(int(text) if text.isdigit() else -1, text) for text in texts]


def _titles(kinds: Sequence[Contender]) -> list[str]:
    """``loop=finetune, data.target=age, aam/table.biom``, and what tells each from the others."""
    heads = [_head(one) for one in kinds]
    titles = []
    for head, one in zip(heads, kinds, strict=True):
        twins = [kinds[k].identity for k, other in enumerate(heads) if other == head]
        keys = sorted({key for twin in twins for key in twin})
        rest = [key for key in keys if len({repr(twin.get(key)) for twin in twins}) > 1]
        told = [f"{key}={_short(one.identity[key])}" for key in rest if key in one.identity]
        titles.append(", ".join([head, *told]))
    return titles


def _head(one: Contender) -> str:
    target = one.identity["data.target"]
    parts = [f"loop={one.identity['loop']}", *([f"data.target={shown(target)}"] if target else [])]
    return ", ".join([*parts, one.summary.data])


def _short(value: object) -> str:
    """A SHA-256 by its first digits, which are enough to tell files apart."""
    text = str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:8] if is_hash else Path(text).name or text
