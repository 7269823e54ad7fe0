"""What became of the jobs, and submitting anew those that came to nothing."""

from pathlib import Path

import pytest

from aam.errors import UserError
from aam.facts.recorder import Recorder
from aam.submit.commands import call

SWEEP = ("trainer.seed=0,1,2,3,4,5", "model=small")
HEADS = {
    "submitted": "000 ({id}) 2026-11-21 20:27:10 Job submitted from host: <127.0.0.1:9618>",
    "running": "001 ({id}) 2026-11-21 20:27:15 Job executing on host: <127.0.0.1:9618>",
    "grown": "006 ({id}) 2026-11-21 20:27:21 Image size of job updated: 30308",
    "evicted": "004 ({id}) 2026-11-21 20:27:34 Job was evicted.",
    "held": "012 ({id}) 2026-11-21 20:27:15 Job was held.",
    "released": "013 ({id}) 2026-11-21 20:27:15 Job was released.",
    "removed": "009 ({id}) 2026-11-21 20:27:15 Job was aborted.",
    "done": "005 ({id}) 2026-11-21 20:27:25 Job terminated.",
}
HEADS |= {"failed": HEADS["done"], "killed": HEADS["done"]}
TAILS = {
    "grown": "15  -  MB",
    "evicted": "(0) CPU times",
    "held": "the table t is gone",
    "removed": "via condor_rm (by user me)",
    "done": "(1) Normal termination (return value 0)",
    "failed": "(1) Normal termination (return value 1)",
    "killed": "(0) Abnormal termination (signal 9)",
}


def write_log(folder: Path, number: int, cluster: int, *events: str) -> None:
    """Add to the log of a job what HTCondor would write."""
    with (folder / "jobs" / f"job{number:03d}.log").open("a") as log:
        log.writelines(told(event, f"{cluster:03d}.{number:03d}.000") for event in events)


def told(event: str, job: str) -> str:
    return f"{HEADS[event].format(id=job)}\n\t{TAILS.get(event, '')}\n...\n"


@pytest.fixture
def experiment(aam_submit, scheduler, the_experiment) -> Path:
    """Six jobs in HTCondor, as different as can be."""
    scheduler.answers |= {"condor_submit": "12.0 - 12.5\n", "condor_rm": ""}
    assert aam_submit("env=htcondor", *SWEEP).code == 0
    folder = the_experiment()
    write_log(folder, 0, 12, "submitted", "running", "evicted", "running", "done")
    write_log(folder, 1, 12, "submitted", "running", "grown", "evicted")
    write_log(folder, 2, 12, "submitted", "running", "held")
    write_log(folder, 3, 12, "submitted", "running", "failed")
    write_log(folder, 4, 12, "submitted", "running", "grown")
    write_log(folder, 5, 12, "submitted", "removed")
    (folder / "jobs" / "job003.err").write_text("Traceback …\nNo space left on device\n")
    scheduler.answers["condor_q"] = "12.1 1\n12.2 5\n"
    scheduler.calls.clear()
    return folder


def test_status_joins_queue_logs_and_runs(aam_submit, experiment):
    name = (experiment / "jobs.txt").read_text().splitlines()[2].split("hydra.run.dir=")[1]
    recorder = Recorder(Path(name.split()[0]), loop="pretrain", metric_names=())
    recorder.emit("on_start", meta={"num_epochs": 9})
    best = {"epoch": 1, "metric": "val_loss", "value": 0.123456}
    recorder.emit("on_epoch_end", epoch=1, best=best)
    recorder.close()
    done = aam_submit("status", "latest")
    assert (done.code, done.err) == (0, "")
    *lines, last = done.out.splitlines()
    assert last == "6 jobs: 1 done, 1 queued, 1 held, 1 failed, 1 vanished, 1 removed"
    assert [line.split() for line in lines] == [
        ["job", "state", "id", "epochs", "best", "what", "differs"],
        ["job000", "done", "12.0", "2/9", "val_loss", "0.1235", "trainer.seed=0"],
        ["job001", "queued", "12.1", "trainer.seed=1"],
        ["job002", "held", "12.2", "trainer.seed=2"],
        ["the", "table", "t", "is", "gone"],
        ["job003", "failed", "12.3", "trainer.seed=3"],
        ["No", "space", "left", "on", "device"],
        ["job004", "vanished", "12.4", "trainer.seed=4"],
        ["job005", "removed", "12.5", "trainer.seed=5"],
        ["via", "condor_rm", "(by", "user", "me)"],
    ]


