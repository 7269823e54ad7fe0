"""Draw figures from facts: the same code in the worker and afterwards."""

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from aam.config import LoggingConfig
from aam.facts.files import write_atomically
from aam.facts.reader import read_events
from aam.monitoring import style
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import Drawing, kind_of, look_up, only

FOLDER = "figures"


class FactsMissing(Exception):  # noqa: N818 (an outcome, not a failure)
    """The facts do not hold what a family needs."""


class Drawn(NamedTuple):
    """What came of drawing a run: the files, and why each other one is not among them."""

    written: list[Path]
    left_out: dict[str, str]
    failed: dict[str, str]


def render(facts: RunFacts, drawing: Drawing) -> bytes:
    """Draw one figure; the same facts give the same bytes.

    Raises
    ------
    FactsMissing
        If the family lacks facts; the message says which.
    """
    family = FAMILIES[drawing.family]
    lacks = family.missing(facts) if facts.events else f"there is no {drawing.moment} event"
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
    return image.getvalue()


def save(folder: Path, drawing: Drawing, image: bytes) -> Path:
    """Put a figure into a folder, which is made if needed.

    Raises
    ------
    OSError
        If that is not possible; a figure that was there before is whole.
    """
    with suppress(FileNotFoundError):  # deleted just after it was made: once more
        return _save(folder, drawing, image)
    return _save(folder, drawing, image)


def draw_all(
    run_dir: Path,
    logging: LoggingConfig,
    *,
    families: Sequence[str] = (),
    folder: Path | None = None,
) -> Drawn:
    """Draw every figure whose facts are there, also of a run that died.

    Parameters
    ----------
    logging
        Says which, whatever ``make_plots`` is, as it did while the run went on.
    families
        Draw all figures of these instead, whether the configuration has them or not.
    folder
        Where to; default: ``figures/`` of the run folder.

    Raises
    ------
    UserError
        If there are no facts.
    OSError
        If the folder cannot be written to.
    """
    events = read_events(run_dir)
    asked = only(families, logging) if families else logging
    drawings, switched_off = look_up(asked, None if families else kind_of(events))
    off = {one.file: f"switched off by {why}" for one, why in switched_off.items()}
    drawn = Drawn([], {}, {})
    for drawing in drawings:
        facts = RunFacts.of(events, run_dir, drawing.moment, logging.diagnostics)
        try:
            image = render(facts, drawing)
        except FactsMissing as lacks:
            drawn.left_out[drawing.file] = str(lacks)
        except Exception as error:
            drawn.failed[drawing.file] = f"{type(error).__name__}: {error}"
        else:
            drawn.written.append(save(folder or run_dir / FOLDER, drawing, image))
    if not families:
        drawn.left_out.update(off)
    return drawn


def _save(folder: Path, drawing: Drawing, image: bytes) -> Path:
    path = folder / drawing.file
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, image)
    return path
