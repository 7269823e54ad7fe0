"""Which figure is drawn when: one table, family by moment by group.

Every figure file belongs to one row, so that no figure is drawn twice for one event.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
    ("pred_vs_actual", "on_validation_improved", "standard", "pred_vs_actual_best"),
    ("pred_vs_actual", "on_test_end", "minimal", "pred_vs_actual_test"),
    ("residuals", "on_validation_improved", "full", "residuals_best"),
    ("residuals", "on_test_end", "standard", "residuals_test"),
    ("confusion_matrix", "on_validation_improved", "standard", "confusion_matrix_best"),
    ("confusion_matrix", "on_test_end", "minimal", "confusion_matrix_test"),
    ("roc_pr", "on_validation_improved", "standard", "roc_pr_best"),
    ("roc_pr", "on_test_end", "standard", "roc_pr_test"),
)
# The one kind of run that a family is for, by what such a run learns; all others are for any run.
UNSUPERVISED = "unsupervised"
KINDS = {
    "unifrac": UNSUPERVISED,
    "pred_vs_actual": "regression",
    "residuals": "regression",
    "confusion_matrix": "classification",
    "roc_pr": "classification",
}
FAMILY_NAMES = tuple(sorted({family for family, *_ in TABLE}))


def kind_of(events: Iterable[dict[str, Any]]) -> str:
    """What a run learns, by its start: a task (``meta.target``), or nothing that has labels."""
    targets = [event["meta"].get("target") for event in events if event["meta"] is not None]
    return targets[-1]["task"] if targets and targets[-1] else UNSUPERVISED


def plan(logging: LoggingConfig, kind: str | None = None) -> list[Drawing]:
    """List the figures that this configuration asks for, of a kind of run or (None) of any.

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
        if kind not in (None, KINDS.get(family, kind)):
            continue
        if config.enabled and GROUPS.index(group) <= GROUPS.index(logging.plots):
            drawings.append(Drawing(family, moment, stem, config.dpi, config.format))
    return drawings
