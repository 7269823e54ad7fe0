"""What is to be predicted: metadata columns, as numbers or as classes.

Shapes: N samples, T columns to predict, C classes.
"""

import logging
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aam.data.metadata import Column
from aam.data.study import Study
from aam.errors import UserError, shown

REGRESSION, CLASSIFICATION = "regression", "classification"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """The values of every sample of a study; none is missing."""

    names: tuple[str, ...]
    values: NDArray[np.float64] | NDArray[np.int64]
    """Regression: ``[N, T]`` float64, in their own units. Classification: ``[N]`` int64, the index
    in ``classes``."""
    classes: tuple[str, ...] = ()
    """``[C]`` sorted names; empty in regression."""

    @property
    def task(self) -> str:
        """``regression`` or ``classification``."""
        return CLASSIFICATION if self.classes else REGRESSION

    def shuffled(self, seed: int) -> "Target":
        """The same values dealt out anew: a negative control, in which nothing is to be learned."""
        order = np.random.default_rng(seed).permutation(len(self.values))
        _log.warning("data.shuffle_target: values were dealt out by chance; expect chance")
        return replace(self, values=self.values[order])

    @property
    def num_outputs(self) -> int:
        """Numbers that a model gives a sample: one a column, or a logit a class."""
        return len(self.classes) or len(self.names)


def read_target(study: Study, names: tuple[str, ...], task: str | None) -> tuple[Study, Target]:
    """The columns to predict, and the samples of the study that have a value in each of them.

    ``task`` None is guessed: one categorical column makes a classification. What was guessed and
    which samples were dropped is logged.

    Raises
    ------
    UserError
        A column is absent, or not numeric in a regression; several columns are to be classified;
        no sample is left; there is one class only, or a class of one sample.
    """
    columns = [study.column("data.target", name) for name in names]
    if task is None:
        task = _guess(columns)
    if task == CLASSIFICATION and len(columns) > 1:
        raise UserError(
            f"data.target names {len(columns)} columns ({shown(names)}), but a classification has "
            "one; give one column, or numeric ones"
        )
    values = [column.numeric() for column in columns] if task == REGRESSION else []
    there = np.array([None not in row for row in zip(*(c.values for c in columns), strict=True)])
    what = " and ".join(names)
    if not there.any():
        raise UserError(f"no sample has a value of {what}; choose another data.target")
    if not there.all():
        dropped = [name for name, kept in zip(study.sample_ids, there, strict=True) if not kept]
        _log.warning(
            "%d of %d samples have no value of %s and were dropped: %s",
            len(dropped), len(there), what, shown(dropped),
        )  # fmt: skip
    rows = np.flatnonzero(there)
    if task == REGRESSION:
        values_NT = np.stack(values, axis=1)[rows]
        for name, value_N in zip(names, values_NT.T, strict=True):
            if np.ptp(value_N) == 0:
                raise UserError(
                    f"all {len(rows)} samples have {name}={value_N[0]:g}: there is nothing to "
                    "predict; choose another data.target"
                )
        return study.take(rows), Target(names, values_NT)
    return study.take(rows), _classes(columns[0], rows)


def _guess(columns: list[Column]) -> str:
    kinds = {column.kind for column in columns}
    if len(columns) > 1:
        return REGRESSION
    task = REGRESSION if kinds == {"numeric"} else CLASSIFICATION
    _log.warning(
        "%s: %s, so task=%s; set task= to have it otherwise",
        columns[0].name,
        "numbers" if task == REGRESSION else "categories",
        task,
    )
    return task


def _classes(column: Column, rows: NDArray[np.int64]) -> Target:
    labels = [str(column.values[row]) for row in rows]
    sizes = Counter(labels)
    if len(sizes) == 1:
        raise UserError(
            f"all {len(labels)} samples have {column.name}={labels[0]}: there is nothing to tell "
            "apart; choose another data.target"
        )
    alone = sorted(label for label, size in sizes.items() if size == 1)
    if alone:
        hint = "; for numbers set task=regression" if column.kind == "numeric" else ""
        raise UserError(
            f"{len(alone)} of {len(sizes)} classes of {column.name} have one sample only "
            f"({shown(alone)}), which cannot be both trained on and tested; leave their cells "
            f"empty or join them with another{hint}"
        )
    classes = tuple(sorted(sizes))
    index = {label: k for k, label in enumerate(classes)}
    return Target((column.name,), np.array([index[label] for label in labels]), classes)


def spread_of(scale: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scales to divide by: 1 where a value is constant but for rounding."""
    is_constant = scale <= 1e-9 * np.maximum(1.0, np.abs(mean))
    return np.where(is_constant, 1.0, scale)


@dataclass(frozen=True)
class Transform:
    """A target's own units ↔ the unit that a model is trained in, column by column.

    ``(log1p(value) if is_log else value) - shift) / scale``, fitted on the training part.
    """

    is_log: bool
    shift: NDArray[np.float64]  # [T]
    scale: NDArray[np.float64]  # [T], above 0

    @classmethod
    def fit(cls, kind: str, values_NT: NDArray[np.float64]) -> "Transform":
        """``kind``: none, zscore, minmax, log_zscore, log_minmax.

        Raises
        ------
        UserError
            If a logarithm is asked for of values of -1 or less.
        """
        is_log = kind.startswith("log_")
        if is_log and values_NT.min() <= -1:
            raise UserError(
                f"loop.transform={kind} takes log(1 + value), but the target goes down to "
                f"{values_NT.min():g}; use loop.transform=zscore"
            )
        x_NT = np.log1p(values_NT) if is_log else values_NT
        shift, scale = np.zeros(x_NT.shape[1]), np.ones(x_NT.shape[1])
        if kind.endswith("zscore"):
            shift, scale = x_NT.mean(axis=0), x_NT.std(axis=0)
        elif kind.endswith("minmax"):
            shift, scale = x_NT.min(axis=0), np.ptp(x_NT, axis=0)
        return cls(is_log, shift, spread_of(scale, shift))

    def forward(self, values_NT: NDArray[np.float64]) -> NDArray[np.float64]:
        """Own units → what a model is trained on."""
        x_NT = np.log1p(np.maximum(values_NT, -1 + 1e-9)) if self.is_log else values_NT
        scaled: NDArray[np.float64] = (x_NT - self.shift) / self.scale
        return scaled

    def inverse(self, scaled_NT: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a model gives → own units."""
        x_NT = scaled_NT * self.scale + self.shift
        return np.expm1(x_NT) if self.is_log else x_NT
