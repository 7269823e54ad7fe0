"""What is made from the facts."""

from dataclasses import dataclass, field

from aam.config.checks import at_least, one_of


@dataclass(kw_only=True)
class FamilyConfig:
    """One plot family's switches."""

    enabled: bool = True
    dpi: int = 120
    format: str = "png"

    def __post_init__(self) -> None:
        one_of("logging.families.*.format", self.format, ("png", "pdf", "svg"))
        at_least("logging.families.*", self, dpi=10)


@dataclass(kw_only=True)
class DiagnosticsConfig:
    """When a run is called sick. Losses and changes are in the unit of the loss.

    With ``relative``, the four limits on losses are multiplied by the size of the loss at the start
    of the run, so that a loss of 40 and one of 0.04 are judged alike.
    """

    relative: bool = False
    gap: float = 0.05
    plateau_change: float = 0.001
    plateau_epochs: int = 5
    std: float = 0.1
    std_epochs: int = 3
    rise: float = 0.02
    rise_epochs: int = 5

    def __post_init__(self) -> None:
        group = "logging.diagnostics"
        at_least(group, self, plateau_epochs=1, std_epochs=2, rise_epochs=1)
        at_least(group, self, gap=0, plateau_change=0, std=0, rise=0)


@dataclass(kw_only=True)
class LoggingConfig:
    """What is made from the facts. The facts themselves are always written.

    ``plots`` names the group of figures (``aam.monitoring.plan`` lists them); figures of a whole
    epoch are drawn every ``every_epochs`` epochs and at the end of the run.
    """

    make_plots: bool = True
    save_artifacts: bool = True
    plots: str = "standard"
    every_epochs: int = 1
    tensorboard: bool = True
    histogram_every_epochs: int | None = 50
    console: bool = True
    families: dict[str, FamilyConfig] = field(default_factory=dict)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        one_of("logging.plots", self.plots, ("minimal", "standard", "full"))
        at_least("logging", self, every_epochs=1, histogram_every_epochs=1)
