"""Which figure is drawn when: one table, family by moment by group.

Every figure file belongs to one row, so that no figure is drawn twice for one event.
"""

from dataclasses import dataclass

from aam.config import FamilyConfig, LoggingConfig, one_of

GROUPS = ("minimal", "standard", "full")


@dataclass(frozen=True)
class Drawing:
    """One figure file: ``family`` as it stands at ``moment``."""

    family: str
    moment: str
    stem: str
    dpi: int = 120
    format: str = "png"

    @property
    def file(self) -> str:
        """File name within ``figures/``."""
        return f"{self.stem}.{self.format}"


# (family, moment, smallest group that has it, file name without its ending)
TABLE = (
    ("losses", "on_epoch_end", "minimal", "losses-on_epoch_end"),
    ("losses", "on_validation_improved", "full", "losses-on_validation_improved"),
    ("metrics", "on_epoch_end", "standard", "metrics-on_epoch_end"),
    ("metrics", "on_validation_improved", "full", "metrics-on_validation_improved"),
    ("training_curves", "on_epoch_end", "standard", "training_curves"),
    ("unifrac", "on_validation_improved", "standard", "unifrac_best"),
    ("unifrac", "on_test_end", "minimal", "unifrac_test"),
)
FAMILY_NAMES = tuple(sorted({family for family, *_ in TABLE}))


def plan(logging: LoggingConfig) -> list[Drawing]:
    """List the figures that this configuration asks for.

    Raises
    ------
    UserError
        If ``logging.families`` names a family that does not exist.
    """
    for name in logging.families:
        one_of("logging.families", name, FAMILY_NAMES)
    if not logging.make_plots:
        return []
    drawings = []
    for family, moment, group, stem in TABLE:
        config = logging.families.get(family, FamilyConfig())
        if config.enabled and GROUPS.index(group) <= GROUPS.index(logging.plots):
            drawings.append(Drawing(family, moment, stem, config.dpi, config.format))
    return drawings