def test_requeue_takes_what_failed_or_vanished(aam_submit, scheduler, experiment):
    scheduler.answers["condor_submit"] = "13.0 - 13.3\n"
    done = aam_submit("requeue", experiment.name[:-3], "submit.memory_gib=8")
    assert done.out.startswith("4 jobs submitted to htcondor (cluster 13; condor_rm 13 takes")
    assert scheduler.calls == [
        ["condor_q", "12", "-af:j", "JobStatus"],
        ["condor_rm", "12.2"],
        ["condor_submit", "-terse", f"{experiment}/requeue-1.sub"],
    ]
    text = (experiment / "requeue-1.sub").read_text()
    assert "request_memory = 8192M\n" in text
    queue = text.partition("queue job from (\n")[2].split()[:-1]
    assert queue == [f"job00{n}" for n in (2, 3, 4, 5)]
    for process, number in enumerate((2, 3, 4, 5)):
        with (experiment / "jobs" / f"job00{number}.log").open("a") as log:
            log.write(told("submitted", f"013.00{process}.000"))
            # The end of the old one may be told later.
            log.write(told("removed", f"012.00{number}.000"))
    scheduler.answers["condor_q"] = "".join(f"13.{n} 2\n" for n in range(4)) + "12.1 2\n"
    states = [line.split()[1] for line in aam_submit("status", "latest").out.splitlines()[1:-1]]
    assert states == ["done", *5 * ["running"]]
    assert aam_submit("requeue", "latest").out == "No job has failed or vanished.\n"
    assert "memory_gib: 8" in (experiment / "submit.yaml").read_text()


def test_a_requeue_that_is_dry_changes_nothing(aam_submit, scheduler, experiment):
    settings = (experiment / "submit.yaml").read_text()
    done = aam_submit("requeue", "latest", "submit.memory_gib=8", "dry_run=true")
    assert done.out.endswith(f"\ncondor_submit {experiment}/requeue-1.sub\n")
    assert [call[0] for call in scheduler.calls] == ["condor_q"]
    assert (experiment / "submit.yaml").read_text() == settings


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("trainer.seed=3", "aam-submit requeue takes no trainer.seed=3: there is EXP, dry_run="),
        ("submit.backend=slurm", "aam-submit requeue takes no submit.backend=slurm: there is EXP"),
        ("submit.memory=3", "there is no config key submit.memory; did you mean submit.memory_gib"),
        ("submit.cpus=0", "submit.cpus=0 must be at least 1"),
        ("submit.cpus=x", "submit.cpus: value 'x' of type 'str' could not be converted to Integer"),
    ],
)
def test_what_requeue_refuses(aam_submit, scheduler, experiment, word, sentence):
    done = aam_submit("requeue", "latest", word)
    assert done.code == 2
    assert done.err.startswith(sentence)
    assert not scheduler.calls


