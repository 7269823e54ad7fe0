"""The figure of a search for a learning rate, from a folder that holds facts and the curve."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.config import DiagnosticsConfig, LoggingConfig
from aam.facts.recorder import Recorder
from aam.facts.tables import write_tsv
from aam.monitoring import style
from aam.monitoring.console import Console
from aam.monitoring.drawing import draw_all
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts

RATES = {"suggested_lr": 1e-3, "steepest_lr": 1e-4, "tenth_lr": 1e-3, "last_lr": 1.0}


@pytest.fixture
def search_run(tmp_path: Path, start_meta: dict[str, Any]) -> Callable[..., Path]:
    """Write the folder of a search of 61 updates whose last loss is not finite."""

    def record(rates: dict[str, float | None]) -> Path:
        run_dir = tmp_path / "run_20261121-140953_lr_find"
        lr = np.geomspace(1e-6, 1.0, 61)
        smooth = 0.5 + np.abs(np.linspace(-4, 2, 61)) / 10
        loss = smooth + np.random.default_rng(0).normal(0, 0.02, 61)
        loss[58] = 40.0
        loss[60] = smooth[60] = np.nan
        columns = {"update": np.arange(1, 62), "lr": lr, "loss": loss, "smoothed": smooth}
        write_tsv(run_dir / "predictions" / "lr_find.tsv", columns)
        recorder = Recorder(run_dir, loop="lr_find", metric_names=["total_loss", *rates])
        recorder.emit("on_start", meta=start_meta | {"num_epochs": 1, "examined": "finetune"})
        fact = {"epoch": 0, "step": 61, "train_loss": 0.5, "lr": rates["suggested_lr"]}
        fact |= {"metrics": {"train": {"total_loss": 0.5, **rates}}}
        fact |= {"artifacts": {"lr_find": "predictions/lr_find.tsv"}}
        recorder.emit("on_epoch_end", **fact)
        recorder.emit("on_train_end", **fact)
        recorder.close()
        return run_dir

    return record


def drawn(run_dir: Path) -> Any:
    facts = RunFacts.read(run_dir, "on_epoch_end", DiagnosticsConfig())
    with style.applied():
        figure = FAMILIES["lr_find"].draw(facts)
        figure.draw_without_rendering()
    return figure


def test_the_rates_stand_at_their_place(search_run: Callable[..., Path]) -> None:
    figure = drawn(search_run(RATES))
    panel, below = figure.axes
    assert panel.get_xscale() == "log"
    lines = dict(zip((t.get_text() for t in below.get_legend().texts), panel.lines, strict=False))
    assert [float(np.atleast_1d(line.get_xdata())[0]) for line in panel.lines[2:]] == [
        1e-3, 1e-3, 1e-4, 1.0,
    ]  # fmt: skip
    assert list(lines) == [
        "loss of an update", "smoothed", "lowest loss / 10: 0.001", "suggested: 0.001",
        "steepest: 0.0001", "end of the search: 1",
    ]  # fmt: skip
    assert panel.get_title(loc="right") == "1 off the axis"
    assert panel.get_ylim()[1] < 2
    assert figure.texts[0].get_text().endswith("optimizer.lr=0.001")
    legend, small_print = below.get_legend().get_window_extent(), figure.texts[1]
    assert not legend.overlaps(small_print.get_window_extent())
    assert small_print.get_text().endswith("rate of loop=finetune")


def test_a_search_without_an_answer_says_so(search_run: Callable[..., Path]) -> None:
    rates = dict.fromkeys(RATES) | {"last_lr": 1.0}
    figure = drawn(search_run(rates))
    assert figure.texts[0].get_text().endswith("no answer")
    assert len(figure.axes[0].lines) == 3


def test_a_search_has_this_figure_alone(search_run: Callable[..., Path]) -> None:
    run_dir = search_run(RATES)
    everything = LoggingConfig(plots="full")
    assert [path.name for path in draw_all(run_dir, everything).written] == ["lr_find.png"]
    others = draw_all(run_dir, everything, families=["losses", "metrics", "training_curves"])
    assert others.written == []
    assert set(others.left_out.values()) >= {"the run looked for a learning rate, without epochs"}
    (run_dir / "predictions" / "lr_find.tsv").unlink()
    (why,) = draw_all(run_dir, everything).left_out.values()
    assert why == "no artifact lr_find (the curve of a search)"


def test_the_console_gives_the_rate_as_a_setting(
    search_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from aam.facts.reader import read_events

    console = Console(None)
    for event in read_events(search_run(RATES)):
        console.on_event(event)
    console.close()
    assert "\nSuggested: optimizer.lr=0.001\n" in capsys.readouterr().out
