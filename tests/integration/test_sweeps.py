"""Sweeps and searches by the command itself: what they leave, also where a job fails."""

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aam.facts.reader import at_best, read_events

SMALLEST = [
    "loop.min_updates=2",
    "model.num_clades=8",
    "logging=none",
    "logging.console=false",
    "trainer.num_threads=1",
    "trainer.epochs=1",
    "optimizer=sgd",
]
TOO_FAST = "1e18"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Start:
    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "aam.cli.train", "--multirun", *arguments],
            env=os.environ
            | {"AAM_CACHE": str(cache), "AAM_OUTPUTS": str(tmp_path), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None,
        reason=f"{module} is not installed: pip install 'aam[sweep]'",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        "basic",
        pytest.param("joblib", marks=needs("hydra_plugins.hydra_joblib_launcher")),
    ],
)
def test_one_failing_job_of_four_ends_no_sweep(start: Start, tmp_path: Path, launcher: str) -> None:
    parallel = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    rates = ["0.001", TOO_FAST, "0.002", "0.004"]
    sweep_of_rates = f"optimizer.lr={','.join(rates)}"
    process = start(f"hydra/launcher={launcher}", *parallel, sweep_of_rates, *SMALLEST)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, out + err
    (sweep,) = (tmp_path / "multiruns").iterdir()
    assert (sweep / "multirun.yaml").is_file()
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [job.name[-6:] for job in jobs] == ["job000", "job001", "job002", "job003"]
    ends = [read_events(job)[-1]["moment"] for job in jobs]
    assert ends == ["on_test_end", "on_exception", "on_test_end", "on_test_end"]
    assert "NonFiniteError" in (jobs[1] / "train.log").read_text()
    assert "Traceback" in (jobs[1] / "train.log").read_text()
    assert "NonFiniteError" not in (jobs[0] / "train.log").read_text()
    assert err.endswith("1 of the 4 jobs of the sweep failed\n")

    with (sweep / "leaderboard.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["optimizer.lr"]: float(row["optimizer.lr"]) for row in rows}.keys() >= {"0.001"}
    finished = [row for row in rows if row["num_finished"] == "1"]
    ranked = [float(row["val_total_loss"]) for row in finished]
    assert ranked == sorted(ranked)
    assert len(ranked) == 3
    assert f"Leaderboard: {sweep / 'leaderboard.tsv'}" in out


@pytest.mark.slow
@needs("optuna")
def test_two_processes_share_a_search_and_one_is_evicted(start: Start, tmp_path: Path) -> None:
    """Six trials; a process that is stopped in a run puts its trial back, and the other goes on."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder = tmp_path / "search"
    command = [
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=6",
        f"hydra.sweep.dir={folder}",
        f"optimizer.lr=0.001,0.01,{TOO_FAST}",
        "loop.nuc_weight=interval(0, 0.1)",
        *SMALLEST,
        "loop.min_updates=30",
    ]
    first, evicted = start(*command), start(*command)
    wait_for_run(folder, evicted.pid)
    evicted.send_signal(signal.SIGTERM)
    out, err = evicted.communicate(timeout=300)
    assert evicted.returncode == 85, out + err
    said = "stopped by SIGTERM; go on with: aam-train resume="
    assert said in err
    run = Path(err.rpartition(said)[2].strip())
    out, err = first.communicate(timeout=600)

    study = optuna.load_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))),
    )
    trials = study.trials
    put_back = [t.user_attrs["replaces"] for t in trials if "replaces" in t.user_attrs]
    assert [trials[number].state.name for number in put_back] == ["FAIL"]
    (taken,) = [t for t in trials if "replaces" in t.user_attrs]
    assert folder / taken.user_attrs["run"] == run
    assert "on_resume" in [event["moment"] for event in read_events(run)]
    counted = [t for t in trials if t.number not in put_back]
    assert len(counted) == 6
    assert len({t.user_attrs["run"] for t in counted}) == 6
    for trial in counted:
        events = read_events(folder / trial.user_attrs["run"])
        failed = float(trial.params["optimizer.lr"]) == float(TOO_FAST)
        assert trial.state.name == ("FAIL" if failed else "COMPLETE")
        assert (events[-1]["moment"] == "on_exception") == failed
        assert trial.value == (None if failed else at_best(events, None))
    complete = [t for t in counted if t.state.name == "COMPLETE"]
    assert 0 < len(complete) < 6
    assert f"6 trials: {len(complete)} complete, {6 - len(complete)} fail" in out
    best = min(complete, key=lambda t: t.value)
    assert f"Best: val_loss {best.value:.6g} with" in out
    assert (folder / "leaderboard.tsv").is_file()
    assert not list(folder.glob(".searchers*"))


def wait_for_run(folder: Path, pid: int) -> None:
    """Until the process has begun a run."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for facts in folder.glob("*/facts/events.jsonl"):
            events = read_events(facts.parents[1])
            if events and events[0]["meta"]["pid"] == pid:
                return
        time.sleep(0.02)
    raise AssertionError("the process began no run")
