"""``aam-train resume=RUN``."""

import re
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from aam.errors import UserError
from aam.facts.meta import run_metadata
from aam.facts.reader import EVENTS
from aam.facts.recorder import Recorder


@pytest.fixture
def run_dir(aam_train, loop) -> Path:
    """A run on files named relative to where it was started, with a checkpoint."""
    loop.then = lambda config, run: (run.run_dir / "last.pt").touch()
    assert aam_train("data=biom", "data.table=t.biom", "data.tree=/n.nwk", "model=small").code == 0
    ((_, run),) = loop.calls
    loop.calls.clear()
    return run.run_dir


def test_goes_on_with_its_own_config_and_what_is_changed_now(
    aam_train, loop, run_dir, tmp_path, monkeypatch
):
    before = {path.name: path.read_bytes() for path in (run_dir / ".hydra").iterdir()}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for epochs in (200, 300):
        changes = (f"trainer.epochs={epochs}", "early_stopping.patience=null")
        assert aam_train(f"resume={run_dir}", *changes, "logging.make_plots=false").code == 0
    assert aam_train(f"resume=../outputs/runs/{run_dir.name}").code == 0
    (_, run), (config, _), (again, last) = loop.calls
    assert run.resume
    assert run.run_dir == run_dir
    assert last.run_dir.resolve() == run_dir.resolve()
    assert (config.trainer.epochs, config.early_stopping.patience) == (300, None)
    assert not config.logging.make_plots
    assert again == config  # what was changed before still holds
    assert config.model.dim == 64
    assert (config.data.table, config.data.tree) == (str(tmp_path / "t.biom"), "/n.nwk")
    notes = {path.name: path for path in (run_dir / ".hydra").iterdir()}
    assert {name: notes[name].read_bytes() for name in before} == before
    assert sorted(notes.keys() - before.keys()) == ["resume-1.yaml", "resume-2.yaml"]
    assert OmegaConf.load(notes["resume-2.yaml"])[0] == "trainer.epochs=300"


def test_the_learning_rate_may_change(aam_train, loop):
    loop.then = lambda config, run: (run.run_dir / "last.pt").touch()
    assert aam_train().code == 0
    ((_, run),) = loop.calls
    assert aam_train(f"resume={run.run_dir}", "optimizer.lr=5e-05").code == 0
    assert aam_train(f"resume={run.run_dir}").code == 0  # and it holds
    for config, _ in loop.calls[1:]:
        assert config.optimizer["lr"] == 5e-05


def test_a_change_of_a_resume_that_was_refused_is_forgotten(aam_train, loop, run_dir):
    def refuse(config, run):
        raise UserError("other data")

    loop.then = refuse
    assert aam_train(f"resume={run_dir}", "trainer.epochs=200").code == 2
    loop.then = lambda config, run: None
    assert aam_train(f"resume={run_dir}").code == 0
    assert [config.trainer.epochs for config, _ in loop.calls] == [200, 50]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["data.batch_size=3", "trainer.epochs=9", "model.dim=8"],
            "data.batch_size, model.dim cannot be changed when a run goes on; it may change "
            "trainer.epochs, trainer.max_minutes, trainer.device, trainer.num_threads, "
            "trainer.memory_gib, trainer.compile, model.asv_chunk_size, "
            "model.activation_checkpointing, trainer.strategy, trainer.wait_minutes, "
            "trainer.max_grad_norm, checkpoint.*, early_stopping.patience, optimizer.lr, "
            "monitor, logging.*",
        ),
        (["logging.plot=x"], "there is no config key logging.plot; did you mean logging.plots?"),
        (
            ["trainer.epochs=1,2"],
            "trainer.epochs=1,2 gives several values; a run goes on with one",
        ),
        (
            ["logging.save_artifacts=false"],
            "a run that goes on writes to its folder: leave logging.save_artifacts out",
        ),
        (["--multirun"], "resume= goes on with one run and takes no --multirun: leave it out"),
    ],
)
def test_refuses_other_changes(aam_train, loop, run_dir, arguments, sentence):
    done = aam_train(f"resume={run_dir}", *arguments)
    assert (done.code, done.err) == (2, sentence + "\n")
    assert not loop.calls
    assert not (run_dir / ".hydra" / "resume-1.yaml").exists()


def test_takes_a_run_by_its_name_as_aam_facts_does(aam_train, loop, run_dir, tmp_path):
    """By a part of it, too, and the one that was started last, from wherever one is."""
    older = run_dir.with_name("run_20200101-000000_pretrain_older")
    shutil.copytree(run_dir, older)
    for run, year in ((run_dir, 2026), (older, 2020)):
        recorder = Recorder(run, loop="pretrain", metric_names=[])
        meta = run_metadata(seed=0, device="cpu", inputs={}, num_samples={})
        recorder.emit("on_start", meta=meta)
        recorder.close()
        events = run / EVENTS
        events.write_text(re.sub(r'"timestamp": "\d+', f'"timestamp": "{year}', events.read_text()))
    for word, meant in {"latest": run_dir, "older": older, run_dir.name: run_dir}.items():
        loop.calls.clear()
        assert aam_train(f"resume={word}").code == 0
        ((_, run),) = loop.calls
        assert run.run_dir == meant
    refused = aam_train("resume=oldest")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith("no run below ")


def test_refuses_what_is_no_run(aam_train, loop, run_dir, tmp_path):
    (run_dir / "last.pt").unlink()
    (tmp_path / "other").mkdir()
    absent = tmp_path / "absent"
    sentences = {
        absent: f"{absent} does not exist: give a run folder, or the name of a run",
        tmp_path / "other": f"resume={tmp_path / 'other'} is no run folder: it has no "
        ".hydra/config.yaml; give the folder of a run, such as outputs/runs/run_…",
        run_dir: f"resume={run_dir}: the run has no last.pt, so nothing of it was saved; start it "
        "again",
        "": 'a RUN is empty (""): give its folder, a part of its name, or latest',
    }
    for folder, sentence in sentences.items():
        done = aam_train(f"resume={folder}")
        assert (done.code, done.err) == (2, sentence + "\n")
    assert not loop.calls


def test_names_a_torn_config(aam_train, loop, run_dir):
    config = run_dir / ".hydra" / "config.yaml"
    config.write_bytes(config.read_bytes()[:40] + b"\n  : [")
    done = aam_train(f"resume={run_dir}")
    assert done.code == 2
    assert done.err.startswith(f"the configuration {config} cannot be read: ParserError: ")
    assert done.err.count("\n") == 1
