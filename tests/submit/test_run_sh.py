"""``hpc/run.sh``: what a machine of a cluster starts. A stand-in for aam-train answers."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aam.composing.config_files import hpc_dir

RUN_SH = hpc_dir() / "run.sh"
# Notes its arguments, then does what TEST_DOES says; told to stop, it says so and leaves with 85.
AAM_TRAIN = """\
#!/bin/bash
printf '<%s>' "$@"; echo
trap 'echo stopped >&2; exit 85' TERM
eval "$TEST_DOES"
"""
WAIT = "for _ in $(seq 200); do sleep 0.1; done"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a job, with an ``aam-train`` in its virtual environment."""
    program(tmp_path / "venv" / "bin" / "aam-train", AAM_TRAIN)
    return {
        "PATH": f"{tmp_path}/tools:/usr/bin:/bin",
        "AAM_VENV": str(tmp_path / "venv"),
        "AAM_RUN_DIR": str(tmp_path / "the run's"),
        "AAM_JOB_LOG": str(tmp_path / "job.log"),
        "AAM_JOB_ID": "7_3",
        "TEST_DOES": "true",
    }


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.Popen[bytes]]:
    def run(*words: str | Path) -> subprocess.Popen[bytes]:
        out, err = (tmp_path / "out").open("w"), (tmp_path / "err").open("w")
        with out, err:
            return subprocess.Popen(
                [RUN_SH, *words], env=environment, stdout=out, stderr=err, cwd=tmp_path
            )

    return run


def events(tmp_path: Path) -> list[str]:
    lines = (tmp_path / "job.log").read_text().splitlines()
    assert all(line.split()[1] == "7_3" for line in lines)
    return [" ".join(line.split()[2:]) for line in lines]


def wait_for_start(tmp_path: Path) -> None:
    while "<" not in (tmp_path / "out").read_text():
        time.sleep(0.02)


def test_runs_the_plain_way_in_the_folder_of_the_job(start, tmp_path):
    assert start("loop=pretrain", "run_name='a b'").wait() == 0
    said = (tmp_path / "out").read_text()
    folder = rf"<hydra.run.dir='{tmp_path}/the run\'s'>"
    assert f"<loop=pretrain><run_name='a b'>{folder}<resume=auto>\n" in said
    assert "run.sh: exit code 0 (" in said
    assert events(tmp_path) == [f"started {os.uname().nodename}", "exited 0"]


def test_runs_the_line_of_a_job(start, tmp_path):
    line = shlex.join(["aam-train", "data.table='my t'", "a=$HOME*"])
    head = "# a head, as in job003\naam-train loop=mlp  # job001\n# aam-train old  # job003\n"
    (tmp_path / "jobs.txt").write_text(f"{head}{line}  # job003\n")
    assert start("--job", tmp_path / "jobs.txt", "job003").wait() == 0
    assert "<data.table='my t'><a=$HOME*>\n" in (tmp_path / "out").read_text()


@pytest.mark.parametrize("name", ["job002", "job003", "job004"])
def test_a_job_that_has_no_line_of_its_own_is_refused(start, tmp_path, name):
    lines = "# aam-train loop=mlp  # job003\n" + 2 * "aam-train loop=mlp  # job004\n"
    (tmp_path / "jobs.txt").write_text(lines)
    assert start("--job", tmp_path / "jobs.txt", name).wait() == 2
    many = "several lines that end" if name == "job004" else "no line that ends"
    sentence = f"{tmp_path}/jobs.txt has {many} in '  # {name}'"
    assert (tmp_path / "err").read_text() == f"{sentence}\n"
    assert f"7_3 exited 2 {sentence}\n" in (tmp_path / "job.log").read_text()


