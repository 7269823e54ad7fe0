"""What is made from the facts."""

from dataclasses import dataclass, field

from aam.config.checks import at_least, one_of
from aam.errors import UserError

PLOTS = ("minimal", "standard", "full")
"""Groups of figures; each has all of the one before."""
FORMATS = ("png", "pdf", "svg")
DPI = (10, 600)
"""Fewest and most dots per inch."""


@dataclass(kw_only=True)
class FamilyConfig:
    """One plot family's switches."""

    enabled: bool = True
    dpi: int = 120
    format: str = "png"

    def __post_init__(self) -> None:
        one_of("logging.families.*.format", self.format, FORMATS)
        # Beyond that, a figure takes gigabytes of memory, which the training needs.
        if not DPI[0] <= self.dpi <= DPI[1]:
            raise UserError(
                f"logging.families.*.dpi={self.dpi} must lie in [{DPI[0]}, {DPI[1]}]; "
                "pdf and svg are sharp at any size"
            )


@dataclass(kw_only=True)
class TagsConfig:
    """Switches of groups of figures: what has a tag that is false is not drawn."""

    curves: bool = True
    predictions: bool = True
    best: bool = True
    test: bool = True


@dataclass(kw_only=True)
class DiagnosticsConfig:
    """When a run is called sick.

    ``gap``, ``plateau_change``, ``std``, ``rise`` and ``jump`` are losses or changes of them: with
    ``relative`` as shares of the loss at the start of the run, so that a loss of 40 and one of 0.04
    are judged alike; without, in the unit of the loss itself. All others have no unit.
    """

    relative: bool = True
    gap: float = 0.05
    plateau_change: float = 0.001
    plateau_epochs: int = 5
    std: float = 0.1
    std_epochs: int = 3
    rise: float = 0.02
    rise_epochs: int = 5
    explosion: float = 2.0
    flat: float = 0.02
    flat_epochs: int = 5
    spike: float = 5.0
    spike_epochs: int = 10
    jump: float = 0.1

    def __post_init__(self) -> None:
        group = "logging.diagnostics"
        at_least(group, self, plateau_epochs=1, std_epochs=2, rise_epochs=1)
        at_least(group, self, flat_epochs=2, spike_epochs=1)
        at_least(group, self, gap=0, plateau_change=0, std=0, rise=0, jump=0, flat=0)
        at_least(group, self, explosion=1, spike=1)


@dataclass(kw_only=True)
class LoggingConfig:
    """What is made from the facts. The facts themselves are always written.

    ``plots`` names the group of figures (``aam.monitoring.plan`` lists them), of which ``tags`` and
    ``families`` switch some off; figures of a whole epoch are drawn every ``every_epochs`` epochs
    and at the end of the run.
    """

    make_plots: bool = True
    save_artifacts: bool = True
    plots: str = "standard"
    every_epochs: int = 1
    tensorboard: bool = True
    histogram_every_epochs: int | None = 50
    console: bool = True
    tags: TagsConfig = field(default_factory=TagsConfig)
    families: dict[str, FamilyConfig] = field(default_factory=dict)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        one_of("logging.plots", self.plots, PLOTS)
        at_least("logging", self, every_epochs=1, histogram_every_epochs=1)
