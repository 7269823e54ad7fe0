"""What the user types: right, wrong, or several runs at once."""

import errno
import logging
import os
import signal
import time
from datetime import datetime

import pytest
from omegaconf import OmegaConf

from aam.errors import NonFiniteError, StopRequestedError, UserError


class FrozenClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 21, 14, 9, 53)


def raising(error):
    def then(config, run):
        raise error

    return then


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("modle=small", "there is no config key modle; did you mean model?"),
        (
            "model=smal",
            "there is no model=smal: there is base, large, medium, small, tiny; did you mean "
            "model=small?",
        ),
        (
            "loop=pretran",
            "there is no loop=pretran: there is finetune, lr_find, mlp, pretrain, probe, "
            "random_forest; did you mean loop=pretrain?",
        ),
        (
            "optimizer.learning_rate=1",
            "there is no config key optimizer.learning_rate; did you mean optimizer.lr?",
        ),
        ("trainer.epoch=3", "there is no config key trainer.epoch; did you mean trainer.epochs?"),
        (
            "model.name=base",
            "there is no config key model.name; choose by model=, one of base, large, medium, "
            "small, tiny",
        ),
        ("+lrr=3", "there is no config key lrr; did you mean optimizer.lr?"),
        ("+model.dimm=3", "there is no config key model.dimm; did you mean model.dim?"),
        ("batch_size=8", "there is no config key batch_size; did you mean data.batch_size?"),
        (
            "logging.families.unifrak.enabled=false",
            "there is no config key logging.families.unifrak; "
            "did you mean logging.families.unifrac?",
        ),
        (
            "logging.familes.losses.dpi=300",
            "there is no config key logging.familes; did you mean logging.families?",
        ),
        ("qqqq=8", "there is no config key qqqq; aam-train --help lists all keys"),
        (
            "trainer.epochs=many",
            "trainer.epochs: value 'many' of type 'str' could not be converted to Integer",
        ),
        ("trainer.epochs=0", "trainer.epochs=0 must be at least 1"),
        ("optimizer.lr=abc", "optimizer.lr=abc must be a number of at least 0"),
        ("scheduler.warmup_steps=nan", "scheduler.warmup_steps=nan must be a number of at least 0"),
        (
            "model.dim=[1",
            "'model.dim=[1' cannot be read: write KEY=VALUE or GROUP=CHOICE, with quotes around a "
            "value that has special signs, as in \"key='a, b'\"",
        ),
        (
            "scheduler=cosine,constant",
            "scheduler=cosine,constant gives several values: "
            "add --multirun for a run of each of them",
        ),
        (
            "run_name=a/b",
            "run_name='a/b' becomes part of a folder's name: "
            "use letters, digits, '_', '-' and '.' only",
        ),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_nothing(
    aam_train, loop, outputs, argument, sentence
):
    done = aam_train(argument)
    assert (done.code, done.err) == (2, sentence + "\n")
    assert not loop.calls
    assert not outputs.exists()


