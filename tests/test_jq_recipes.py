"""Every recipe of docs/facts.md, run by the real jq on facts that the real command wrote.

What it prints is compared with what the package's own reader says of the same files.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median_high
from typing import Any

import pytest

from aam.cli.train import main
from aam.facts.reader import EVENTS, best, epoch_events, read_events
from aam.facts.recorder import Recorder

PAGE = Path(__file__).parents[1] / "docs" / "facts.md"
SMALLEST = ("logging=none", "trainer.num_threads=1", "data.token_limit=32")
OLD = "2026-01-02T03:04:05Z"
Rows = list[list[Any]]

pytestmark = pytest.mark.skipif(
    shutil.which("jq") is None, reason="jq is not installed, so no recipe can be run"
)


def recipes() -> dict[str, str]:
    """Title → commands."""
    _, _, section = PAGE.read_text("utf-8").partition("\n## Recipes for `jq`\n")
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    found = re.findall(r"^### (.+?)\n.*?^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """``outputs/runs`` with a pretraining, a supervised run, one that died, and one stopped."""
    base = tmp_path_factory.mktemp("world")
    folder = base / "outputs" / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AAM_OUTPUTS", str(base / "outputs"))
        patch.setenv("AAM_CACHE", str(base / "cache"))
        for words in (
            ("trainer.epochs=3", "loop.min_updates=2", "model.num_clades=8"),
            ("loop=mlp", "data.target=age", "trainer.epochs=2", "baselines.num_trees=5"),
        ):
            patch.setattr(sys, "argv", ["aam-train", *words, *SMALLEST])
            assert main() == 0
    trained = {run.name[20:]: run for run in folder.iterdir()}
    pretrained = trained["pretrain"].rename(folder / "a_pretrain")
    supervised = trained["mlp"].rename(folder / "b_mlp")
    killed = killed_copy(pretrained, folder / "c_died")
    stopped = go_on_and_stop(killed_copy(pretrained, folder / "d_stopped"))
    return [pretrained, supervised, killed, stopped]


def killed_copy(run: Path, copy: Path) -> Path:
    """The same run, killed long ago while it wrote the line of its third epoch."""
    shutil.copytree(run, copy)
    content = re.sub(r"[\d-]{10}T[\d:]{8}Z", OLD, (run / EVENTS).read_text())
    (copy / EVENTS).write_text(content[: content.index('"epoch": 2,')])
    return copy


def go_on_and_stop(run: Path) -> Path:
    """Do the second epoch again, with all that may be wrong, then stop on request."""
    columns = (run / "facts" / "scalars.csv").read_text().splitlines()[0].split(",")
    names = [name.removeprefix("metric_") for name in columns if name.startswith("metric_")]
    recorder = Recorder(run, loop="pretrain", metric_names=names, resume=True)
    recorder.emit("on_resume", epoch=1, meta=read_events(run)[0]["meta"])
    recorder.emit(
        "on_epoch_end",
        epoch=1,
        step=4,
        train_loss=0.25,
        val_loss=1e-7,
        lr=0.5,
        metrics={"val": {"unifrac_r2": float("nan")}},
        epoch_time_s=99.0,
        total_time_s=101.5,
        throughput=3.25,
        best={"epoch": 1, "metric": "val_loss", "value": 1e-7},
        diagnostics=[{"kind": "plateau", "evidence": "5 changes\tin a row", "advice": "stop"}],
    )
    recorder.emit("on_stop", epoch=1, reason="request of Ana")
    recorder.close()
    return run


def of_moment(run: Path, *moments: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run) if event["moment"] in moments]


def curve(run: Path) -> Rows:
    return [
        [e["epoch"] + 1, e["train_loss"], e["val_loss"]] for e in of_moment(run, "on_epoch_end")
    ]


def resumed_curve(run: Path) -> Rows:
    return [
        [e["epoch"] + 1, e["train_loss"], e["val_loss"]] for e in epoch_events(read_events(run))
    ]


def learning_rates(run: Path) -> Rows:
    return [
        [e["epoch"] + 1, e["lr"], e["metrics"]["train"].get("grad_norm")]
        for e in of_moment(run, "on_epoch_end")
    ]


def slowest(run: Path) -> Rows:
    epochs = sorted(of_moment(run, "on_epoch_end"), key=lambda e: -e["epoch_time_s"])[:3]
    return [[e["epoch"] + 1, e["epoch_time_s"], e["throughput"]] for e in epochs]


def beside_baselines(run: Path) -> Rows:
    metrics = [e["metrics"]["test"] for e in of_moment(run, "on_test_end")]
    return sorted(
        [value, name]
        for one in metrics
        for name, value in one.items()
        if name == "mae" or (name.startswith("baseline_") and name.endswith("_mae"))
    )


def what_ran(run: Path) -> Rows:
    return [
        [text]
        for e in of_moment(run, "on_start", "on_resume")
        for text in (
            e["moment"],
            e["meta"]["command"],
            e["meta"]["git"]["commit"] or "null",
            e["meta"]["hostname"],
            e["meta"]["device"],
            e["meta"]["versions"]["torch"],
        )
    ]


def files(run: Path) -> Rows:
    inputs = of_moment(run, "on_start")[0]["meta"]["inputs"].values()
    for one in inputs:
        assert hashlib.sha256(Path(one["path"]).read_bytes()).hexdigest() == one["sha256"]
    return [[f"{one['path']}: OK"] for one in inputs]


def findings(run: Path) -> Rows:
    return [
        [e["epoch"] + 1, one["kind"], one["evidence"].replace("\t", "\\t")]
        for e in of_moment(run, "on_epoch_end")
        for one in e["diagnostics"]
    ]


def nonfinite(run: Path) -> Rows:
    return [
        [e["moment"], e["epoch"] + 1, " ".join(e["nonfinite"])]
        for e in read_events(run)
        if e["nonfinite"]
    ]


def stops(runs: list[Path]) -> Rows:
    return [
        [run.name, e["timestamp"], e["reason"]] for run in runs for e in of_moment(run, "on_stop")
    ]


def bests(runs: list[Path]) -> Rows:
    found = [(run.name, best(read_events(run))) for run in runs]
    return [[name, one["epoch"] + 1, one["metric"], one["value"]] for name, one in found if one]


def died(runs: list[Path]) -> Rows:
    (run,) = (run for run in runs if run.name == "c_died")
    return [[run.name, read_events(run)[-1]["moment"], OLD]]


def times(runs: list[Path]) -> Rows:
    rows = []
    for run in runs:
        epochs = of_moment(run, "on_epoch_end")
        middle = median_high(e["throughput"] for e in epochs)
        rows.append([run.name, epochs[-1]["epoch"] + 1, epochs[-1]["total_time_s"], middle])
    return rows


def by_test_metric(runs: list[Path]) -> Rows:
    tests = [(run.name, of_moment(run, "on_test_end")) for run in runs]
    found = [(name, one[-1]["metrics"]["test"].get("unifrac_r2")) for name, one in tests if one]
    return sorted([value, name] for name, value in found if value is not None)


def as_it_goes(run: Path) -> Rows:
    return [[e["epoch"] + 1, e["val_loss"]] for e in of_moment(run, "on_epoch_end")]


OF_ONE: dict[str, Callable[[Path], Rows]] = {
    "Loss curve as TSV": curve,
    "Loss curve of a run that was resumed": resumed_curve,
    "Learning rate and gradient norm": learning_rates,
    "Slowest epochs": slowest,
    "Test metric beside baselines": beside_baselines,
    "What ran, and with what": what_ran,
    "Are its files still the same?": files,
    "Findings of the diagnostics, and their epochs": findings,
    "Values that were not finite": nonfinite,
    "A run that goes on, as it goes": as_it_goes,
}
OF_ALL: dict[str, Callable[[list[Path]], Rows]] = {
    "Stops and failures, and their reasons": stops,
    "Best epoch of every run": bests,
    "Runs that died": died,
    "Time and throughput of every run": times,
    "All runs by their test metric": by_test_metric,
}


def printed(commands: str, runs: list[Path], **variables: str) -> Rows:
    """Cells of the lines that a recipe prints, numbers as numbers."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=runs[0].parents[2],
        env=os.environ | {"PATH": path, "LC_ALL": "C.UTF-8", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [[as_value(cell) for cell in line.split("\t")] for line in done.stdout.splitlines()]


def as_value(cell: str) -> Any:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


def test_every_recipe_of_the_page_is_tested():
    assert len(recipes()) >= 10
    assert sorted(recipes()) == sorted([*OF_ONE, *OF_ALL])


def test_the_runs_are_as_the_recipes_are_to_meet_them(runs):
    pretrained, _, died, stopped = runs
    content = (died / EVENTS).read_bytes()
    assert not content.endswith(b"\n")
    assert len(read_events(died)) < content.count(b"\n") + 1
    assert len(of_moment(stopped, "on_epoch_end")) > len(epoch_events(read_events(stopped)))
    assert len(of_moment(pretrained, "on_epoch_end")) == 3


@pytest.mark.parametrize("title", OF_ONE)
def test_recipe_of_one_run(runs, title):
    expected = [OF_ONE[title](run) for run in runs]
    assert any(expected), "nothing would be tested"
    assert [printed(recipes()[title], runs, RUN=str(run)) for run in runs] == expected


@pytest.mark.parametrize("title", OF_ALL)
def test_recipe_of_all_runs(runs, title):
    expected = OF_ALL[title](runs)
    assert expected, "nothing would be tested"
    assert printed(recipes()[title], runs) == expected
