"""What TensorBoard shows of a run: curves, histograms, a figure, and its row among other runs."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from aam.config import LoggingConfig
from aam.errors import UserError
from aam.facts.listener import Progress
from aam.facts.summary import time_of
from aam.monitoring.drawing import FactsMissing, render
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import Drawing, kind_of, plan
from aam.monitoring.scores import of_model
from aam.monitoring.tensorboard_events import EventFile, Value, custom_scalars, image, scalars
from aam.monitoring.tensorboard_histograms import Parameters, TrainedParameters
from aam.monitoring.tensorboard_hparams import read_hparams, session_end, session_start

_log = logging.getLogger(__name__)

PREDICTION_PLOT = "validation/prediction_plot"
SESSION = ".session"  # ends the names of files that a resume replaces


class TensorBoard:
    """Listener that writes the folder ``tensorboard/`` of a run.

    TensorBoard's step is the epoch, counted from 1.

    - Scalars ``train/x``, ``val/x`` and ``lr`` of every epoch; ``best/x``, the validation of each
      epoch that was the best so far; ``test/x``. Baselines, which know no epochs, are no curves.
    - ``parameters/NAME``: histograms of what is trained, after the first epoch, every
      ``logging.histogram_every_epochs`` and the last.
    - ``validation/prediction_plot``: the figure of the best validation, when the training is over:
      drawn at each improvement, it would hold up the training.
    - The settings of the run and how it ended, for the tab HParams.
    """

    def __init__(
        self, run_dir: Path, logging: LoggingConfig, parameters: Parameters | None = None
    ) -> None:
        self._run_dir = run_dir
        self._folder = run_dir / "tensorboard"
        self._logging = logging
        self._is_trained = parameters is not None
        self._parameters: TrainedParameters | None = None
        if parameters is not None and logging.histogram_every_epochs is not None:
            self._parameters = TrainedParameters(parameters)
        self._start: dict[str, Any] = {}
        self._first_step = 0
        self._file: EventFile | None = None
        self._step = 0  # the last epoch that was heard of
        self._histogram_step = 0

    def on_event(self, event: dict[str, Any]) -> None:
        """Write what the event brings."""
        match event["moment"]:
            case "on_start" | "on_resume":
                self._begin(event)
            case "on_epoch_end":
                self._end_epoch(event)
            case "on_validation_improved":
                self._write(scalars(best_of(event)), event["epoch"] + 1)
            case "on_train_end":
                self._add_histograms()
                self._add_figure()
                if not self._is_tested_later():
                    self._end(event)
            case "on_test_end":
                tested = tagged("test", of_model(event["metrics"]["test"]))
                self._write(scalars(tested), (event["epoch"] or 0) + 1)
                self._end(event)
            case "on_stop":  # it may go on: its row stays open
                self._add_figure()
            case "on_exception":
                self._add_figure()
                self._end(event)

    def on_progress(self, progress: Progress) -> None:
        """Steps are too many to write."""

    def close(self) -> None:
        """Close the event file."""
        if self._parameters is not None:
            self._parameters.close()
        if self._file is not None:
            self._file.close()

    def _begin(self, event: dict[str, Any]) -> None:
        self._start = event
        if event["moment"] == "on_resume":
            # Points from there on are written again, and settings may have changed.
            self._first_step = event["epoch"] + 1
            for old in self._folder.glob(f"*{SESSION}"):
                old.unlink()
        if self._parameters is not None:
            self._parameters.watch()
        with suppress(UserError):  # without a configuration, the run has no row
            hparams = read_hparams(self._run_dir, is_trained=self._is_trained)
            self._write_session(session_start(hparams, time_of(event).timestamp()))

    def _end_epoch(self, event: dict[str, Any]) -> None:
        train, val = of_split(event, "train"), of_split(event, "val")
        lr = {} if event["lr"] is None else {"lr": event["lr"]}
        if self._file is None:
            self._write([custom_scalars(train | val | lr)], 0)
        self._step = event["epoch"] + 1
        self._write(scalars(tagged("train", train) | tagged("val", val) | lr), self._step)
        every = self._logging.histogram_every_epochs
        if every is not None and (self._step == 1 or self._step % every == 0):
            self._add_histograms()

    def _add_histograms(self) -> None:
        """Of the weights as they are now, which must be those of the last epoch."""
        if self._parameters is not None and self._step > self._histogram_step:
            self._histogram_step = self._step
            self._write(self._parameters.histograms(), self._step)

    def _add_figure(self) -> None:
        drawing = best_figure(self._logging, kind_of([self._start])) if self._step else None
        if drawing is None:  # not asked for, or nothing new since the run went on
            return
        try:
            facts = RunFacts.read(self._run_dir, drawing.moment, self._logging.diagnostics)
            png = render(facts, replace(drawing, format="png"))
        except FactsMissing:
            return
        except Exception as error:  # test and end are worth more than a figure
            _log.warning("TensorBoard has no figure (%s: %s)", type(error).__name__, error)
            return
        self._write([image(PREDICTION_PLOT, png)], facts.best_epoch or 0)

    def _is_tested_later(self) -> bool:
        return bool(self._start["meta"].get("num_samples", {}).get("test"))

    def _end(self, event: dict[str, Any]) -> None:
        failed = event["moment"] == "on_exception"
        self._write_session(session_end(time_of(event).timestamp(), failed=failed))

    def _write(self, values: Iterable[Value], step: int) -> None:
        if self._file is None:
            self._file = EventFile(self._folder, first_step=self._first_step)
        self._file.write(values, step)

    def _write_session(self, value: Value) -> None:
        """TensorBoard keeps the first that it reads of a folder, so a resume must take it away."""
        with closing(EventFile(self._folder, ending=SESSION)) as file:
            file.write([value], 0)


def of_split(event: dict[str, Any], split: str) -> dict[str, float | None]:
    """The model's metrics of ``train`` or ``val``, by plain name; None where not defined."""
    return {"total_loss": event[f"{split}_loss"], **of_model(event["metrics"][split])}


def best_of(event: dict[str, Any]) -> dict[str, float]:
    """What the best epoch so far is judged by; its training alone where there is no validation."""
    values = tagged("best", of_split(event, "val"))
    return values or {f"best/{event['best']['metric']}": event["best"]["value"]}


def tagged(group: str, values: Mapping[str, float | None]) -> dict[str, float]:
    """Values by tag; what is not defined is left out."""
    return {f"{group}/{name}": value for name, value in values.items() if value is not None}


def best_figure(logging: LoggingConfig, kind: str) -> Drawing | None:
    """The first figure of a best validation that is for this kind of run alone."""
    of_best = (one for one in plan(logging, kind) if one.moment == "on_validation_improved")
    return next((one for one in of_best if FAMILIES[one.family].kind is not None), None)
