"""The installed commands, from the command line to the run folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aam.cli.train import main
from aam.facts.reader import read_events
from aam.facts.stopping import request_stop
from aam.training.run_folder import RunFolder

AAM_TRAIN = Path(sys.executable).with_name("aam-train")
SMALLEST = ("loop.min_updates=2", "model.num_clades=8", "logging=none", "trainer.num_threads=1")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def aam_train(monkeypatch, tmp_path, cache):
    """The command in this process, which has torch already."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["aam-train", *arguments])
        return main()

    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("AAM_CACHE", str(cache))
    return run


def moments(run_dir: Path) -> list[str]:
    return [event["moment"] for event in read_events(run_dir)]


def test_the_command_trains(tmp_path, cache):
    environment = os.environ | {"AAM_OUTPUTS": str(tmp_path), "AAM_CACHE": str(cache)}
    command = [AAM_TRAIN, "trainer.epochs=1", *SMALLEST]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert "Best epoch: 1" in done.stdout
    assert run_dir.name in done.stdout
    assert moments(run_dir)[0] == "on_start"
    assert moments(run_dir)[-1] == "on_test_end"
    metrics = json.loads((run_dir / "training_metrics.json").read_text())
    assert len(metrics["val_loss"]) == 1
    for file in ("last.pt", "best_model.pt", "model.pt", "split.tsv", "train.log"):
        assert (run_dir / file).exists()


def test_resume_goes_on_in_the_same_folder(aam_train, tmp_path):
    assert aam_train("trainer.epochs=1", "scheduler=constant", *SMALLEST) == 0
    (run_dir,) = (tmp_path / "outputs" / "runs").iterdir()
    assert aam_train(f"resume={run_dir}", "trainer.epochs=2") == 0
    assert list((tmp_path / "outputs" / "runs").iterdir()) == [run_dir]
    events = read_events(run_dir)
    assert "on_resume" in moments(run_dir)
    assert len({event["run_id"] for event in events}) == 1
    assert [e["epoch"] for e in events if e["moment"] == "on_epoch_end"] == [0, 1]


def test_a_run_that_is_asked_to_stop_ends_well_and_says_how_to_go_on(
    aam_train, tmp_path, monkeypatch, capsys
):
    save = RunFolder.save_last

    def save_and_ask(folder, state):
        save(folder, state)
        if state["epoch"] == 1:
            request_stop(folder.run_dir, "ada@host")

    monkeypatch.setattr(RunFolder, "save_last", save_and_ask)
    assert aam_train("trainer.epochs=3", *SMALLEST) == 0
    (run_dir,) = (tmp_path / "outputs" / "runs").iterdir()
    said = capsys.readouterr().err
    assert said.startswith("stopped after the epoch by request of ada@host; go on with: aam-train ")
    assert read_events(run_dir)[-1]["reason"] == "request of ada@host"
    assert aam_train(f"resume={run_dir}") == 0
    assert moments(run_dir)[-1] == "on_test_end"


def test_a_sweep_makes_a_run_of_each_choice(aam_train, tmp_path):
    arguments = ("scheduler=warmup_cosine,constant", "trainer.epochs=1", *SMALLEST)
    assert aam_train("--multirun", *arguments) == 0
    (sweep,) = (tmp_path / "outputs" / "multiruns").iterdir()
    runs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [run.name[-6:] for run in runs] == ["job000", "job001"]
    for run in runs:
        assert moments(run)[-1] == "on_test_end"


def test_wrong_input_is_a_sentence_and_exit_code_2(tmp_path):
    environment = os.environ | {"AAM_OUTPUTS": str(tmp_path / "outputs")}
    command = [AAM_TRAIN, "data=biom", "data.table=absent.biom", "data.tree=n.nwk"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "the table absent.biom does not exist; check the path\n"