def test_traceback_of_a_mistake_on_request(aam_train, loop, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = aam_train("modle=small")
    assert done.code == 2
    assert "Traceback (most recent call last)" in done.err
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_a_run_gets_its_config_and_a_folder(aam_train, loop, outputs):
    done = aam_train("model=small", "trainer.epochs=7", "run_name=first")
    assert (done.code, done.out, done.err) == (0, "", "")
    ((config, run),) = loop.calls
    assert (config.model.dim, config.trainer.epochs) == (64, 7)
    assert run.run_dir.parent == outputs / "runs"
    assert run.run_dir.name.startswith("run_20")
    assert run.run_dir.name.endswith("_pretrain_first")
    assert not run.resume
    assert OmegaConf.load(run.run_dir / ".hydra" / "overrides.yaml") == [
        "model=small",
        "trainer.epochs=7",
        "run_name=first",
    ]
    assert {path.name for path in run.run_dir.iterdir()} == {".hydra", "train.log"}


def test_save_artifacts_false_writes_nothing(aam_train, loop, tmp_path):
    assert aam_train("logging.save_artifacts=false").code == 0
    ((_, run),) = loop.calls
    assert run.run_dir is None
    assert list(tmp_path.iterdir()) == []


def test_runs_of_the_same_second_share_no_folder(aam_train, loop, monkeypatch):
    monkeypatch.setattr("hydra.core.utils.datetime", FrozenClock)
    for _ in range(3):
        aam_train()
    names = [run.run_dir.name for _, run in loop.calls]
    first = "run_20261121-140953_pretrain"
    assert names == [first, f"{first}-2", f"{first}-3"]


def test_a_folder_that_the_user_names_must_be_new(aam_train, loop, tmp_path):
    assert aam_train("hydra.run.dir=mine").code == 0
    done = aam_train("hydra.run.dir=mine")
    assert done.code == 2
    assert done.err == (
        "hydra.run.dir=mine exists already: choose another folder, or go on with the run in it by "
        "aam-train resume=mine\n"
    )
    (tmp_path / "other").touch()
    done = aam_train("hydra.run.dir=other")
    assert done.err == "hydra.run.dir=other exists already: choose another folder\n"
    assert len(loop.calls) == 1


def test_notices_go_to_the_log_and_warnings_to_the_console_too(aam_train, loop):
    def then(config, run):
        logging.getLogger("aam.data").info("3 samples were dropped")
        logging.getLogger("aam.data").warning("7 samples were dropped")
        logging.getLogger("py.warnings").warning("a library is old")

    loop.then = then
    done = aam_train()
    assert done.err == "7 samples were dropped\n"
    log = (loop.calls[0][1].run_dir / "train.log").read_text()
    for line in (
        "INFO aam.data: 3 samples were dropped",
        "WARNING aam.data: 7 samples were dropped",
        "WARNING py.warnings: a library is old",
    ):
        assert line in log
    assert logging.getLogger().handlers == [
        one for one in logging.getLogger().handlers if "pytest" in type(one).__module__
    ]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UserError("the table t.biom is empty"), 2, "the table t.biom is empty"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "ZeroDivisionError: division by zero; the traceback is in {run_dir}/train.log",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "last.pt"),
            1,
            "No space left on device (last.pt). Nothing had been saved yet",
        ),
        (
            NonFiniteError("total_loss is nan in epoch 1"),
            1,
            "total_loss is nan in epoch 1. Nothing had been saved yet",
        ),
        (KeyboardInterrupt(), 130, "stopped by SIGINT before anything was saved: start it again"),
    ],
)
def test_what_goes_wrong_in_a_run_is_one_sentence(aam_train, loop, error, code, sentence):
    loop.then = raising(error)
    done = aam_train()
    run_dir = loop.calls[0][1].run_dir
    expected = sentence.format(run_dir=run_dir)
    assert (done.code, done.err) == (code, expected + "\n")
    log = (run_dir / "train.log").read_text()
    assert expected in log
    assert ("Traceback (most recent call last)" in log) == (code == 1)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (StopRequestedError("SIGTERM"), 85, "stopped by SIGTERM; go on with: aam-train {resume}"),
        (KeyboardInterrupt(), 85, "stopped by SIGINT; go on with: aam-train {resume}"),
        (
            PermissionError(errno.EACCES, "Permission denied", "facts"),
            1,
            "Permission denied (facts). What was saved is intact; go on with: aam-train {resume}",
        ),
    ],
)
def test_a_run_with_a_checkpoint_says_how_to_go_on(aam_train, loop, error, code, sentence):
    def then(config, run):
        (run.run_dir / "last.pt").touch()
        raise error

    loop.then = then
    done = aam_train()
    resume = f"resume={loop.calls[0][1].run_dir}"
    assert (done.code, done.err) == (code, sentence.format(resume=resume) + "\n")


def test_a_sweep_goes_on_after_a_job_that_fails(aam_train, loop, outputs):
    def then(config, run):
        if config.trainer.seed == 1:
            raise RuntimeError("out of luck")

    loop.then = then
    done = aam_train("--multirun", "trainer.seed=0,1,2", "model=small")
    assert done.code == 1
    assert [config.trainer.seed for config, _ in loop.calls] == [0, 1, 2]
    (sweep,) = (outputs / "multiruns").iterdir()
    assert sweep.name.startswith("exp_20")
    names = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert [name[-16:] for name in names] == [f"_pretrain_job00{n}" for n in range(3)]
    failed = loop.calls[1][1].run_dir
    assert done.err == (
        f"RuntimeError: out of luck; the traceback is in {failed}/train.log\n"
        "1 of the 3 jobs of the sweep failed\n"
    )
    assert "Job 1 of the sweep: trainer.seed=1 model=small\n" in done.out


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (
            "optimizer.lr=interval(0,1)",
            "an interval is for a search: add hydra/sweeper=optuna, or name the values",
        ),
        (
            "hydra/sweeper=optunna",
            "there is no hydra/sweeper=optunna: there is basic, optuna; "
            "did you mean hydra/sweeper=optuna?",
        ),
        ("model=tiny,nope", "there is no model=nope: there is base, large, medium, small, tiny"),
    ],
)
def test_a_mistake_in_a_sweep_leaves_no_run(aam_train, loop, outputs, argument, sentence):
    done = aam_train("--multirun", argument)
    assert (done.code, done.err) == (2, sentence + "\n")
    assert not loop.calls
    assert not list(outputs.glob("multiruns/*/run_*"))


