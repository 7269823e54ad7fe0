"""``aam-submit``: what it checks, what it writes, what it says."""

import re
import shlex
import stat
import sys
from datetime import datetime

import pytest


class FrozenClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 21, 14, 9, 53)


SWEEP = ("env=htcondor", "loop=pretrain", "scheduler=cosine,plateau", "trainer.seed=0,1")


@pytest.mark.parametrize(
    "mistake",
    [
        "trainer.epoch=3",
        "modle=small",
        "model=smal",
        "trainer.epochs=many",
        "trainer.epochs=0",
        "optimizer.learning_rate=1",
        "model.dim=[1",
        "+lrr=3",
        "loop=finetune",
        "submit.cpu=3",
        "submit.gpus=1",
        "submit.memory_gib=0",
        "submit.backend=condor",
        "run_name=a/b",
    ],
)
def test_a_mistake_gets_the_very_sentence_of_aam_train(
    aam_submit, scheduler, monkeypatch, capfd, tmp_path, mistake
):
    from aam.cli.train import main

    done = aam_submit(mistake, "trainer.seed=0,1")
    monkeypatch.setattr(sys, "argv", ["aam-train", mistake])
    assert main() == 2
    assert (done.code, done.err) == (2, capfd.readouterr().err)
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert not scheduler.calls


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        # The third of the jobs is wrong: none is submitted.
        (
            ("model.dim=32,64,65", "model.num_heads=2"),
            "model.dim=65 is no multiple of model.num_heads=2",
        ),
        (("--multirun",), "aam-submit takes no --multirun: leave it out; values with commas"),
        (("resume=outputs/runs/x",), "aam-submit starts runs; to go on with those of a sweep:"),
        (("hydra.run.dir=x",), "aam-submit chooses hydra.run.dir by itself: leave it out"),
        (("logging.save_artifacts=false",), "a job with logging.save_artifacts=false would leave"),
        (("hydra/sweeper=optuna",), "aam-submit chooses hydra/sweeper by itself: leave it out"),
        (("checkpoint.exit_code=77",), "checkpoint.exit_code=77 is not what schedulers are told"),
        (("submit.cpus=1,2",), "env= and submit.* must be the same for all jobs of a sweep"),
        (("dry_run=yes",), "dry_run=yes is neither true nor false"),
        (("status",), "aam-submit status takes one EXP, and 0 are given"),
        (("status", "a", "b"), "aam-submit status takes one EXP, and 2 are given"),
        (("status", "nowhere"), "there is no nowhere in "),
        (("requeue", "."), ". has no submit.yaml: give a folder of aam-submit"),
    ],
)
def test_refusals(aam_submit, scheduler, tmp_path, words, sentence):
    done = aam_submit(*words)
    assert done.code == 2
    assert done.err.startswith(sentence)
    assert not list(tmp_path.iterdir())
    assert not scheduler.calls


def test_writes_command_lines_and_submits_them(aam_submit, scheduler, the_experiment):
    scheduler.answers["condor_submit"] = "12.0 - 12.3\n"
    done = aam_submit(*SWEEP)
    folder = the_experiment()
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "4 jobs submitted to htcondor (cluster 12; condor_rm 12 takes them back): "
        f"{folder}\naam-submit status {folder}\n"
    )
    assert scheduler.calls == [["condor_submit", "-terse", f"{folder}/jobs.sub"]]
    assert re.fullmatch(r"exp_\d{8}-\d{6}_pretrain", folder.name)
    lines = (folder / "jobs.txt").read_text().splitlines()[2:]
    for number, (line, scheduler_name, seed) in enumerate(
        zip(lines, ("cosine", "cosine", "plateau", "plateau"), (0, 1, 0, 1), strict=True)
    ):
        command, _, name = line.partition("  # ")
        program, *overrides, run_dir, resume = shlex.split(command)
        assert (program, name, resume) == ("aam-train", f"job00{number}", "resume=auto")
        assert overrides == [*SWEEP[:2], f"scheduler={scheduler_name}", f"trainer.seed={seed}"]
        assert re.fullmatch(
            rf"hydra\.run\.dir={folder}/run_\d{{8}}-\d{{6}}_pretrain_{name}", run_dir
        )
    assert (folder / "run.sh").stat().st_mode & stat.S_IXUSR
    assert {path.name for path in folder.iterdir()} == {
        "jobs",
        "jobs.sub",
        "jobs.txt",
        "run.sh",
        "submit.yaml",
    }


def test_dry_run_submits_nothing_and_tells_the_command(aam_submit, scheduler, the_experiment):
    done = aam_submit("dry_run=true", "env=slurm", "trainer.seed=0,1")
    folder = the_experiment()
    assert done.out == f"2 jobs for slurm, not submitted: {folder}\nsbatch {folder}/jobs.sbatch\n"
    assert not scheduler.calls
    assert (folder / "jobs.sbatch").is_file()


def test_names_are_those_of_multirun_and_never_shared(aam_submit, scheduler, monkeypatch, tmp_path):
    monkeypatch.setattr("hydra.core.utils.datetime", FrozenClock)
    for _ in range(2):
        aam_submit("dry_run=true", "run_name=x", "loop=mlp,random_forest", "data.target=age")
    folders = sorted((tmp_path / "outputs" / "multiruns").iterdir())
    first = "exp_20261121-140953_x_mlp"
    assert [folder.name for folder in folders] == [first, f"{first}-2"]
    runs = re.findall(r"/(run_[\w-]+) ", (folders[1] / "jobs.txt").read_text())
    first = "run_20261121-140953"
    assert runs == [f"{first}_mlp_x_job000", f"{first}_random_forest_x_job001"]


def test_help_is_quick_and_names_the_environments(aam_submit):
    done = aam_submit("--help")
    assert (done.code, done.err) == (0, "")
    for name in ("local", "htcondor", "slurm", "stoomboot"):
        assert f"  env={name}" in done.out
