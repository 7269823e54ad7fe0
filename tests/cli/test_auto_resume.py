"""``aam-train … hydra.run.dir=FOLDER resume=auto``: the same command line, again and again."""

from pathlib import Path

import pytest

from aam.errors import StopRequestedError
from aam.facts.presence import Presence
from aam.facts.recorder import Recorder

COMMAND = ("model=small", "trainer.epochs=7", "hydra.run.dir='my run'", "resume=auto")


def saves(config, run):
    (run.run_dir / "last.pt").touch()
    raise StopRequestedError("SIGTERM")


def finishes(config, run):
    recorder = Recorder(run.run_dir, loop="pretrain", metric_names=())
    recorder.emit("on_start", meta={"num_samples": {"test": 3}})
    recorder.emit("on_test_end")
    recorder.close()


def test_starts_a_run_then_goes_on_with_it(aam_train, loop, tmp_path):
    loop.then = saves
    codes = [aam_train(*COMMAND).code for _ in range(3)]
    (config, first), (same, second), (_, third) = loop.calls
    assert codes == [85, 85, 85]
    assert (first.resume, second.resume, third.resume) == (False, True, True)
    assert {run.run_dir for _, run in loop.calls} == {tmp_path / "my run"}
    assert (config.model.dim, config.trainer.epochs) == (64, 7)
    assert same == config
    assert not list((tmp_path / "my run" / ".hydra").glob("resume-*"))  # nothing was changed
    assert list(tmp_path.glob("outputs/*")) == []


def test_starts_anew_where_nothing_was_saved(aam_train, loop, tmp_path):
    def fails_after_it_began(config, run):
        Recorder(run.run_dir, loop="pretrain", metric_names=()).close()
        raise RuntimeError("out of luck")

    loop.then = fails_after_it_began
    assert aam_train(*COMMAND).code == 1
    again = aam_train(*COMMAND)
    assert again.code == 1
    assert again.err.startswith(f"{tmp_path}/my run had saved nothing when it ended: it starts ane")
    run_dir = tmp_path / "my run"
    assert [run.resume for _, run in loop.calls] == [False, False]
    assert {one.name for one in run_dir.iterdir()} == {".hydra", "facts", "facts-1", "train.log"}
    assert (run_dir / "train.log").read_text().count("RuntimeError: out of luck;") == 2


def test_a_folder_may_be_there_if_it_is_empty(aam_train, loop, tmp_path):
    (tmp_path / "my run").mkdir()
    assert aam_train(*COMMAND).code == 0
    assert (tmp_path / "my run" / ".hydra" / "config.yaml").is_file()


def test_what_is_finished_is_left_alone(aam_train, loop, tmp_path):
    loop.then = finishes
    assert aam_train(*COMMAND).code == 0
    facts = (tmp_path / "my run" / "facts" / "events.jsonl").read_bytes()
    done = aam_train(*COMMAND)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path}/my run is finished: there is nothing to do\n"
    assert len(loop.calls) == 1
    assert (tmp_path / "my run" / "facts" / "events.jsonl").read_bytes() == facts


def test_what_has_changed_since_is_a_change_of_the_run(aam_train, loop):
    loop.then = saves
    aam_train(*COMMAND)
    changed = [word.replace("epochs=7", "epochs=9") for word in COMMAND]
    for _ in range(2):
        aam_train(*changed, "early_stopping.patience=3")
    aam_train(*changed, "early_stopping.patience=3", "trainer.device=cpu")
    told = [(one.trainer.epochs, one.early_stopping.patience) for one, _ in loop.calls]
    assert told == [(7, 10), (9, 3), (9, 3), (9, 3)]
    notes = sorted(path.name for path in loop.calls[0][1].run_dir.glob(".hydra/resume-*"))
    assert notes == ["resume-1.yaml", "resume-2.yaml"]  # once for each change


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("resume=auto",), "resume=auto needs a folder that stays the same: give hydra.run.dir="),
        (
            ("hydra.run.dir='${run_name}'", "resume=auto"),
            "resume=auto needs a folder that stays the same: give hydra.run.dir=",
        ),
        ((*COMMAND, "--multirun"), "resume=auto goes with one run and takes no --multirun: leave "),
        ((*COMMAND, "resume=latest"), "resume=auto goes with one run and takes no resume=latest: "),
        (
            ("model=base", *COMMAND[1:]),
            "model cannot be changed when a run goes on; it may change trainer.epochs,",
        ),
        (COMMAND[1:], "{run_dir} holds a run that was started with model=small: give it again, or"),
    ],
)
def test_refusals(aam_train, loop, tmp_path, command, sentence):
    loop.then = saves
    aam_train(*COMMAND)
    done = aam_train(*command)
    assert done.code == 2
    assert done.err.startswith(sentence.format(run_dir=tmp_path / "my run"))
    assert done.err.count("\n") == 1
    assert len(loop.calls) == 1


@pytest.mark.parametrize("name", ["my run", "my run/thesis.tex"])
def test_a_folder_of_something_else_is_left_alone(aam_train, loop, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    done = aam_train(*COMMAND)
    assert (done.code, done.err) == (
        2,
        f"hydra.run.dir={tmp_path}/my run exists already and holds no run: choose another folder\n",
    )
    assert not loop.calls


def test_waits_for_a_process_that_is_about_to_end(aam_train, loop, tmp_path, monkeypatch):
    loop.then = saves
    aam_train(*COMMAND)
    run_dir = tmp_path / "my run"
    (run_dir / "facts").mkdir()
    presence = Presence(run_dir)
    monkeypatch.setattr("aam.cli.auto_resume.time.sleep", lambda _: presence.close())
    done = aam_train(*COMMAND)
    assert done.code == 85
    assert done.err.startswith(f"{run_dir} is being written by another process: waiting for")


def test_does_not_wait_for_ever(aam_train, loop, tmp_path, monkeypatch):
    loop.then = saves
    aam_train(*COMMAND)
    run_dir = tmp_path / "my run"
    (run_dir / "facts").mkdir()
    presence = Presence(run_dir)
    monkeypatch.setattr("aam.cli.auto_resume._PATIENCE_S", 0.0)
    monkeypatch.setattr("aam.cli.auto_resume._LOOK_AGAIN_S", 0.0)
    done = aam_train(*COMMAND)
    presence.close()
    assert done.code == 2
    assert "wait until that run ends or stop it, then try again\n" in done.err
    assert len(loop.calls) == 1


def test_files_are_found_where_a_job_is_now(aam_train, loop, tmp_path, monkeypatch):
    """A cluster that brings them along gives a job another folder each time."""
    loop.then = saves
    given = ("data.table=t.biom", "data.tree=t.nwk", "split=file", "split.file=parts.tsv")
    command = ("data=biom", *given, f"hydra.run.dir={tmp_path}/r")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.biom").touch()
        (tmp_path / name / "parts.tsv").touch()
        monkeypatch.chdir(tmp_path / name)
        aam_train(*command, "resume=auto")
        if name == "one":
            Path("t.biom").unlink()  # the other one stays
    (_, _), (config, run) = loop.calls
    assert run.resume
    assert config.data.table == str(tmp_path / "two" / "t.biom")
    assert config.split.file == str(tmp_path / "one" / "parts.tsv")
    assert config.data.tree == str(tmp_path / "one" / "t.nwk")  # absent: named as it was
