"""Where the data lie, what of them is used, what is predicted, and how they are split."""

from dataclasses import dataclass, field, fields
from typing import Any

from aam.config.checks import at_least, one_of
from aam.errors import UserError


@dataclass(kw_only=True)
class DataConfig:
    """Where the data lie, and what of them is used."""

    name: str = "demo"
    table: str | None = None
    tree: str | None = None
    rep_seqs: str | None = None
    metadata: str | None = None
    distances: str | None = None
    target: Any = None  # a column, or a list of numeric ones
    covariates: list[str] = field(default_factory=list)
    shuffle_target: bool = False
    group_column: str | None = None
    batch_column: str | None = None
    stratify_column: str | None = None
    rarefaction_depth: int | None = None
    min_sample_depth: int = 0
    min_prevalence: int = 0
    token_limit: int | None = 1024
    token_selection: str = "abundance"
    batch_size: int = 64
    unifrac: str = "unweighted"
    unifrac_alpha: float = 1.0
    demo_seed: int = 0

    def __post_init__(self) -> None:
        one_of("data.name", self.name, ("demo", "biom"))
        one_of("data.token_selection", self.token_selection, ("abundance", "random"))
        one_of("data.unifrac", self.unifrac, ("unweighted", "weighted", "generalized"))
        at_least("data", self, min_sample_depth=0, min_prevalence=0, demo_seed=0)
        # A batch of one sample has no pair, and so no distance to learn from.
        at_least("data", self, batch_size=2, token_limit=1, rarefaction_depth=1)
        if not 0 <= self.unifrac_alpha <= 1:
            raise UserError(f"data.unifrac_alpha={self.unifrac_alpha} must lie in [0, 1]")
        for column in self.targets:
            if column in self.covariates:
                raise UserError(f"data.covariates names the target {column}: leave it out there")

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns to predict; none for a loop without labels."""
        given = [] if self.target is None else self.target
        return tuple(map(str, given if isinstance(given, list | tuple) else [given]))


_SPLIT_READS = {
    "random": ("val_fraction", "test_fraction", "seed"),
    "grouped": ("val_fraction", "test_fraction", "seed"),
    "kfold": ("val_fraction", "seed", "fold", "folds", "repeats"),
    "leave_one_group_out": ("val_fraction", "seed", "fold"),
    "column": ("column",),
    "file": ("file",),
}  # kind → the keys that it reads
_SPLIT_NEEDS = {
    "column": "a metadata column that says train, val or test for each sample",
    "file": "a table of sample-id and part, such as the split.tsv of a run",
}


@dataclass(kw_only=True)
class SplitConfig:
    """Which samples train, validate and test.

    ``fold`` counts through all ``repeats`` of ``folds`` parts (``kind`` kfold), or through the
    groups in the order of their names (leave_one_group_out). In both, ``val_fraction`` is of what
    is not tested on. A key that the kind does not read is refused: five runs of ``split.fold`` 0 to
    4 without ``split=kfold`` would be the same run five times.
    """

    kind: str = "random"
    val_fraction: float = 0.15
    test_fraction: float = 0.15
    seed: int = 0
    fold: int = 0
    folds: int = 5
    repeats: int = 1
    column: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        one_of("split.kind", self.kind, tuple(_SPLIT_READS))
        at_least("split", self, seed=0, fold=0, folds=2, repeats=1)
        self._refuse_unread()
        if self.kind in _SPLIT_NEEDS and not getattr(self, self.kind):
            raise UserError(
                f"split={self.kind} needs split.{self.kind}=: {_SPLIT_NEEDS[self.kind]}"
            )
        if self.kind == "kfold" and self.fold >= self.folds * self.repeats:
            raise UserError(
                f"split.fold={self.fold} is beyond the last one, {self.folds * self.repeats - 1}: "
                f"there are split.folds={self.folds} times split.repeats={self.repeats}, from 0"
            )

    def _refuse_unread(self) -> None:
        for key in fields(self):
            is_read = key.name in ("kind", *_SPLIT_READS[self.kind])
            if not is_read and getattr(self, key.name) != key.default:
                kinds = [kind for kind, keys in _SPLIT_READS.items() if key.name in keys]
                raise UserError(
                    f"split={self.kind} reads no split.{key.name}: leave it out, or choose "
                    f"split={' or '.join(kinds)}"
                )


@dataclass(kw_only=True)
class BaselinesConfig:
    """What stands beside the model, trained and tested on the very same samples."""

    enabled: bool = True
    num_trees: int = 500

    def __post_init__(self) -> None:
        at_least("baselines", self, num_trees=1)
