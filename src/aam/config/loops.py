"""The settings of each loop: the group ``loop`` has those of the loop that was chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from aam.config.checks import above_zero, at_least, fraction_below_one, one_of
from aam.errors import UserError


@dataclass(kw_only=True)
class LoopConfig:
    """What every loop has: a loop with settings of its own has a class in ``LOOPS``.

    ``takes`` names the settings outside the group that not every loop reads.
    """

    takes: ClassVar[tuple[str, ...]] = ()
    name: str = "pretrain"


@dataclass(kw_only=True)
class PretrainConfig(LoopConfig):
    """What ``loop=pretrain`` learns from.

    An epoch is as many whole passes over the training samples as give ``min_updates`` batches: a
    study of 80 samples would else be judged, and lose its patience, after every other update.
    """

    unifrac_weight: float = 1.0
    nuc_weight: float = 0.01
    faith_pd_weight: float = 0.0
    count_weight: float = 0.0
    mask_fraction: float = 0.15
    mask_spans: bool = False
    masked_asvs: float = 0.25
    gradient_asvs: float = 1.0
    max_eval_samples: int = 512
    min_updates: int = 50

    def __post_init__(self) -> None:
        at_least("loop", self, min_updates=1, max_eval_samples=2)
        at_least("loop", self, nuc_weight=0, faith_pd_weight=0, count_weight=0)
        above_zero("loop", self, "unifrac_weight")
        for key in ("mask_fraction", "masked_asvs", "gradient_asvs"):
            if not 0 < getattr(self, key) <= 1:
                raise UserError(f"loop.{key}={getattr(self, key)} must lie in (0, 1]")


@dataclass(kw_only=True)
class SupervisedConfig(LoopConfig):
    """What every loop that predicts a target has.

    ``transform`` is fitted on the training part and undone before anything is shown: losses apart,
    all figures are in the target's own units.
    """

    takes: ClassVar[tuple[str, ...]] = (
        "task",
        "data.target",
        "data.shuffle_target",
        "data.batch_column",
    )
    transform: str = "zscore"

    def __post_init__(self) -> None:
        known = ("none", "zscore", "minmax", "log_zscore", "log_minmax")
        one_of("loop.transform", self.transform, known)


@dataclass(kw_only=True)
class GradientConfig(SupervisedConfig):
    """What supervised loops have that are trained by gradients."""

    loss: str = "huber"
    quantile: float = 0.5
    class_weights: str = "none"
    label_smoothing: float = 0.0
    min_updates: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("loop.loss", self.loss, ("huber", "mse", "mae", "quantile"))
        one_of("loop.class_weights", self.class_weights, ("none", "balanced"))
        at_least("loop", self, min_updates=1)
        if not 0 < self.quantile < 1:
            raise UserError(f"loop.quantile={self.quantile} must lie in (0, 1)")
        fraction_below_one("loop", self, "label_smoothing")


@dataclass(kw_only=True)
class FinetuneConfig(GradientConfig):
    """The head of ``loop=finetune``, and how far the encoder may follow it.

    ``encoder_lr`` is the encoder's learning rate as a share of the head's.
    """

    takes = (*SupervisedConfig.takes, "pretrained", "freeze", "data.covariates")
    name: str = "finetune"
    head: str = "mlp"
    head_dropout: float = 0.3
    encoder_lr: float = 0.1
    covariate_fusion: str = "concat"
    unifrac_weight: float = 0.0
    count_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("loop.head", self.head, ("linear", "mlp", "residual"))
        one_of("loop.covariate_fusion", self.covariate_fusion, ("concat", "gated"))
        at_least("loop", self, encoder_lr=0, unifrac_weight=0, count_weight=0)
        fraction_below_one("loop", self, "head_dropout")


@dataclass(kw_only=True)
class MlpConfig(GradientConfig):
    """The network of ``loop=mlp``: one hidden layer on centred log-ratios."""

    name: str = "mlp"
    hidden: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("loop", self, hidden=1)
        fraction_below_one("loop", self, "dropout")


@dataclass(kw_only=True)
class ForestConfig(SupervisedConfig):
    """The forest of ``loop=random_forest``."""

    name: str = "random_forest"
    num_trees: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("loop", self, num_trees=1)


@dataclass(kw_only=True)
class ProbeConfig(SupervisedConfig):
    """What ``loop=probe`` fits on embeddings of the frozen encoder.

    ``svm``, ``gaussian_process`` and ``nearest_neighbours`` share a kernel between samples that the
    training part chooses; ``linear`` is ridge or logistic regression on sample vectors.
    """

    takes = (*SupervisedConfig.takes, "pretrained")
    name: str = "probe"
    estimator: str = "svm"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ("svm", "gaussian_process", "nearest_neighbours", "linear")
        one_of("loop.estimator", self.estimator, known)


@dataclass(kw_only=True)
class LrFindConfig(LoopConfig):
    """How ``loop=lr_find`` raises the learning rate, and of which loop (``of``).

    ``settings`` are those of that loop, where they are not its defaults.
    """

    takes = FinetuneConfig.takes
    name: str = "lr_find"
    of: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    min_lr: float = 1e-6
    max_lr: float = 10.0
    num_updates: int = 200
    smoothing: float = 0.8
    explosion: float = 4.0

    def __post_init__(self) -> None:
        if self.of is not None:
            one_of("loop.of", self.of, ("pretrain", "finetune", "mlp"))
        at_least("loop", self, num_updates=50)
        above_zero("loop", self, "min_lr", "max_lr", "explosion")
        fraction_below_one("loop", self, "smoothing")
        if self.max_lr <= self.min_lr:
            raise UserError(f"loop.max_lr={self.max_lr} must be above loop.min_lr={self.min_lr}")
        if self.explosion <= 1:
            raise UserError(f"loop.explosion={self.explosion} must be above 1")

    def examined(self, targets: Sequence[str]) -> LoopConfig:
        """The settings of the loop whose rate is looked for.

        Raises
        ------
        UserError
            If ``settings`` has a key that this loop has not, or a value that it refuses.
        """
        name = self.of or ("finetune" if targets else "pretrain")
        known = tuple(one.name for one in fields(LOOPS[name]) if one.name != "name")
        for key in self.settings:
            one_of("a key of loop.settings", key, known)
        try:
            return LOOPS[name](**self.settings)
        except TypeError as error:
            raise UserError(f"loop.settings={self.settings} has a wrong value: {error}") from None


# By name; a loop that is not here (``docs/extending.md``) has ``LoopConfig``.
LOOPS: dict[str, type[LoopConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "mlp": MlpConfig,
    "random_forest": ForestConfig,
    "probe": ProbeConfig,
    "lr_find": LrFindConfig,
}