def test_a_machine_without_aam_train_is_named(start, environment, tmp_path):
    environment["AAM_VENV"] = "/nowhere"
    assert start("loop=mlp").wait() == 2
    host = os.uname().nodename
    assert (tmp_path / "err").read_text() == (
        f"there is no aam-train on {host}: set AAM_VENV (now '/nowhere') to an environment that "
        "has it\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_hands_on_a_signal_once_and_waits_for_the_end(start, environment, tmp_path, number):
    environment["TEST_DOES"] = WAIT
    process = start("loop=mlp")
    wait_for_start(tmp_path)
    process.send_signal(number)
    assert process.wait(20) == 85
    assert (tmp_path / "err").read_text() == "stopped\n"
    assert "run.sh: exit code 85 (" in (tmp_path / "out").read_text()


def test_a_stretch_has_an_end(start, environment, tmp_path):
    environment |= {"TEST_DOES": WAIT, "AAM_MAX_S": "1"}
    del environment["PATH"]  # as HTCondor starts jobs
    assert start("loop=mlp").wait(20) == 85
    assert (tmp_path / "err").read_text() == "stopped\n"


def test_several_processes_train_one_run(start, environment, tmp_path):
    """Their exit code is that of the first, which alone is told to stop."""
    told = 'echo "$RANK$LOCAL_RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT, $OMP_NUM_THREADS"'
    environment |= {"AAM_PROCESSES": "2", "OMP_NUM_THREADS": "5", "TEST_DOES": f"{told}; {WAIT}"}
    process = start("loop=mlp")
    while (tmp_path / "out").read_text().count(" of ") < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 85
    assert (tmp_path / "err").read_text().splitlines()[0] == "stopped"
    said = [line for line in (tmp_path / "out").read_text().splitlines() if " of " in line]
    assert [line.partition(" at ")[0] for line in sorted(said)] == ["00 of 2", "11 of 2"]
    (where,) = {line.partition(" at ")[2] for line in said}
    assert re.fullmatch(r"127\.0\.0\.1:\d{4,5}, 2", where)


def test_htcondor_is_told_the_sentence_of_a_mistake(start, environment, tmp_path):
    program(tmp_path / "tools" / "condor_config_val", f"#!/bin/sh\necho {tmp_path}/libexec\n")
    chirp = '#!/bin/sh\nprintf "<%s>" "$@" >' + f"{tmp_path}/chirped\n"
    program(tmp_path / "libexec" / "condor_chirp", chirp)
    environment |= {
        "_CONDOR_JOB_AD": "x",
        "TEST_DOES": r"""echo noise >&2; echo 'C:\t "x" is gone' >&2; exit 2""",
    }
    assert start("loop=mlp").wait() == 2
    assert (tmp_path / "chirped").read_text() == (
        r"""<set_job_attr_delayed><ChirpSentence><"C:\\t \"x\" is gone">"""
    )


@pytest.mark.parametrize(
    ("does", "number", "retries", "is_requeued"),
    [
        (WAIT, signal.SIGUSR1, 0, True),  # its time is nearly over
        (WAIT, signal.SIGTERM, 0, False),  # cancelled
        ("exit 1", None, 1, True),
        ("exit 1", None, 0, False),
        ("exit 2", None, 5, False),
        ("kill -9 $$", None, 1, True),
        ("trap 'exit 130' TERM; " + WAIT, signal.SIGUSR1, 1, True),  # nothing was saved: a failure
        ("trap 'exit 130' TERM; " + WAIT, signal.SIGUSR1, 0, False),
        ("trap 'exit 130' TERM; " + WAIT, signal.SIGTERM, 1, False),
        ("exit 0", None, 5, False),
    ],
)
def test_slurm_gets_a_job_back_that_may_go_on(
    start, environment, tmp_path, does, number, retries, is_requeued
):
    program(tmp_path / "tools" / "scontrol", f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    environment |= {"SLURM_JOB_ID": "9", "TEST_DOES": does, "AAM_MAX_RETRIES": str(retries)}
    process = start("loop=mlp")
    if number is not None:
        wait_for_start(tmp_path)
        process.send_signal(number)
    if number == signal.SIGTERM:  # Slurm sends it to all processes of the job
        time.sleep(0.3)
        assert (tmp_path / "err").read_text() == ""
        subprocess.run(["pkill", "-TERM", "-P", str(process.pid)], check=True)
    process.wait(20)
    assert (tmp_path / "asked").exists() == is_requeued
    assert ("requeued" in events(tmp_path)) == is_requeued
    if is_requeued:
        assert (tmp_path / "asked").read_text() == "requeue 7_3\n"


def test_a_job_that_keeps_failing_is_not_requeued_for_ever(start, environment, tmp_path):
    program(tmp_path / "tools" / "scontrol", f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    environment |= {"SLURM_JOB_ID": "9", "TEST_DOES": "exit 1", "AAM_MAX_RETRIES": "2"}
    for _ in range(4):
        start("loop=mlp").wait()
    assert (tmp_path / "asked").read_text().count("requeue") == 2


def test_a_folder_that_is_to_travel_back_is_there_from_the_start(start, environment, tmp_path):
    environment |= {"AAM_RUN_DIR": "run_x_job000", "TEST_DOES": "exit 2"}
    assert start("loop=mlp").wait() == 2
    assert (tmp_path / "run_x_job000").is_dir()
