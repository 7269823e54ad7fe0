"""Draw figures from a run folder: the same code in the worker and afterwards."""

from io import BytesIO
from pathlib import Path

from aam.config import LoggingConfig
from aam.facts.files import write_atomically
from aam.facts.reader import read_events
from aam.monitoring import style
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import Drawing, kind_of, plan


class FactsMissing(Exception):  # noqa: N818 (an outcome, not a failure)
    """The facts do not hold what a family needs."""


def draw(run_dir: Path, drawing: Drawing, logging: LoggingConfig) -> Path:
    """Draw one figure into ``figures/`` of the run folder and return where it is.

    Raises
    ------
    FactsMissing
        If the family lacks facts; the message says which.
    """
    facts = RunFacts.read(run_dir, drawing.moment, logging.diagnostics)
    family = FAMILIES[drawing.family]
    lacks = family.missing(facts) if facts.events else f"no {drawing.moment} event"
    if lacks:
        raise FactsMissing(lacks)
    image = BytesIO()
    with style.applied():
        family.draw(facts).savefig(
            image,
            format=drawing.format,
            dpi=drawing.dpi,
            metadata=style.METADATA[drawing.format],
        )
    path = run_dir / "figures" / drawing.file
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, image.getvalue())
    return path


def draw_all(run_dir: Path, logging: LoggingConfig) -> list[Path]:
    """Draw every figure of the plan whose facts are there, also of a run that died."""
    drawn = []
    for drawing in plan(logging, kind_of(read_events(run_dir))):
        try:
            drawn.append(draw(run_dir, drawing, logging))
        except FactsMissing:
            continue
    return drawn
