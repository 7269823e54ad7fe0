"""Which figure is drawn when: one table, family by moment by configuration.

Every figure file belongs to one row, so that no figure is drawn twice for one event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from aam.config import FamilyConfig, LoggingConfig, TagsConfig, one_of
from aam.config.logging import PLOTS
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import LR_FIND, UNSUPERVISED


class Row(NamedTuple):
    """When a family is drawn at a moment: in this group and larger ones, by these tags."""

    family: str
    moment: str
    group: str
    tags: tuple[str, ...]


TABLE = (
    Row("losses", "on_epoch_end", "minimal", ("curves",)),
    Row("losses", "on_validation_improved", "full", ("curves", "best")),
    Row("metrics", "on_epoch_end", "standard", ("curves",)),
    Row("metrics", "on_validation_improved", "full", ("curves", "best")),
    Row("training_curves", "on_epoch_end", "standard", ("curves",)),
    Row("unifrac", "on_validation_improved", "standard", ("predictions", "best")),
    Row("unifrac", "on_test_end", "minimal", ("predictions", "test")),
    Row("pred_vs_actual", "on_validation_improved", "standard", ("predictions", "best")),
    Row("pred_vs_actual", "on_test_end", "minimal", ("predictions", "test")),
    Row("residuals", "on_validation_improved", "full", ("predictions", "best")),
    Row("residuals", "on_test_end", "standard", ("predictions", "test")),
    Row("confusion_matrix", "on_validation_improved", "standard", ("predictions", "best")),
    Row("confusion_matrix", "on_test_end", "minimal", ("predictions", "test")),
    Row("roc_pr", "on_validation_improved", "standard", ("predictions", "best")),
    Row("roc_pr", "on_test_end", "standard", ("predictions", "test")),
    Row("lr_find", "on_epoch_end", "minimal", ("curves",)),
)
FAMILY_NAMES = tuple(sorted(FAMILIES))


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


class Plan(NamedTuple):
    """What a configuration asks for, and what it does not: the drawing → by which setting."""

    drawings: list[Drawing]
    left_out: dict[Drawing, str]


def kind_of(events: Iterable[dict[str, Any]]) -> str:
    """What a run learns, by its start: a task (``meta.target``), no labels, a learning rate."""
    starts = [event for event in events if event["meta"] is not None]
    if starts and starts[-1]["loop"] == LR_FIND:
        return LR_FIND
    target = starts[-1]["meta"].get("target") if starts else None
    return target["task"] if target else UNSUPERVISED


def plan(logging: LoggingConfig, kind: str | None = None) -> list[Drawing]:
    """List the figures that this configuration asks for, of a kind of run or (None) of any.

    Raises
    ------
    UserError
        If ``logging.families`` names a family that does not exist.
    """
    check_families("logging.families", logging.families)
    return look_up(logging, kind).drawings if logging.make_plots else []


def look_up(logging: LoggingConfig, kind: str | None = None) -> Plan:
    """Look every row of the table up, as if ``make_plots`` were true."""
    found = Plan([], {})
    for row in TABLE:
        family = FAMILIES[row.family]
        of_any = family.kind is None and kind != LR_FIND
        if kind is not None and not of_any and kind != family.kind:
            continue
        config = logging.families.get(row.family, FamilyConfig())
        drawing = Drawing(
            row.family, row.moment, family.moments[row.moment], config.dpi, config.format
        )
        if setting := _switched_off(row, logging):
            found.left_out[drawing] = setting
        else:
            found.drawings.append(drawing)
    return found


def only(families: Iterable[str], logging: LoggingConfig) -> LoggingConfig:
    """The same configuration with all figures of these families, and no others."""
    chosen = set(families)
    configs = {
        name: replace(logging.families.get(name, FamilyConfig()), enabled=name in chosen)
        for name in FAMILY_NAMES
    }
    return replace(logging, plots=PLOTS[-1], tags=TagsConfig(), families=configs)


def check_families(key: str, names: Iterable[str]) -> None:
    """Refuse a name that no family has.

    Raises
    ------
    UserError
        It says which was given by ``key``, and the nearest right one.
    """
    for name in names:
        one_of(key, name, FAMILY_NAMES)


def _switched_off(row: Row, logging: LoggingConfig) -> str:
    """The setting by which a row is not drawn; empty if it is."""
    if not logging.families.get(row.family, FamilyConfig()).enabled:
        return f"logging.families.{row.family}.enabled=false"
    if PLOTS.index(row.group) > PLOTS.index(logging.plots):
        return f"logging.plots={logging.plots}"
    off = [tag for tag in row.tags if not getattr(logging.tags, tag)]
    return f"logging.tags.{off[0]}=false" if off else ""
