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
from aam.errors import UserError
from aam.monitoring import style
from aam.monitoring.drawing import draw_all, render
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import Drawing

Event = dict[str, Any]
MakeRun = Callable[..., Path]
SMALL = {name: FamilyConfig(dpi=30) for name in FAMILIES}
PNG = b"\x89PNG\r\n\x1a\n"
HEALTHY = ["losses-on_epoch_end", "metrics-on_epoch_end", "training_curves", "unifrac_best"]


def facts_of(run_dir: Path, moment: str = "on_epoch_end") -> RunFacts:
    return RunFacts.read(run_dir, moment, DiagnosticsConfig())


def test_draw_all_draws_what_the_facts_hold(healthy_run: Path) -> None:
    before = dict(matplotlib.rcParams)
    drawn = draw_all(healthy_run, LoggingConfig(families=SMALL))
    assert [path.stem for path in drawn.written] == HEALTHY
    assert drawn.left_out == {
        "unifrac_test.png": "there is no on_test_end event",
        "losses-on_validation_improved.png": "switched off by logging.plots=standard",
        "metrics-on_validation_improved.png": "switched off by logging.plots=standard",
    }
    assert drawn.failed == {}
    assert all(path.read_bytes().startswith(PNG) for path in drawn.written)
    # Nothing temporary is left.
    assert sorted((healthy_run / "figures").iterdir()) == sorted(drawn.written)
    assert dict(matplotlib.rcParams) == before


def test_a_family_that_fails_leaves_the_others(healthy_run: Path, tmp_path: Path) -> None:
    (healthy_run / "predictions" / "val_unifrac.tsv").write_text("nonsense\n")
    drawn = draw_all(healthy_run, LoggingConfig(families=SMALL), folder=tmp_path / "a" / "b")
    assert [path.name for path in drawn.written] == [f"{stem}.png" for stem in HEALTHY[:3]]
    assert drawn.failed == {"unifrac_best.png": "ValueError: 'true' is not in list"}
    assert not (healthy_run / "figures").exists()


def test_named_families_are_drawn_whole_whatever_the_settings(healthy_run: Path) -> None:
    off = {"losses": FamilyConfig(dpi=30, enabled=False)}
    drawn = draw_all(
        healthy_run, LoggingConfig(make_plots=False, families=off), families=["losses", "roc_pr"]
    )
    assert [path.stem for path in drawn.written] == [
        "losses-on_epoch_end",
        "losses-on_validation_improved",
    ]
    assert set(drawn.left_out) == {"roc_pr_best.png", "roc_pr_test.png"}


def test_a_folder_that_is_no_run_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        draw_all(tmp_path, LoggingConfig())


@pytest.mark.parametrize("format_", ["png", "pdf", "svg"])
def test_the_same_facts_give_the_same_bytes(healthy_run: Path, format_: str) -> None:
    """Whatever the settings of the place, and wherever the folder is now."""
    drawing = Drawing("unifrac", "on_validation_improved", "unifrac_best", 30, format_)
    first = render(facts_of(healthy_run, drawing.moment), drawing)
    moved = healthy_run.rename(healthy_run.with_name("elsewhere"))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        assert render(facts_of(moved, drawing.moment), drawing) == first


def test_a_figure_of_the_best_epoch_does_not_show_later_ones(healthy_run: Path) -> None:
    facts = facts_of(healthy_run, "on_validation_improved")
    assert facts.epoch_numbers[-1] == facts.best_epoch
    assert facts_of(healthy_run).epoch_numbers[-1] == 30


def test_losses_show_the_facts_and_mark_the_best(
    healthy_run: Path, healthy_events: list[Event]
) -> None:
    facts = facts_of(healthy_run)
    with style.applied():
        figure = FAMILIES["losses"].draw(facts)
    epochs = [event for event in healthy_events if event["moment"] == "on_epoch_end"]
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert set(panels) == {"Total loss", "UniFrac loss", "Nucleotide loss"}
    train, _, val, _, _, star = panels["UniFrac loss"].get_lines()
    np.testing.assert_array_equal(train.get_xdata(), np.arange(1, 31))
    for line, split in ((train, "train"), (val, "val")):
        expected = [event["metrics"][split]["unifrac_loss"] for event in epochs]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    best = epochs[-1]["best"]["epoch"]
    assert star.get_xdata() == [best + 1]
    assert star.get_ydata() == [epochs[best]["metrics"]["val"]["unifrac_loss"]]


def test_metrics_are_all_but_losses(healthy_run: Path) -> None:
    facts = facts_of(healthy_run)
    with style.applied():
        figure = FAMILIES["metrics"].draw(facts)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    # The first two epochs: -13.8 and -4.3.
    assert panels["UniFrac R²"].get_xlabel() == "epoch (2 beyond the axis)"
    assert set(panels) == {
        "Nucleotide accuracy",
        "Gradient norm",
        "UniFrac R²",
        "UniFrac MAE",
        "UniFrac Spearman",
        "Learning rate",
    }


def test_training_curves_show_the_findings_of_the_facts(
    write_run: Callable[..., Path], epoch_event: Callable[..., Event]
) -> None:
    finding = {"kind": "plateau", "evidence": "it stays at 0.3", "advice": "stop"}
    run_dir = write_run([epoch_event(0, 0.5, 0.6, diagnostics=[finding])], num_pairs=1)
    facts = facts_of(run_dir)
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
    drawn = draw_all(run_dir, LoggingConfig(families=SMALL))
    assert [path.stem for path in drawn.written] == ["losses-on_epoch_end", "training_curves"]
    assert drawn.failed == {}


def test_a_model_that_was_fitted_at_once_has_no_curves(
    write_run: Callable[..., Path], epoch_event: Callable[..., Event]
) -> None:
    run_dir = write_run([epoch_event(0, 0.5, 0.6, step=0)], num_pairs=1)
    drawn = draw_all(run_dir, LoggingConfig(families=SMALL))
    assert drawn.written == []
    assert (
        drawn.left_out["losses-on_epoch_end.png"] == "the model was fitted at once, without epochs"
    )


def test_numbers_beside_the_pairs_are_the_facts(healthy_run: Path) -> None:
    """The table may hold a part of the pairs; the facts are of all."""
    facts = facts_of(healthy_run, "on_validation_improved")
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
        "assert len(draw_all(Path(sys.argv[1]), LoggingConfig()).written) == 4\n"
        "heavy = ('torch', 'pandas', 'scipy', 'skbio', 'matplotlib.pyplot', 'hydra')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(healthy_run)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
