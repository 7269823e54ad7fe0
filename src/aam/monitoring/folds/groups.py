"""Which runs make one cross-validation, and which do not belong together."""

import logging
from collections.abc import Sequence
from typing import Any

from aam.errors import UserError, shown
from aam.monitoring.folds.numbers import CrossValidation
from aam.monitoring.folds.runs import FoldRun
from aam.monitoring.runs.comparing import MAY_DIFFER_BY_SPLIT, by_settings

_log = logging.getLogger(__name__)


def cross_validations(runs: Sequence[FoldRun]) -> list[CrossValidation]:
    """One cross-validation for each setting of the runs; folds that are missing are logged.

    The encoder (``pretrained``) may be another for each fold.

    Raises
    ------
    UserError
        If runs do not belong together: other data, target, split or loop, the same fold twice with
        the same settings, the same sample in two folds, or settings that share no fold.
    """
    for run in runs[1:]:
        _refuse_other(runs[0], run)
    groups = [
        sorted(group, key=lambda run: run.fold)
        for group in by_settings(runs, lambda run: run.settings, lambda run: run.fold)
    ]
    for group in groups:
        _refuse_repeated(group)
    settings = _settings(groups)
    _refuse_scattered(groups, list(settings[0]))
    parts = [
        CrossValidation(setting, group) for setting, group in zip(settings, groups, strict=True)
    ]
    for one in parts:
        if not one.metrics:
            raise UserError(
                f"{one.runs[0].folder} and the folds beside it have no test metric that is "
                "defined: train them once more with more samples to test on"
            )
        _say_what_is_odd(one)
    return sorted(parts, key=lambda one: one.label)


def _settings(groups: Sequence[Sequence[FoldRun]]) -> list[dict[str, str]]:
    """What each group has otherwise than another one, by config key."""
    keys = sorted({key for group in groups for run in group for key in run.settings})
    values = {
        key: [sorted({run.settings.get(key, "null") for run in group}) for group in groups]
        for key in keys
    }
    differing = [key for key in keys if any(one != values[key][0] for one in values[key])]
    return [{key: shown(values[key][k]) for key in differing} for k in range(len(groups))]


def _refuse_other(first: FoldRun, run: FoldRun) -> None:
    for key, value in first.identity.items():
        other = run.identity[key]
        if other == value:
            continue
        if key.startswith("data.") and key not in ("data.target", "data.group_column"):
            what = f"its {key} is another file (by SHA-256)"
        else:
            what = f"it has {key}={_said(other)}, not {_said(value)}"
        raise UserError(
            f"{run.folder} and {first.folder} are not of one cross-validation: {what}; give runs "
            "that differ in split.fold, or in settings that you compare"
        )
    if run.predictions.keys() != first.predictions.keys():
        raise UserError(
            f"the test predictions of {run.folder} have other columns than those of "
            f"{first.folder}: give runs of one cross-validation"
        )


def _said(value: Any) -> str:
    return shown(value, 10) if isinstance(value, list) else str(value)


def _refuse_repeated(group: Sequence[FoldRun]) -> None:
    folds: dict[int, FoldRun] = {}
    samples: dict[tuple[int, str], FoldRun] = {}
    for run in group:
        before = folds.setdefault(run.fold, run)
        if before is not run:
            raise UserError(
                f"fold {run.fold} is there twice with the same settings, in {before.folder} and "
                f"{run.folder}: leave one of them out"
            )
        for sample in run.predictions["sample-id"]:
            before = samples.setdefault((run.repeat, sample), run)
            if before is not run:
                raise UserError(
                    f"sample {sample} is tested in two folds of one repeat, in {before.folder} and "
                    f"{run.folder}: give runs of one cross-validation"
                )


def _refuse_scattered(groups: Sequence[Sequence[FoldRun]], keys: Sequence[str]) -> None:
    folds = [{run.fold for run in group} for group in groups]
    for k, own in enumerate(folds):
        others = set().union(*folds[:k], *folds[k + 1 :])
        if len(groups) > 1 and not own & others:
            raise UserError(
                f"{groups[k][0].folder} differs from the other runs in {shown(keys, 5)} and has no "
                "fold that they have, so nothing can be compared: give runs with equal settings, "
                "or all folds of each setting"
            )


def _say_what_is_odd(one: CrossValidation) -> None:
    where = f" of {one.label}" if one.setting else ""
    encoders = sorted({run.settings.get(MAY_DIFFER_BY_SPLIT, "null") for run in one.runs})
    if len(encoders) > 1:
        _log.warning(
            "the folds%s have %d different pretrained= and count as one setting: %s",
            where, len(encoders), shown(encoders),
        )  # fmt: skip
    num_folds = one.runs[0].num_folds or max(one.folds) + 1
    missing = sorted(set(range(num_folds)) - set(one.folds))
    if missing:
        _log.warning(
            "%d of %d folds%s are missing and not in the means: split.fold=%s",
            len(missing), num_folds, where, ",".join(map(str, missing)),
        )  # fmt: skip
