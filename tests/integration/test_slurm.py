"""A real Slurm of two nodes: a sweep as an array, one job of it sent back by a signal."""

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aam.composing.compose import quoted
from aam.monitoring.runs.jobs import JobState, job_of

from .slurm_cluster import slurm_cluster, why_not
from .sweeps import BIN, EPOCHS, ONE_RUN, SWEEP, call, check_went_on, num_epochs, run_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a sweep's 1%")


@pytest.fixture(scope="module")
def environment(here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment:
        mine = {"AAM_OUTPUTS": str(here / "outputs"), "AAM_CACHE": str(here / "cache")}
        yield {name: one for name, one in environment.items() if name != "AAM_VENV"} | mine


@pytest.fixture(scope="module")
def venv(here: Path) -> Path:
    """By another name."""
    (here / "the venv's").symlink_to(BIN.parent)
    return here / "the venv's"


def test_an_array_of_which_one_is_sent_back(
    here: Path, environment: dict[str, str], venv: Path
) -> None:
    def told() -> str:
        return call([BIN / "aam-submit", "status", "latest"], env=environment, cwd=here)

    settings = ("submit.memory_gib=1", "submit.max_hours=1", f"submit.venv={quoted(str(venv))}")
    command = [BIN / "aam-submit", "env=slurm", *settings, *SWEEP]
    said = call(command, env=environment, cwd=here)
    assert said.startswith("4 jobs submitted to slurm (array ")
    (folder,) = (here / "outputs" / "multiruns").iterdir()
    wait_for(lambda: num_epochs(run_of(folder, "job001")) >= 2, 120, told)
    job = job_of(run_of(folder, "job001"))
    assert job is not None
    assert job.state == "running"
    # What Slurm sends two minutes before the time is over. The job answers it at once by going back
    # into the queue, and scancel, which is still busy with it, would send it again there.
    with subprocess.Popen(["scancel", "--signal=USR1", "--batch", job.id], env=environment) as one:
        log = folder / "jobs" / "job001.log"
        wait_for(lambda: " exited 85 " in log.read_text(), 60)
        one.terminate()
    wait_for(lambda: told().endswith("4 jobs: 4 done\n"), 240, told)

    for number in range(4):
        run_dir = run_of(folder, f"job00{number}")
        assert num_epochs(run_dir) == EPOCHS
        assert job_of(run_dir) == JobState(f"{job.id.partition('_')[0]}_{number}", "done")
    assert [line.split()[2] for line in log.read_text().splitlines()] == [
        "submitted",
        "started",
        "exited",
        "requeued",
        "started",
        "exited",
    ]
    check_went_on(run_of(folder, "job001"), (folder / "jobs" / "job001.out").read_text())
    shown = call(["scontrol", "show", "job", job.id], env=environment)
    assert "Restarts=1 " in shown
    assert "JobState=COMPLETED" in shown
    again = call([BIN / "aam-submit", "requeue", "latest"], env=environment, cwd=here)
    assert again == "No job has failed or vanished.\n"


def test_the_plain_way_and_a_job_that_the_user_takes_back(
    here: Path, environment: dict[str, str], venv: Path, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    environment = environment | {"AAM_VENV": os.fspath(venv)}
    command = ["sbatch", "--parsable", "--mem=1000M", f"--output={tmp_path}/%j.out"]
    script = root / "hpc" / "slurm" / "train.sbatch"
    number = call([*command, script, *ONE_RUN], env=environment, cwd=root).strip()
    run_dir = here / "outputs" / "runs" / f"run_slurm_job{number}"
    wait_for(lambda: num_epochs(run_dir) >= 2, 120)
    call(["scancel", number], env=environment)
    wait_for(lambda: (job := job_of(run_dir)) and job.state == "interrupted", 60)
    assert (run_dir / "last.pt").is_file()
    shown = partial(call, ["scontrol", "show", "job", number], env=environment)
    wait_for(lambda: "JobState=CANCELLED" in shown(), 60, shown)
    assert "Restarts=0 " in shown()  # it did not put itself back into the queue
