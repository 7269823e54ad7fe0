"""Who hears the facts of a run, by configuration."""

from pathlib import Path
from typing import TYPE_CHECKING

from aam.config import LoggingConfig
from aam.facts.listener import Listener
from aam.monitoring.plan import plan

if TYPE_CHECKING:
    from aam.monitoring.tensorboard_histograms import Parameters


def listeners(
    logging: LoggingConfig, run_dir: Path | None, parameters: "Parameters | None" = None
) -> list[Listener]:
    """Make the listeners of a run: TensorBoard, figures, console.

    Parameters
    ----------
    run_dir
        None, or ``logging.save_artifacts=false``, where nothing may be written: only the console
        listens then.
    parameters
        Gives the model's parameters by name, for histograms; None where nothing is trained.

    Raises
    ------
    UserError
        If ``logging.families`` names a family that does not exist.
    """
    folder = run_dir if logging.save_artifacts else None
    drawings = plan(logging)
    heard: list[Listener] = []
    if folder is not None and logging.tensorboard:
        from aam.monitoring.tensorboard import TensorBoard

        heard.append(TensorBoard(folder, logging, parameters))
    if folder is not None and drawings:
        from aam.monitoring.figures import Figures

        heard.append(Figures(folder, logging))
    if logging.console:
        from aam.monitoring.console import Console

        # Last, so that it is closed last: it names the figures that were finished before.
        heard.append(Console(folder))
    return heard
