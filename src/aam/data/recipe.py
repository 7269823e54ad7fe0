"""What a prediction needs beside a model's weights; it is part of the checkpoint.

Shapes: N samples, T columns, O outputs of a model, C classes.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aam.data.covariates import Covariate, from_plain
from aam.data.study import Study
from aam.data.targets import Target, Transform


@dataclass(frozen=True)
class Recipe:
    """From a model's outputs to what they say, and from metadata to a model's inputs."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    transform: Transform | None  # None in classification
    covariates: tuple[Covariate, ...] = ()
    read_lengths: tuple[int, int] | None = None
    """Bases of the training part's ASVs, see :func:`common_lengths`."""

    @classmethod
    def fit(
        cls,
        target: Target,
        transform: str,
        rows: NDArray[np.int64],
        covariates: tuple[Covariate, ...] = (),
        read_lengths: tuple[int, int] | None = None,
    ) -> "Recipe":
        """Fit the transform on some rows of the target."""
        fitted = None
        if not target.classes:
            fitted = Transform.fit(transform, target.values[rows].astype(np.float64))
        return cls(target.names, target.classes, fitted, covariates, read_lengths)

    def finish(self, raw_NO: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw outputs → own units ``[N, T]``, or logits → probabilities ``[N, C]``."""
        if self.transform is not None:
            return self.transform.inverse(raw_NO)
        exp_NC = np.exp(raw_NO - raw_NO.max(axis=1, keepdims=True))
        probability_NC: NDArray[np.float64] = exp_NC / exp_NC.sum(axis=1, keepdims=True)
        return probability_NC

    def as_plain(self) -> dict[str, Any]:
        """Nothing but lists, texts and numbers, which load without running code."""
        transform = None
        if self.transform is not None:
            transform = {
                "is_log": self.transform.is_log,
                "shift": self.transform.shift.tolist(),
                "scale": self.transform.scale.tolist(),
            }
        return {
            "names": list(self.names),
            "classes": list(self.classes),
            "transform": transform,
            "covariates": [
                {**asdict(one), "categories": list(one.categories)} for one in self.covariates
            ],
            "read_lengths": None if self.read_lengths is None else list(self.read_lengths),
        }

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Recipe":
        """What ``as_plain`` gave, read back; ``ValueError`` or others if it cannot be that."""
        names, transform = _texts(values["names"]), values["transform"]
        if transform is not None:
            if not isinstance(transform, dict):
                raise TypeError("its transform is no mapping")
            shift, scale = (
                np.array(transform[key], dtype=np.float64) for key in ("shift", "scale")
            )
            if not shift.shape == scale.shape == (len(names),):
                raise ValueError("its transform is not that of its columns")
            transform = Transform(bool(transform["is_log"]), shift, scale)
        lengths = values["read_lengths"]
        return cls(
            names=names,
            classes=_texts(values["classes"]),
            transform=transform,
            covariates=tuple(from_plain(one) for one in values["covariates"]),
            read_lengths=None if lengths is None else (int(lengths[0]), int(lengths[1])),
        )


def _texts(values: object) -> tuple[str, ...]:
    """Names that can be written to a file."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r} are no names")
    "".join(values).encode()
    return tuple(values)


def common_lengths(study: Study, rows: NDArray[np.int64]) -> tuple[int, int]:
    """The 5th and 95th percentile of the bases of the ASVs in some samples.

    Not the shortest and longest: a single odd ASV must not hide another trim length.
    """
    held = np.unique(study.counts[rows].indices)
    lengths = [len(study.sequences[column]) for column in held]
    low, high = np.percentile(lengths, (5, 95), method="inverted_cdf")
    return int(low), int(high)
