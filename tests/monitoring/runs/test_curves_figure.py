"""The figure of a sweep: who has a colour, what is a mean, and a legend that covers nothing."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from aam.monitoring import style
from aam.monitoring.runs.boards import read_boards
from aam.monitoring.runs.curves_figure import draw, has_curves


@pytest.fixture
def board(tmp_path):
    def read(**given):
        (one,), _ = read_boards([str(tmp_path)], **given)
        return one

    return read


def drawn(board):
    """The figure, its lines that are curves by colour, and the texts of its legend."""
    with style.applied():
        figure = draw(board)
        figure.draw_without_rendering()
    (axes,) = figure.axes
    lines: dict[str, list] = {}
    for line in axes.lines:
        if len(line.get_xdata()) > 1:
            lines.setdefault(to_hex(line.get_color()).upper(), []).append(line)
    (legend,) = figure.legends
    return figure, lines, [text.get_text() for text in legend.get_texts()]


def test_a_colour_for_each_setting_and_a_mean_over_its_runs(sweep_run, board):
    sweep_run("a0", [0.4, 0.3, 0.2], optimizer__lr=0.1)
    sweep_run("a1", [0.6, 0.5], optimizer__lr=0.1, trainer__seed=1)
    sweep_run("b", [0.9, 0.8, 0.7], optimizer__lr=0.2)
    _, lines, texts = drawn(board())
    assert {color: len(found) for color, found in lines.items()} == {
        style.BLUE: 3,
        style.VERMILLION: 1,
    }
    *runs, mean = lines[style.BLUE]
    assert [line.get_ydata().tolist() for line in runs] == [[0.4, 0.3, 0.2], [0.6, 0.5]]
    # While both go on: a mean of those that are left would jump.
    np.testing.assert_allclose(mean.get_ydata(), [0.5, 0.4])
    assert mean.get_linewidth() > 2 * runs[0].get_linewidth()
    assert texts == [
        "1:  0.3500 ± 0.2121\nlr=0.1",
        "2:  0.7000\nlr=0.2",
        "each run; thick: mean, while all go on",
        "best epoch of a run",
    ]


def test_the_best_eight_have_a_colour_and_the_rest_is_grey(sweep_run, board):
    for k in range(12):
        sweep_run(f"run{k}", [0.5 + k / 10, 0.4 + k / 10], optimizer__lr=k + 1)
    sweep_run("unfinished", [3.0, 2.0], optimizer__lr=99, end="on_stop")
    figure, lines, texts = drawn(board())
    colors = [color for color, found in lines.items() if len(found) == 1]
    assert len(colors) == 8
    assert len(lines["#C4C4C4"]) == 4 + 1
    assert [text.split("\n")[-1] for text in texts] == [
        *(f"lr={k + 1}" for k in range(8)),
        "4 other settings",
        "1 run not finished",
        "best epoch of a run",
    ]
    assert lines[style.BLUE][0].get_zorder() > lines[style.GREY][0].get_zorder() > 2
    (axes,), (legend,) = figure.axes, figure.legends
    assert not axes.get_window_extent().overlaps(legend.get_window_extent())
    assert figure.bbox.width >= legend.get_window_extent().x1


def test_long_settings_are_cut_and_named_in_full_where_they_would_be_mixed_up(sweep_run, board):
    for k in range(2):
        long = f"/a/b/run_20261121-155305_pretrain_ecam-m{k}_and_more"
        sweep_run(f"{k}", [0.2, 0.1 + k], pretrained=long, optimizer__eps=k, scheduler__eps=k)
    figure, _, texts = drawn(board())
    lines = [line for text in texts for line in text.split("\n")]
    assert "optimizer.eps=0, scheduler.eps=0," in lines
    assert max(map(len, lines)) <= 40
    assert figure.get_size_inches()[0] < 14


def test_a_run_that_went_wrong_does_not_flatten_the_rest(sweep_run, board):
    for k in range(9):
        metrics = {"r2": [-9.0, 0.5, 0.6 - k * (5.0 if k == 8 else 0.01)]}
        sweep_run(f"{k}", [3.0, 2.0, 1.0], metrics=metrics, optimizer__lr=k + 1)
    with style.applied():
        (axes,) = draw(board(metric="r2")).axes
    low, high = axes.get_ylim()
    assert 0.4 < low < 0.53
    assert 0.6 < high < 0.7
    assert axes.get_title(loc="right") == "first epochs: off the axis"


def test_one_epoch_is_no_curve(sweep_run, board):
    sweep_run("a", [0.4])
    assert not has_curves(board())
    sweep_run("b", [0.4, 0.2], trainer__seed=1)
    assert has_curves(board())
