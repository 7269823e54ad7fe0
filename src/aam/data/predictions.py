"""Predictions as columns of a table, for files and figures.

Shapes: n samples, T columns, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aam.data.study import Study
from aam.data.targets import Target


def prediction_table(
    study: Study,
    target: Target,
    rows: NDArray[np.int64],
    outputs: NDArray[np.float64],
    *,
    groups: Sequence[str | None] | None = None,
) -> dict[str, list[Any]]:
    """True and predicted values of some samples, ``outputs`` being ``[n, T]`` or ``[n, C]``.

    Columns: ``sample-id``, ``group`` (where groups are given), ``true`` and ``predicted`` (with
    ``_NAME`` added where there are several), in classification ``probability_CLASS`` besides.
    """
    table: dict[str, list[Any]] = {"sample-id": [study.sample_ids[row] for row in rows]}
    if groups is not None:
        table["group"] = [groups[row] for row in rows]
    if target.classes:
        table["true"] = [target.classes[int(target.values[row])] for row in rows]
        return table | predicted_columns(target.names, target.classes, outputs)
    for k, name in enumerate(_suffixes(target.names)):
        table[f"true{name}"] = target.values[rows, k].tolist()
    return table | predicted_columns(target.names, (), outputs)


def predicted_columns(
    names: Sequence[str], classes: Sequence[str], outputs: NDArray[np.float64]
) -> dict[str, list[Any]]:
    """What is predicted alone: values, or the most probable class and each class's probability."""
    if not classes:
        return {f"predicted{s}": outputs[:, k].tolist() for k, s in enumerate(_suffixes(names))}
    best = outputs.argmax(axis=1)
    columns: dict[str, list[Any]] = {"predicted": [classes[k] for k in best]}
    return columns | {f"probability_{one}": outputs[:, k].tolist() for k, one in enumerate(classes)}


def _suffixes(names: Sequence[str]) -> list[str]:
    return [f"_{name}" for name in names] if len(names) > 1 else [""]
