"""Metadata columns as inputs of a model: numbers standardised, categories one-hot.

Shapes: N samples, V values that all covariates make together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aam.data.metadata import Column
from aam.data.targets import spread_of
from aam.errors import UserError


@dataclass(frozen=True)
class Covariate:
    """How one column becomes values; fitted on the training part.

    A missing number is the mean, and a missing or unknown category is none of those known.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] = ()
    """Empty for a numeric column."""

    @classmethod
    def fit(cls, column: Column, rows: NDArray[np.int64]) -> "Covariate":
        """Learn the mean and spread, or the categories, of some rows.

        Raises
        ------
        UserError
            If none of them has a value.
        """
        known = sorted({v for v in (column.values[row] for row in rows) if v is not None})
        if not known:
            raise UserError(
                f"data.covariates: no training sample has a value of {column.name}; leave it out"
            )
        if column.kind == "categorical":
            return cls(column.name, categories=tuple(known))
        numbers = column.numeric()[rows]
        numbers = numbers[~np.isnan(numbers)]
        mean, scale = numbers.mean(keepdims=True), numbers.std(keepdims=True)
        return cls(column.name, float(mean[0]), float(spread_of(scale, mean)[0]))

    @property
    def num_values(self) -> int:
        """How many values it makes."""
        return len(self.categories) or 1

    def encode(self, column: Column) -> NDArray[np.float32]:
        """``[N, num_values]``."""
        if self.categories:
            held = [[value == one for one in self.categories] for value in column.values]
            return np.array(held, dtype=np.float32)
        if not any(value is not None for value in column.values):
            return np.zeros((len(column.values), 1), dtype=np.float32)
        scaled = (column.numeric() - self.mean) / self.scale
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)[:, None]


def encode_all(
    covariates: Sequence[Covariate], columns: Mapping[str, Column]
) -> NDArray[np.float32] | None:
    """``[N, V]``, or None where there are no covariates."""
    if not covariates:
        return None
    return np.hstack([one.encode(columns[one.name]) for one in covariates])


def from_plain(values: object) -> Covariate:
    """What ``dataclasses.asdict`` made of a covariate, read back; other things raise."""
    if not isinstance(values, dict):
        raise TypeError("a covariate is no mapping")
    return Covariate(
        name=str(values["name"]),
        mean=float(values["mean"]),
        scale=float(values["scale"]),
        categories=tuple(map(str, values["categories"])),
    )
