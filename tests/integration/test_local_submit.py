"""``aam-submit`` on this machine: in the background, stopped, gone on with."""

import os
import re
import signal
from pathlib import Path

import pytest

from aam.facts.reader import read_events
from aam.monitoring.runs.jobs import job_of

from .sweeps import BIN, EPOCHS, ONE_RUN, call, num_epochs, run_of, wait_for


@pytest.mark.slow
def test_jobs_are_stopped_and_gone_on_with(tmp_path: Path) -> None:
    environment = os.environ | {"AAM_OUTPUTS": "outputs", "AAM_CACHE": str(tmp_path / "cache")}

    def submit(*words: str) -> str:
        return call([BIN / "aam-submit", *words], env=environment, cwd=tmp_path)

    def states() -> list[str]:
        lines = submit("status", "latest").splitlines()
        return [line.split()[1] for line in lines if line.startswith("job0")]

    # The second one fails when it reads its data.
    said = submit(*ONE_RUN, "data.min_sample_depth=0,1000000000", "trainer.seed=7")
    pid = re.search(r"kill (\d+) stops them", said)
    assert pid is not None
    (folder,) = (tmp_path / "outputs" / "multiruns").iterdir()
    wait_for(lambda: states() == ["running", "queued"], 60)
    wait_for(lambda: num_epochs(run_of(folder, "job000")) >= 2, 120)
    os.kill(int(pid[1]), signal.SIGTERM)
    wait_for(lambda: states() == ["interrupted", "vanished"], 60)

    submit("requeue", "latest", "submit.jobs_at_once=2")
    wait_for(lambda: states() == ["done", "failed"], 120)
    first, second = (run_of(folder, name) for name in ("job000", "job001"))
    assert num_epochs(first) == EPOCHS
    start = read_events(first)[0]
    assert start["meta"]["command"].startswith("aam-train ")
    assert "Resumed: goes on with epoch " in (folder / "jobs" / "job000.out").read_text()
    job = job_of(second)
    assert job is not None
    assert job.said.startswith("all 160 samples of the table have fewer reads than ")
    assert submit("requeue", "latest").startswith("1 job submitted to local (process ")
