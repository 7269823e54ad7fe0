"""Choosing hyper-parameters inside the training part.

Shapes: n training samples, h of them held out, P candidates, K outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aam.baselines.features import Floats
from aam.baselines.given import Given, Rows

MAX_FOLDS = 5
Fold = tuple[Rows, Rows]  # positions to fit on, positions held out


def inner_folds(given: Given, rows: Rows) -> list[Fold]:
    """Folds of positions in ``rows``, groups kept together, classes in proportion.

    Up to five, fewer where there are fewer groups or samples of the smallest class. None where
    there are too few to hold any out. A fold that would be fitted on one class is left out.
    """
    classes_n = given.classes[rows] if given.is_classification else None
    groups = None if given.groups is None else _numbered([given.groups[row] for row in rows])
    num_folds = min(MAX_FOLDS, len(rows) if groups is None else groups.max(initial=-1) + 1)
    if classes_n is not None:
        sizes = np.bincount(classes_n)
        num_folds = min(num_folds, sizes[sizes > 1].min(initial=MAX_FOLDS))
        # A class of one sample cannot be spread: it goes with the largest one.
        classes_n = np.where(sizes[classes_n] > 1, classes_n, sizes.argmax())
    if num_folds < 2:
        return []
    splitter = _splitter(num_folds, classes_n is not None, groups is not None, given.seed)
    return [
        (fit, held)
        for fit, held in splitter.split(rows, classes_n, groups)
        if len(held) and len(fit) and (classes_n is None or np.ptp(classes_n[fit]) > 0)
    ]


def _splitter(num_folds: int, stratified: bool, grouped: bool, seed: int) -> Any:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    if grouped and not stratified:
        return GroupKFold(num_folds)
    kind = StratifiedGroupKFold if grouped else StratifiedKFold if stratified else KFold
    return kind(num_folds, shuffle=True, random_state=seed)


def _numbered(groups: Sequence[str | None]) -> NDArray[np.int64]:
    """A number for each group; a sample without a group has its own."""
    keys = [(str(k), "alone") if group is None else (group,) for k, group in enumerate(groups)]
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.int64)


def out_of_fold(
    folds: Sequence[Fold], predict: Callable[[Rows, Rows], Floats], num_samples: int
) -> Floats:
    """Outputs of every candidate for samples that it was not fitted on, ``[P, n, K]``.

    ``predict(fit, held)`` gives ``[P, h, K]``. NaN for a sample that no fold held out.
    """
    parts = [predict(fit, held) for fit, held in folds]
    outputs_PnK = np.full((parts[0].shape[0], num_samples, parts[0].shape[2]), np.nan)
    for (_, held), part_PhK in zip(folds, parts, strict=True):
        outputs_PnK[:, held] = part_PhK
    return outputs_PnK


def best_candidate(outputs_PnK: Floats, values_nK: Floats, is_classification: bool) -> int:
    """The candidate of the least absolute error or of the highest AUROC, by outputs out of fold.

    Errors are in standard deviations of each column, averaged; AUROC is one-vs-rest, averaged over
    the classes. The first of equals; the middle one where none can be told.
    """
    loss = _mean_auroc_lost if is_classification else _mean_error
    loss_P = np.array([loss(outputs_nK, values_nK) for outputs_nK in outputs_PnK])
    return int(np.nanargmin(loss_P)) if np.isfinite(loss_P).any() else len(loss_P) // 2


def _mean_error(outputs_nK: Floats, values_nK: Floats) -> float:
    known_n = ~np.isnan(outputs_nK).any(axis=1)
    spread_K = values_nK.std(axis=0)
    error_K = np.abs(outputs_nK - values_nK)[known_n].mean(axis=0)
    return float((error_K / np.where(spread_K > 0, spread_K, 1)).mean())


def _mean_auroc_lost(outputs_nK: Floats, values_nK: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    found = []
    for output_n, is_class_n in zip(outputs_nK.T, values_nK.T, strict=True):
        known_n = ~np.isnan(output_n)
        if len(np.unique(is_class_n[known_n])) > 1:
            found.append(roc_auc_score(is_class_n[known_n], output_n[known_n]))
    return 1 - float(np.mean(found)) if found else np.nan
