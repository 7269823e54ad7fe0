"""From ``split=`` to the samples of each part, and what a run writes down about it."""

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

from aam.config import Config, DataConfig
from aam.data.folds import kfold_split, leave_one_group_out
from aam.data.groups import group_like_columns
from aam.data.metadata import Column
from aam.data.splits import (
    PARTS,
    Split,
    read_split,
    split_by_column,
    split_samples,
    write_split,
)
from aam.data.study import Study
from aam.errors import UserError, shown
from aam.loops.run import Run

_log = logging.getLogger(__name__)

_NEED_GROUPS = ("grouped", "leave_one_group_out")


def split_of(study: Study, config: Config, run: Run, *, strata: Column | None = None) -> Split:
    """The split that the config asks for, written to ``split.tsv`` in the run folder.

    A resumed run keeps to what was written. ``strata``, aligned to the samples, is kept in
    proportion where ``data.stratify_column`` is not set.

    Raises
    ------
    UserError
        A column or file is absent or wrong, a part stays empty, or a given split tears the groups
        of ``data.group_column`` apart.
    """
    path = None if run.run_dir is None else run.run_dir / "split.tsv"
    if path is not None and run.resume:
        return read_split(path, study.sample_ids)
    if config.split.kind in ("column", "file"):
        split = _given(study, config)
    else:
        split = _dealt(study, config, strata)
    if path is not None:
        write_split(path, study.sample_ids, split)
    return split


def warn_of_groups(study: Study, data: DataConfig) -> None:
    """Say by name which columns look like groups that the split may tear apart.

    Silent where ``data.group_column`` is set.
    """
    names = [] if data.group_column is not None else group_like_columns(study, data.targets)
    if not names:
        return
    described = []
    for name in names:
        values = study.column("data.group_column", name).values
        num_known = sum(value is not None for value in values)
        described.append(f"{name} ({len(set(values) - {None})} in {num_known} samples)")
    _log.warning(
        "samples of one %s may stand on both sides of the split, which flatters the scores: set "
        "data.group_column=%s",
        " or one ".join(described), names[0],
    )  # fmt: skip


def _given(study: Study, config: Config) -> Split:
    if config.split.file is not None:
        split = read_split(Path(config.split.file).expanduser(), study.sample_ids)
    else:
        column = study.column("split.column", str(config.split.column))
        split = split_by_column(study.sample_ids, column)
    groups = _column(study, config, "group_column")
    if groups is not None:
        _refuse_torn(groups, split, config.split.kind)
    return split


def _dealt(study: Study, config: Config, strata: Column | None) -> Split:
    asked, ids = config.split, study.sample_ids
    column = _column(study, config, "group_column")
    if column is None and asked.kind in _NEED_GROUPS:
        raise UserError(_no_groups(study, config))
    groups = None if column is None else column.values
    strata = _column(study, config, "stratify_column") or strata
    common: dict[str, Any] = {
        "val_fraction": asked.val_fraction,
        "seed": asked.seed,
        "groups": groups,
        "strata": strata,
    }
    if asked.kind == "kfold":
        return kfold_split(ids, fold=asked.fold, folds=asked.folds, **common)
    if asked.kind == "leave_one_group_out":
        return leave_one_group_out(ids, fold=asked.fold, **common)
    return split_samples(ids, test_fraction=asked.test_fraction, **common)


def _column(study: Study, config: Config, key: str) -> Column | None:
    name = getattr(config.data, key)
    return None if name is None else study.column(f"data.{key}", name)


def _no_groups(study: Study, config: Config) -> str:
    names = group_like_columns(study, exclude=config.data.targets)
    hint = f", such as {shown(names)}" if names else ""
    return (
        f"split={config.split.kind} keeps the samples of a group together, but data.group_column "
        f"is not set: set it to a metadata column that says whose a sample is{hint}"
    )


def _refuse_torn(groups: Column, split: Split, kind: str) -> None:
    parts_of = defaultdict(set)
    for part in PARTS:
        for row in getattr(split, part):
            parts_of[groups.values[row]].add(part)
    parts_of.pop(None, None)
    torn = sorted(str(group) for group, parts in parts_of.items() if len(parts) > 1)
    if torn:
        raise UserError(
            f"split.{kind} puts {len(torn)} of {len(parts_of)} groups of data.group_column="
            f"{groups.name} into more than one part ({shown(torn)}): give each group one part, or "
            "set data.group_column=null"
        )
