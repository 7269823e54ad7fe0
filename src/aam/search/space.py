"""What a search varies and what it leaves alone, from the overrides of a command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aam.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna.distributions import BaseDistribution

# What may differ between processes that search together.
_OF_A_PROCESS = ("trainer.device", "trainer.num_threads", "monitor", "logging", "env")


@dataclass(frozen=True)
class Space:
    """What is searched: key → where its values lie, and the overrides that all trials share."""

    ranges: "Mapping[str, BaseDistribution]"
    fixed: tuple[str, ...]

    @property
    def shared(self) -> dict[str, Any]:
        """What all processes of one search must have alike."""
        fixed = sorted(line for line in self.fixed if not line.startswith(_OF_A_PROCESS))
        return {"ranges": {key: repr(one) for key, one in self.ranges.items()}, "fixed": fixed}


def read_space(arguments: Sequence[str]) -> Space:
    """``optimizer.lr='tag(log, interval(1e-4, 1e-2))'``, ``model.dim=16,32``, ``x=range(1, 5)``.

    Raises
    ------
    UserError
        If nothing is varied, or Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise UserError("hydra/sweeper=optuna needs Optuna: pip install 'aam[sweep]'")
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = OverridesParser.create().parse_overrides(list(arguments))
    varied = [override for override in overrides if override.is_sweep_override()]
    if not varied:
        raise UserError(
            "hydra/sweeper=optuna has nothing to search: give a setting a range, such as "
            "optimizer.lr='tag(log, interval(1e-4, 1e-2))' or model=tiny,small"
        )
    return Space(
        ranges={override.get_key_element(): _range_of(override) for override in varied},
        fixed=tuple(str(override.input_line) for override in overrides if override not in varied),
    )


def _range_of(override: "Override") -> "BaseDistribution":
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        is_log = "log" in sweep.tags
        low, high = sweep.start, sweep.end
        assert low is not None
        assert high is not None
        if not low < high or (is_log and low <= 0):
            what = "must rise from a number above 0" if is_log else "must rise"
            raise UserError(f"{override.input_line}: the interval {what}")
        if isinstance(low, int):  # int(interval(1, 10))
            return IntDistribution(low, int(high), log=is_log)
        return FloatDistribution(low, high, log=is_log)
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
        if not values:
            raise UserError(f"{override.input_line}: the range is empty")
        if all(isinstance(value, int) for value in values):
            return IntDistribution(values[0], values[-1], step=int(sweep.step))
        return FloatDistribution(float(values[0]), float(values[-1]), step=float(sweep.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))
