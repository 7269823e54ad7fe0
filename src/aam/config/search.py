"""A search for good settings: the keys of ``hydra.sweeper`` with ``hydra/sweeper=optuna``."""

from dataclasses import dataclass

from aam.config.checks import at_least, one_of

SAMPLERS = ("tpe", "random")
PRUNERS = ("none", "median", "hyperband")


@dataclass(kw_only=True)
class SearchConfig:
    """How long to search, and how."""

    n_trials: int = 20
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("hydra.sweeper", self, n_trials=1, seed=0)
        one_of("hydra.sweeper.sampler", self.sampler, SAMPLERS)
        one_of("hydra.sweeper.pruner", self.pruner, PRUNERS)
