"""What the panels show is what the findings say: the numbers, and the figure that is drawn."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.config import DiagnosticsConfig
from aam.facts.reader import epoch_events, read_events
from aam.monitoring import style
from aam.monitoring.curves import Curves
from aam.monitoring.diagnostics import Diagnosis, spells
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.families.training_curves import runs

Event = dict[str, Any]
E = np.arange(60.0)
FALL = 0.3 + 1.2 * np.exp(-E / 12)


@pytest.fixture
def sick_events(epoch_event: Callable[..., Event]) -> list[Event]:
    """Unstable for a while, then at rest, then overfitting and worse from epoch to epoch."""
    val = np.where(E < 40, FALL[np.minimum(E, 28).astype(int)], FALL[28] + (E - 39) / 20)
    val = val + 0.5 * (E % 2) * (E > 11) * (E < 17)
    diagnosis = Diagnosis(DiagnosticsConfig())
    events = []
    for epoch in range(60):
        train = float(FALL[min(epoch, 28)])
        event = epoch_event(epoch, train, float(val[epoch]), lr=1e-3)
        event["diagnostics"] = diagnosis.after(event)
        events.append(event)
    return events


def epochs_in(evidence: str) -> set[int]:
    """The epochs that an evidence names at its beginning: ``epochs 7-9: …``."""
    found = re.match(r"epochs? (\d+)(?:-(\d+))?: ", evidence)
    assert found, evidence
    return set(range(int(found[1]), int(found[2] or found[1]) + 1))


def test_numbers_by_hand(epoch_event: Callable[..., Event]) -> None:
    best = {"epoch": 2, "metric": "val_loss", "value": 0.7}
    events = [
        epoch_event(0, 1.0, 1.2),
        epoch_event(1, 0.8, None, nonfinite=["val_loss"]),
        epoch_event(2, 0.5, 0.7, best=best),
        epoch_event(3, 0.4, 0.75, best=best),
        epoch_event(4, 0.3, 0.65, best=best),
    ]
    curves = Curves.of(events, DiagnosticsConfig())
    assert curves.epochs == (1, 2, 3, 4, 5)
    assert curves.losses["val"] == (1.2, None, 0.7, 0.75, 0.65)
    assert curves.change == (None, None, None, pytest.approx(0.05), pytest.approx(-0.1))
    assert curves.gap is not None
    assert curves.gap[0] == pytest.approx(0.2)
    assert curves.gap[1] is None
    assert curves.std[:4] == (None,) * 4
    assert curves.std[4] == pytest.approx(np.std([0.7, 0.75, 0.65]))
    assert (curves.gap_limit, curves.std_limit) == (0.05, 0.1)  # of a training loss of 1 at first
    assert (curves.judged, curves.best_epoch, curves.found) == ("val", 3, {})
    assert json.loads(json.dumps(asdict(curves), allow_nan=False))["epochs"] == [1, 2, 3, 4, 5]

    alone = [{**event, "val_loss": None, "nonfinite": [], "best": None} for event in events]
    curves = Curves.of(alone, DiagnosticsConfig(relative=False, gap=0.3))
    assert (curves.judged, curves.gap, curves.best_epoch) == ("train", None, None)
    assert curves.gap_limit == 0.3
    assert curves.change[1] == pytest.approx(-0.2)
    assert Curves.of([], DiagnosticsConfig()).epochs == ()


def test_the_epochs_to_mark_are_those_that_the_findings_name(sick_events: list[Event]) -> None:
    found = Curves.of(sick_events, DiagnosticsConfig()).found
    assert found.keys() == {"instability", "plateau", "overfitting", "worsening"}
    named: dict[str, set[int]] = {}
    for spell in spells(sick_events):
        epochs = epochs_in(spell.evidence)
        assert epochs == set(range(spell.first, spell.last + 1))
        named[spell.kind] = named.get(spell.kind, set()) | epochs
    assert {kind: set(epochs) for kind, epochs in found.items()} == named


def test_the_figure_shades_them_and_no_others(
    sick_events: list[Event], write_run: Callable[..., Path]
) -> None:
    run_dir = write_run(sick_events, num_pairs=1)
    found = Curves.of(sick_events, DiagnosticsConfig()).found
    facts = RunFacts.read(run_dir, "on_epoch_end", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES["training_curves"].draw(facts)
    panels = dict(
        zip(("worsening", "plateau", "overfitting", "instability"), figure.axes[:4], strict=True)
    )
    for kind, axes in panels.items():
        spans = [patch.get_x() for patch in axes.patches if patch.get_alpha() is not None]
        widths = [patch.get_width() for patch in axes.patches if patch.get_alpha() is not None]
        shaded = {
            epoch
            for first, width in zip(spans, widths, strict=True)
            for epoch in range(round(first + 0.5), round(first + width + 0.5))
        }
        assert shaded == set(found[kind]), kind
        assert axes.get_title(loc="right").endswith(f"shaded: {kind}")
    (dots,) = [line for line in panels["instability"].get_lines() if line.get_marker() == "o"]
    assert tuple(dots.get_xdata()) == found["instability"]
    texts = [text.get_text() for text in figure.axes[-1].texts]
    for finding in epoch_events(read_events(run_dir))[-1]["diagnostics"]:
        assert finding["kind"] in texts
        assert finding["evidence"].startswith(texts[texts.index(finding["kind"]) + 1])


def test_runs_of_whole_numbers() -> None:
    assert runs([]) == []
    assert runs([3, 4, 5, 7, 9, 10]) == [(3, 5), (7, 7), (9, 10)]
