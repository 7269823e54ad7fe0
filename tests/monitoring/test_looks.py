"""Figures are made to be read: whatever the names and numbers in them."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.config import DiagnosticsConfig
from aam.monitoring import style
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts

Event = dict[str, Any]
MakeRun = Callable[..., Path]
LONG = "the number of days since the sample was taken from its host"
LONG_CLASSES = ("Bifidobacterium longum dominated", "Prevotella copri dominated", "neither of them")


def facts_of(run_dir: Path, moment: str = "on_epoch_end") -> RunFacts:
    return RunFacts.read(run_dir, moment, DiagnosticsConfig())


def figure_of(name: str, facts: RunFacts) -> Any:
    with style.applied():
        figure = FAMILIES[name].draw(facts)
        figure.draw_without_rendering()
    return figure


@pytest.fixture(params=["curves", "regression", "targets", "classification"])
def crowded_run(
    request: pytest.FixtureRequest,
    write_run: MakeRun,
    epoch_event: Callable[..., Event],
    supervised_run: MakeRun,
) -> Path:
    """Runs with long names, long numbers and much beside them."""
    noise = np.random.default_rng(2)
    if request.param == "curves":
        best = {"epoch": 999, "metric": "unifrac_spearman", "value": -0.123456}
        metrics = {"train": {"mae": 1.0}, "val": {"mae": 1e-9, "rmse": 123456789.0}, "test": {}}
        event = epoch_event(999, 1e-7, 2e-6, best=best, metrics=metrics, lr=1e-4)
        gap = epoch_event(998, 1e-7, None, metrics=metrics)
        return write_run([gap, event, event | {"moment": "on_validation_improved"}], num_pairs=1)
    if request.param == "classification":
        outputs = noise.dirichlet(np.ones(3), 60)
        return supervised_run(
            np.arange(60) % 3,
            outputs,
            {"kernel_bray_curtis": outputs},
            columns=(LONG,),
            classes=LONG_CLASSES,
        )
    columns = (LONG,) if request.param == "regression" else (LONG, "pH", "butyrate", "weight_loss")
    true = noise.normal(7, 1, (60, len(columns))) * np.array([1, 1e3, 1e-6, 1e9])[: len(columns)]
    return supervised_run(
        true,
        0.9 * true,
        {"kernel_bray_curtis": 0.8 * true},
        columns=columns,
        groups=[f"the host number {i % 30} of the second village" for i in range(60)],
        group_column="the village that the host lives in",
    )


def test_no_text_covers_another_or_leaves_the_figure(crowded_run: Path) -> None:
    """Titles, numbers above panels, names of axes and the legend; whatever the names."""
    facts = {
        name: facts_of(crowded_run, [*family.moments][-1]) for name, family in FAMILIES.items()
    }
    drawn = [n for n, one in facts.items() if one.events and not FAMILIES[n].missing(one)]
    assert len(drawn) >= 3
    for name in drawn:
        figure = figure_of(name, facts[name])
        legends = [*figure.legends, *filter(None, (one.get_legend() for one in figure.axes))]
        boxes = {f"legend {i}": one.get_window_extent() for i, one in enumerate(legends)}
        texts = list(figure.texts)
        for axes in figure.axes:
            texts += [axes.title, axes._left_title, axes._right_title]
            texts += [axes.xaxis.label, axes.yaxis.label]
        for place, text in enumerate(texts):
            if text.get_text().strip() and text.get_visible():
                boxes[f"{text.get_text()} ({place})"] = text.get_window_extent()
        for (one, box), (other, beside) in combinations(boxes.items(), 2):
            assert not box.overlaps(beside), f"{name}: {one!r} covers {other!r}"
        for one, box in boxes.items():
            assert figure.bbox.x0 <= box.x0, f"{name}: {one!r} is cut off"
            assert box.x1 <= figure.bbox.x1, f"{name}: {one!r} is cut off"


def test_epochs_whose_loss_is_not_finite_are_marked(
    write_run: MakeRun, epoch_event: Callable[..., Event]
) -> None:
    losses = [0.9, 0.8, None, 0.6, None, *[0.5] * 20]
    events = [epoch_event(epoch, 0.5, loss) for epoch, loss in enumerate(losses)]
    figure = figure_of("losses", facts_of(write_run(events, num_pairs=1)))
    (axes,) = figure.axes
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [int(line.get_xdata()[0]) for line in crosses] == [3, 5]
    assert {line.get_color() for line in crosses} == {style.SPLIT_COLORS["val"]}
    assert "not a finite number" in figure.texts[1].get_text()
    (dots,) = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert list(dots.get_xdata()) == [4]  # no line leads to it


def test_a_total_of_one_part_is_drawn_once(
    write_run: MakeRun, epoch_event: Callable[..., Event], make_event: Callable[..., Event]
) -> None:
    start = make_event("on_start")
    split = {"kind": "random", "fold": 0, "folds": 1, "repeats": 1}
    target = {"task": "classification", "columns": ["status"], "split": split}
    start["meta"] |= {"target": target}
    parts = {"train": {"target_loss": 0.5}, "val": {"target_loss": 0.6}, "test": {}}
    best = {"epoch": 0, "metric": "val_loss", "value": 0.6}
    epoch = epoch_event(0, 0.5, 0.6, metrics=parts, best=best)
    (axes,) = figure_of("losses", facts_of(write_run([start, epoch], num_pairs=1))).axes
    assert axes.get_ylabel() == "cross entropy in nats"
    assert axes.get_title(loc="right") == "★ 0.600"


def test_metrics_say_which_way_is_better_and_in_what_unit(supervised_run: MakeRun) -> None:
    run_dir = supervised_run([[1.0], [2.0]], [[1.5], [2.0]])
    panels = figure_of("metrics", facts_of(run_dir)).axes
    said = {axes.get_title(loc="left"): axes.get_ylabel() for axes in panels}
    assert said == {
        "MAE": "in age_days, lower is better",
        "RMSE": "in age_days, lower is better",
        "R²": "higher is better",
        "Learning rate": "\N{MULTIPLICATION SIGN} $10^{-4}$",
    }


def test_of_many_targets_the_means_are_drawn(supervised_run: MakeRun) -> None:
    true = np.random.default_rng(0).normal(size=(9, 5))
    run_dir = supervised_run(true, true + 1, columns=tuple("abcde"))
    figure = figure_of("metrics", facts_of(run_dir))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "MAE",
        "RMSE",
        "R²",
        "Learning rate",
    ]
    assert figure.texts[1].get_text().endswith("means over 5 targets")


def test_no_axis_of_a_share_goes_beyond_one(supervised_run: MakeRun) -> None:
    outputs = np.array([[0.9, 0.1], [0.2, 0.8]])
    run_dir = supervised_run([0, 1], outputs, {"knn_unifrac": outputs}, classes=("no", "yes"))
    panels = {
        axes.get_title(loc="left"): axes for axes in figure_of("metrics", facts_of(run_dir)).axes
    }
    assert panels["Accuracy"].get_ylim()[1] > 1  # room for the name of the baseline
    assert max(panels["Accuracy"].get_yticks()) <= 1
