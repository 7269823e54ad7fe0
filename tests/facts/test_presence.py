"""Who writes a run: told while it lives, and after it has died."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aam.errors import UserError
from aam.facts import presence, processes
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


@pytest.mark.parametrize(
    "sign",
    [b"", b"{", b"[]", b"\xff", b"[" * 10**5, b'{"born": {}}', b'{"place": 3, "pid": "x"}'],
)
def test_a_sign_that_is_none(run_dir: Path, sign: bytes) -> None:
    (run_dir / SIGN).write_bytes(sign)
    os.utime(run_dir / SIGN, (0, 0))
    assert not is_written(run_dir)


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
    sign = {**processes.myself(), "born": "1"}
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


ELSEWHERE = {"hostname": "node7", "pid": 41, "place": "node7 and when it started", "born": "1"}


def leave_sign(run_dir: Path, sign: object, age_s: float = 0.0) -> None:
    (run_dir / SIGN).write_text(json.dumps(sign))
    then = time.time() - age_s
    os.utime(run_dir / SIGN, (then, then))


def names(run_dir: Path) -> list[str]:
    return [path.name for path in (run_dir / "facts").iterdir()]


def is_lost(claim: Presence) -> bool:
    try:
        claim.refuse_if_lost()
    except UserError:
        return True
    return False


@pytest.fixture
def short_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MAX_AGE_S", 1.0)
    monkeypatch.setattr(presence, "_LOOK_AGAIN_S", 0.01)


@contextmanager
def renewed(run_dir: Path) -> Iterator[None]:
    """Somebody elsewhere gives signs of life."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(0.1):
            os.utime(run_dir / SIGN)

    thread = threading.Thread(target=renew)
    thread.start()
    yield
    done.set()
    thread.join()


def test_a_second_process_on_the_same_machine_is_refused_at_once(run_dir: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(run_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"there\n"
        before = (run_dir / SIGN).read_bytes()
        here = (
            rf"being written by another process \(process {writer.pid} on {os.uname().nodename}\)"
        )
        with pytest.raises(UserError, match=here):
            Presence(run_dir)
        assert (run_dir / SIGN).read_bytes() == before
        writer.kill()
    here = Presence(run_dir)  # it is dead: at once
    assert not here.took_over
    here.close()


@pytest.mark.usefixtures("short_watch")
def test_a_process_elsewhere_that_lives_is_not_taken_over(run_dir: Path) -> None:
    leave_sign(run_dir, ELSEWHERE)
    with renewed(run_dir), pytest.raises(UserError, match=r"\(process 41 on node7\): wait until"):
        Presence(run_dir)
    assert json.loads((run_dir / SIGN).read_bytes()) == ELSEWHERE
    assert names(run_dir) == [SIGN.name]


@pytest.mark.usefixtures("short_watch")
@pytest.mark.parametrize("age_s", [0.5, 3600.0, -3600.0])
def test_a_process_elsewhere_that_is_gone_is_taken_over(
    run_dir: Path, age_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    leave_sign(run_dir, ELSEWHERE, age_s)
    here = Presence(run_dir)
    assert here.took_over
    assert json.loads((run_dir / SIGN).read_bytes())["pid"] == os.getpid()
    said = [record.getMessage() for record in caplog.records]
    watching = f"{run_dir} may be written by process 41 on node7: watching for a sign of life"
    assert (watching in said[0]) if age_s < 1 else len(said) == 1
    assert said[-1].endswith("there is no sign of life any more: taken over")
    here.close()
    assert not (run_dir / SIGN).exists()


def test_a_process_elsewhere_that_ends_while_it_is_watched_is_not_waited_for(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_sign(run_dir, ELSEWHERE)
    monkeypatch.setattr(presence.time, "sleep", lambda _: (run_dir / SIGN).unlink())
    here = Presence(run_dir)
    assert not here.took_over
    here.close()


def test_of_many_that_come_at_once_one_gets_in(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All find the sign of a dead one; with links and, in the second half, without."""

    def no_links(*_: object) -> None:
        raise OSError("no links on this file system")

    for turn in range(40):
        if turn == 20:
            monkeypatch.setattr(Path, "hardlink_to", no_links)
        leave_sign(run_dir, ELSEWHERE, 3600)
        barrier, got, refused = threading.Barrier(8), [], []

        def come(barrier=barrier, got=got, refused=refused) -> None:
            barrier.wait()
            try:
                got.append(Presence(run_dir))
            except UserError as error:
                refused.append(error)

        threads = [threading.Thread(target=come) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) + len(refused) == 8
        (writer,) = (one for one in got if not is_lost(one))
        writer.close()
        assert names(run_dir) == []


def test_who_was_taken_over_notices(run_dir: Path) -> None:
    """As after hours of suspension: another machine has gone on with the run."""
    here = Presence(run_dir, interval_s=0.01)
    here.refuse_if_lost()
    leave_sign(run_dir, ELSEWHERE, 30)
    with pytest.raises(UserError, match="taken over by process 41 on node7 while this process"):
        here.refuse_if_lost()
    then = (run_dir / SIGN).stat().st_mtime
    time.sleep(0.1)
    assert (run_dir / SIGN).stat().st_mtime == then  # the sign of the other is not renewed here
    here.close()
    assert (run_dir / SIGN).exists()