def test_jobs_may_be_edited(aam_submit, scheduler, experiment):
    """A line changed, one taken out, one added."""
    path = experiment / "jobs.txt"
    *head, first, second, third, _, _, sixth = path.read_text().splitlines()
    added = sixth.replace("seed=5", "seed=9").replace("job005", "job017")
    path.write_text("\n".join([*head, f"# {first}", second, "", third, added, ""]))
    told = aam_submit("status", "latest").out.splitlines()
    assert [line.split()[:2] for line in told[1:] if line.startswith("job")] == [
        ["job001", "queued"],
        ["job002", "held"],
        ["job017", "not"],
    ]
    broken = [
        "rm -rf /  # job003",
        third.replace("# ", ""),
        third.replace("  # ", " # "),  # run.sh would not find it
        third + "'",
        "aam-train x  # job003",
    ]
    for line in (*broken, third.replace("hydra.run.dir=", "&"), third + " " * 10**6):
        path.write_text("\n".join([*head, second, line]))
        done = aam_submit("status", "latest")
        assert done.code == 2
        assert done.err.startswith(f"line 4 of {path} is no job: write aam-train KEY=VALUE … hydra")
    path.write_text("\n".join([*head, second, second]))
    assert "has two lines of one name" in aam_submit("status", "latest").err
    for torn in ("a: " + "[" * 10**5, "submit: 1", "submit: {backend: local, no: 1}", "{"):
        (experiment / "submit.yaml").write_text(torn)
        done = aam_submit("status", "latest")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "submit.yaml cannot be read: " in done.err


def test_slurm_tells_by_squeue_and_our_own_logs(aam_submit, scheduler, the_experiment):
    scheduler.answers |= {"sbatch": "7;cluster\n", "scancel": ""}
    done = aam_submit("env=slurm", *SWEEP)
    assert "(array 7; scancel 7 takes them back)" in done.out
    folder = the_experiment()
    logs = [folder / "jobs" / f"job00{n}.log" for n in range(6)]
    assert logs[0].read_text().endswith("Z 7_0 submitted\n")
    told = (
        ("started n1", "exited 0"),
        ("started n1", "exited 85", "requeued"),
        ("started n1", "exited 2 the table t is gone"),
        ("started n1",),  # squeue knows nothing of it
        ("started n1", "exited 143"),
        (),
    )
    for number, (log, lines) in enumerate(zip(logs, told, strict=True)):
        with log.open("a") as file:
            file.writelines(f"2026-11-21T20:00:00Z 7_{number} {line}\n" for line in lines)
    scheduler.answers["squeue"] = "7_0 COMPLETING\n7_1 PENDING\n7_5 REQUEUE_HOLD\n99 RUNNING\n"
    lines = aam_submit("status", "latest").out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("job0")] == [
        "done",
        "queued",
        "failed",
        "vanished",
        "interrupted",
        "held",
    ]
    assert "  the table t is gone" in lines
    scheduler.calls.clear()
    aam_submit("requeue", "latest")
    assert scheduler.calls[1:] == [
        ["scancel", "7_5"],
        ["sbatch", "--parsable", f"{folder}/requeue-1.sbatch"],
    ]
    assert "#SBATCH --array=2,3,4,5\n" in (folder / "requeue-1.sbatch").read_text()
    jobs = (folder / "jobs.txt").read_text()
    (folder / "jobs.txt").write_text(jobs.replace("  # job004", "  # job4"))
    scheduler.calls.clear()
    done = aam_submit("requeue", "latest")
    assert done.err.startswith("job4 has no number for an array of Slurm")
    assert [call[0] for call in scheduler.calls] == ["squeue"]  # what is held stays


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "there is no condor_submit on this machine: call aam-submit where jobs are submitt"),
        ("echo ERROR: no schedd >&2; exit 1", "condor_submit refused, exit code 1: ERROR: no sch"),
    ],
)
def test_what_the_scheduler_refuses_is_told(aam_submit, tmp_path, monkeypatch, script, sentence):
    (tmp_path / "bin").mkdir()
    if script:
        command = tmp_path / "bin" / "condor_submit"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    done = aam_submit("env=htcondor")
    assert done.code == 2
    assert done.err.startswith(sentence)
    (folder,) = (tmp_path / "outputs").glob("multiruns/*")
    assert done.err.endswith(f"when that is mended: aam-submit requeue {folder}\n")


def test_a_folder_that_is_gone_is_no_command_that_is_missing(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}/away, where aam-submit was called, is gone"):
        call(["true"], tmp_path / "away")