def test_sweeps_of_the_same_second_share_no_folder(aam_train, loop, monkeypatch, outputs):
    monkeypatch.setattr("hydra.core.utils.datetime", FrozenClock)
    for _ in range(2):
        assert aam_train("--multirun", "trainer.seed=0,1").code == 0
    sweeps = [run.run_dir.parent.name for _, run in loop.calls]
    first = "exp_20261121-140953_pretrain"
    assert sweeps == [first, first, f"{first}-2", f"{first}-2"]
    assert sorted(path.name for path in (outputs / "multiruns").iterdir()) == sweeps[::2]


@pytest.mark.parametrize(("saved", "code"), [(True, 85), (False, 130)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_a_sweep_wherever_the_job_stands(aam_train, loop, saved, code, number):
    def then(config, run):
        if saved:
            (run.run_dir / "last.pt").touch()
        os.kill(os.getpid(), number)
        time.sleep(5)

    loop.then = then
    before = signal.getsignal(number)
    done = aam_train("--multirun", "trainer.seed=0,1")
    assert done.code == code
    assert done.err.startswith(f"stopped by {number.name}")
    assert len(loop.calls) == 1
    assert signal.getsignal(number) == before


def test_a_signal_past_the_jobs_of_a_sweep_names_them(aam_train, loop, monkeypatch):
    """As where they run in other processes, or when the leaderboard is made."""

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    loop.then = lambda _, run: (run.run_dir / "last.pt").touch()
    monkeypatch.setattr("aam.cli.launch.end_sweep", interrupted)
    done = aam_train("--multirun", "trainer.seed=0,1", "hydra.sweep.dir='my sweep'")
    assert (done.code, done.err) == (
        85,
        "stopped by SIGTERM; its jobs go on one by one: aam-facts ls 'my sweep', then "
        "aam-train resume=JOB\n",
    )


def test_a_signal_is_not_taken_for_an_error_on_its_way(aam_train, monkeypatch):
    """OmegaConf, which resolves the folder's name, wraps every ``Exception``."""

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr("aam.composing.compose._name", interrupted)
    done = aam_train()
    assert (done.code, done.err) == (130, "stopped by SIGTERM\n")


def test_another_rank_that_is_told_to_end_waits_for_nobody(aam_train, loop, monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):  # one process, so that nothing is to be met
        monkeypatch.setenv(name, "1")
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    waited = []
    monkeypatch.setattr("aam.cli.launch.FIRST_IS_GONE.wait", waited.append)
    loop.then = raising(StopRequestedError("SIGTERM"))
    assert (aam_train().code, waited) == (130, [])
    loop.then = raising(RuntimeError("no"))
    assert (aam_train().code, waited) == (1, [30.0])


def test_options_may_stand_anywhere(aam_train, loop):
    assert (
        aam_train("model=small", "--multirun", "scheduler=cosine,plateau", "~experiment").code == 0
    )
    assert [config.model.dim for config, _ in loop.calls] == [64, 64]


def test_an_empty_variable_is_not_set(aam_train, loop, monkeypatch, tmp_path):
    monkeypatch.setenv("AAM_OUTPUTS", "")
    assert aam_train().code == 0
    assert loop.calls[0][1].run_dir.parent.parent == tmp_path / "outputs"


def test_a_sweep_that_would_leave_nothing_is_refused(aam_train, loop, outputs):
    done = aam_train("-m", "trainer.seed=0,1", "logging.save_artifacts=false")
    assert done.code == 2
    assert done.err == (
        "a sweep with logging.save_artifacts=false would leave nothing to compare: "
        "leave out one of the two\n"
    )
    assert not outputs.exists()
