import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.monitoring import style
from aam.monitoring.drawing import FactsMissing, draw, draw_all
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import Drawing, plan

Event = dict[str, Any]
SMALL = {name: FamilyConfig(dpi=30) for name in FAMILIES}
PNG = b"\x89PNG\r\n\x1a\n"


def test_draw_all_draws_what_the_facts_hold(healthy_run: Path) -> None:
    before = dict(matplotlib.rcParams)
    paths = draw_all(healthy_run, LoggingConfig(families=SMALL))
    assert [path.name for path in paths] == [
        "losses-on_epoch_end.png",
        "metrics-on_epoch_end.png",
        "training_curves.png",
        "unifrac_best.png",  # and no unifrac_test.png: there was no test
    ]
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    assert sorted((healthy_run / "figures").iterdir()) == sorted(paths)  # nothing temporary is left
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("format_", ["png", "pdf", "svg"])
def test_the_same_facts_give_the_same_bytes(healthy_run: Path, format_: str) -> None:
    drawing = Drawing("unifrac", "on_validation_improved", "unifrac_best", 30, format_)
    first = draw(healthy_run, drawing, LoggingConfig()).read_bytes()
    assert draw(healthy_run, drawing, LoggingConfig()).read_bytes() == first


def test_a_figure_of_the_best_epoch_does_not_show_later_ones(healthy_run: Path) -> None:
    facts = RunFacts.read(healthy_run, "on_validation_improved", DiagnosticsConfig())
    assert facts.epoch_numbers[-1] == facts.best_epoch
    assert RunFacts.read(healthy_run, "on_epoch_end", DiagnosticsConfig()).epoch_numbers[-1] == 30


def test_losses_show_the_facts_and_mark_the_best(
    healthy_run: Path, healthy_events: list[Event]
) -> None:
    facts = RunFacts.read(healthy_run, "on_epoch_end", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES["losses"].draw(facts)
    epochs = [event for event in healthy_events if event["moment"] == "on_epoch_end"]
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert set(panels) == {"Total loss", "UniFrac loss", "Nucleotide loss"}
    train, val, _, star = panels["UniFrac loss"].get_lines()
    np.testing.assert_array_equal(train.get_xdata(), np.arange(1, 31))
    for line, split in ((train, "train"), (val, "val")):
        expected = [event["metrics"][split]["unifrac_loss"] for event in epochs]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    best = epochs[-1]["best"]["epoch"]
    assert star.get_xdata() == [best + 1]
    assert star.get_ydata() == [epochs[best]["metrics"]["val"]["unifrac_loss"]]


def test_metrics_are_all_but_losses(healthy_run: Path) -> None:
    facts = RunFacts.read(healthy_run, "on_epoch_end", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES["metrics"].draw(facts)
    assert {axes.get_title(loc="left") for axes in figure.axes} == {
        "Nucleotide accuracy",
        "Gradient norm",
        "UniFrac R² (2 off the axis)",  # the first two epochs: -13.8 and -4.3
        "UniFrac MAE",
        "UniFrac Spearman",
        "Learning rate (in 1e-05)",
    }


def test_training_curves_show_the_findings_of_the_facts(
    write_run: Callable[..., Path], epoch_event: Callable[..., Event]
) -> None:
    finding = {"kind": "plateau", "evidence": "it stays at 0.3", "advice": "stop"}
    run_dir = write_run([epoch_event(0, 0.5, 0.6, diagnostics=[finding])], num_pairs=1)
    facts = RunFacts.read(run_dir, "on_epoch_end", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES["training_curves"].draw(facts)
    assert [text.get_text() for text in figure.axes[-1].texts] == ["plateau", "it stays at 0.3"]


@pytest.mark.parametrize(
    "losses",
    [
        [(0.5, None), (0.4, None)],
        [(0.5, 0.6)],
        [(None, 0.6), (0.5, None), (0.4, 0.5)],
        [(0.0, 0.0), (-1.0, 0.0)],
        [(0.5, 0.5)] * 12,
        [(1e9 / 10**epoch, 1e9 / 10**epoch) for epoch in range(20)],
    ],
)
def test_odd_losses_are_drawn_too(
    write_run: Callable[..., Path],
    epoch_event: Callable[..., Event],
    losses: list[tuple[float | None, float | None]],
) -> None:
    events = [epoch_event(epoch, *pair, lr=0.0) for epoch, pair in enumerate(losses)]
    run_dir = write_run(events, num_pairs=1)
    paths = draw_all(run_dir, LoggingConfig(families=SMALL))
    assert [path.name for path in paths] == ["losses-on_epoch_end.png", "training_curves.png"]


def test_a_model_that_was_fitted_at_once_has_no_curves(
    write_run: Callable[..., Path], epoch_event: Callable[..., Event]
) -> None:
    run_dir = write_run([epoch_event(0, 0.5, 0.6, step=0)], num_pairs=1)
    assert draw_all(run_dir, LoggingConfig(families=SMALL)) == []


@pytest.mark.parametrize("name", ["losses", "metrics", "training_curves"])
def test_legend_covers_neither_title_nor_panels(
    write_run: Callable[..., Path], epoch_event: Callable[..., Event], name: str
) -> None:
    best = {"epoch": 999, "metric": "unifrac_spearman", "value": -0.12345}
    metrics = {"train": {"mae": 1.0}, "val": {"mae": 1.0}, "test": {}}
    event = epoch_event(999, 0.5, 0.6, best=best, metrics=metrics)
    facts = RunFacts.read(write_run([event], num_pairs=1), "on_epoch_end", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES[name].draw(facts)
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure._suptitle is not None
    others = [figure._suptitle.get_window_extent(), *(a.get_tightbbox() for a in figure.axes)]
    assert not any(legend.overlaps(other) for other in others if other is not None)


def test_missing_facts_are_named(healthy_run: Path) -> None:
    drawings = {one.stem: one for one in plan(LoggingConfig())}
    with pytest.raises(FactsMissing, match="no on_test_end event"):
        draw(healthy_run, drawings["unifrac_test"], LoggingConfig())
    (healthy_run / "predictions" / "val_unifrac.tsv").unlink()
    with pytest.raises(FactsMissing, match="no artifact val_unifrac"):
        draw(healthy_run, drawings["unifrac_best"], LoggingConfig())


def test_numbers_beside_the_pairs_are_the_facts(healthy_run: Path) -> None:
    """The table may hold a part of the pairs; the facts are of all."""
    facts = RunFacts.read(healthy_run, "on_validation_improved", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES["unifrac"].draw(facts)
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    metrics = facts.events[-1]["metrics"]["val"]
    names = ("unifrac_r2", "unifrac_spearman", "unifrac_mae")
    assert shown[1::2] == [*(f"{metrics[name]:.3f}" for name in names), "4,000"]


def test_drawing_loads_neither_torch_nor_pandas(healthy_run: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path\n"
        "import aam.monitoring.worker\n"
        "from aam.monitoring.drawing import draw_all; from aam.config import LoggingConfig\n"
        "assert len(draw_all(Path(sys.argv[1]), LoggingConfig())) == 4\n"
        "heavy = ('torch', 'pandas', 'scipy', 'skbio', 'matplotlib.pyplot', 'hydra')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(healthy_run)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
