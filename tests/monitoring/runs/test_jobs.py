"""What became of a job, by its log alone."""

from pathlib import Path

import pytest

from aam.monitoring.runs.jobs import JobState, job_of, read_log

CONDOR = """\
000 (012.003.000) 2026-11-21 20:27:10 Job submitted from host: <127.0.0.1:9618?alias=vm>
...
001 (012.003.000) 2026-11-21 20:27:15 Job executing on host: <127.0.0.1:9618?alias=vm>
	SlotName: slot1_1@vm
	Cpus = 1
...
"""
EVICTED = """\
004 (012.003.000) 2026-11-21 20:27:34 Job was evicted.
	(0) CPU times
		Usr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage
...
"""
RETRIED = """\
004 (012.003.000) 2026-11-21 20:27:15 Job was evicted.
	(0) Job terminated and was requeued
	(1) Normal termination (return value 1)
	The job attribute OnExitRemove expression 'ExitCode =?= 0' evaluated to FALSE
...
"""
HELD = """\
012 (012.003.000) 2026-11-21 20:27:15 Job was held.
	the table t.biom does not exist; check the path
	Code 3 Subcode 2
...
"""
DONE = """\
005 (012.003.000) 2026-11-21 20:27:25 Job terminated.
	(1) Normal termination (return value 0)
		Usr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage

	Job terminated of its own accord at 2026-11-21T20:27:25Z with exit-code 0.
...
"""
KILLED = DONE.replace(
    "(1) Normal termination (return value 0)", "(0) Abnormal termination (signal 9)"
)
OURS = "2026-11-21T20:27:10Z 7_3 submitted\n2026-11-21T20:27:15Z 7_3 started n1\n"


@pytest.mark.parametrize(
    ("log", "state", "said"),
    [
        (CONDOR, "running", ""),
        (CONDOR.partition("001")[0], "queued", ""),
        (CONDOR + EVICTED, "queued", ""),
        (CONDOR + RETRIED, "queued", ""),
        (CONDOR + HELD, "held", "the table t.biom does not exist; check the path"),
        (CONDOR + DONE, "done", ""),
        (CONDOR + DONE.replace("value 0", "value 1"), "failed", ""),
        (CONDOR + KILLED, "failed", "(0) Abnormal termination (signal 9)"),
        (CONDOR + EVICTED[:30], "running", ""),  # being written
        (OURS, "running", ""),
        (OURS + "2026-11-21T20:29:10Z 7_3 exited 0\n", "done", ""),
        (OURS + "2026-11-21T20:29:10Z 7_3 exited 1 No space left\n", "failed", "No space left"),
        (OURS + "2026-11-21T20:29:10Z 7_3 exited 85\n", "interrupted", ""),
        (OURS + "2026-11-21T20:29:10Z 7_3 exited 85\n2026-11-21T… 7_3 requeued\n", "queued", ""),
        (OURS + "2026-11-21T20:29:10Z 7C_3 exited 0\n", "running", ""),  # no id
        (CONDOR + DONE.replace("012", "9" * 5000), "running", ""),
        # It was started before its submission was noted.
        ("".join(reversed(OURS.splitlines(keepends=True))), "running", ""),
    ],
)
def test_reads_logs(tmp_path, log, state, said):
    path = tmp_path / "job003.log"
    path.write_text(log)
    job_id = "12.3" if log.startswith("000") else "7_3"
    assert read_log(path) == JobState(job_id, state, said)


def test_the_newest_job_counts(tmp_path):
    path = tmp_path / "job003.log"
    again = CONDOR.replace("012.003", "015.000")
    removed = HELD.replace("012 (", "009 (")
    path.write_text(CONDOR + HELD + again + removed)
    assert read_log(path) == JobState("15.0", "running")
    by_hand = OURS.replace("7_3", "9_3").splitlines(keepends=True)[1]
    path.write_text(OURS + "2026-11-21T20:29:10Z 7_3 exited 1\n" + by_hand)
    assert read_log(path) == JobState("9_3", "running")


def test_is_found_by_the_name_of_the_run(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "job003.log").write_text(CONDOR)
    (tmp_path / "jobs" / "job12.0.log").write_text(CONDOR + DONE)
    (tmp_path / "jobs" / "job004.log").write_bytes(b"\xff\x00...\n")
    assert job_of(tmp_path / "run_20261121-140953_pretrain_job003") == JobState("12.3", "running")
    assert job_of(tmp_path / "run_20261121_htcondor_job12.0") == JobState("12.3", "done")
    for name in ("run_20261121-140953_pretrain", "run_x_job005", "run_x_job004"):
        assert job_of(tmp_path / name) is None
    assert job_of(Path("nowhere/run_x_job003")) is None
