"""Who writes a run: told while it lives, and after it has died."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aam.facts import presence
from aam.facts.presence import MAX_AGE_S, SIGN, Presence, is_written

WRITER = """
import sys, time
from pathlib import Path
from aam.facts.presence import Presence
Presence(Path(sys.argv[1]))
print("there", flush=True)
time.sleep(60)
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "facts").mkdir()
    return tmp_path


def test_a_writer_is_seen_until_it_closes(run_dir: Path) -> None:
    assert not is_written(run_dir)
    here = Presence(run_dir)
    assert is_written(run_dir)
    here.close()
    here.close()
    assert not is_written(run_dir)
    assert not (run_dir / SIGN).exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_killed_writer_is_not_taken_for_a_living_one(run_dir: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(run_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"there\n"
        assert is_written(run_dir)
        writer.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert not is_written(run_dir)
    assert (run_dir / SIGN).exists()
    assert not is_written(run_dir)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_process_that_got_the_same_id_later_is_another_one(run_dir: Path) -> None:
    sign = {**presence._myself(), "born": "1"}
    (run_dir / SIGN).write_text(json.dumps(sign))
    assert not is_written(run_dir)


@pytest.mark.parametrize(("age_s", "lives"), [(MAX_AGE_S - 60, True), (MAX_AGE_S + 60, False)])
def test_on_another_machine_the_age_of_the_sign_decides(
    run_dir: Path, age_s: float, lives: bool
) -> None:
    sign = {"hostname": "elsewhere", "pid": 1, "place": "elsewhere 7", "born": "1"}
    (run_dir / SIGN).write_text(json.dumps(sign))
    now = time.time()
    os.utime(run_dir / SIGN, (now, now - age_s))
    assert is_written(run_dir) is lives


def test_the_sign_is_renewed_and_worth_no_failure(run_dir: Path) -> None:
    here = Presence(run_dir, interval_s=0.01)
    os.utime(run_dir / SIGN, (0, 0))
    for _ in range(500):
        time.sleep(0.01)
        if (run_dir / SIGN).stat().st_mtime > 0:
            break
    else:
        pytest.fail("the sign was never renewed")
    (run_dir / SIGN).unlink()
    time.sleep(0.05)
    assert here._thread.is_alive()
    here.close()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"place": 3, "pid": "x"}'])
def test_a_broken_sign_is_none(run_dir: Path, content: bytes) -> None:
    (run_dir / SIGN).write_bytes(content)
    os.utime(run_dir / SIGN, (0, 0))
    assert not is_written(run_dir)
