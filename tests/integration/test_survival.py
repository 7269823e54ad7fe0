"""What the command does where a machine, a disk or another process gets in its way."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aam.data.demo import write_demo
from aam.facts.presence import SIGN
from aam.facts.reader import EVENTS, read_events
from aam.facts.schema import validate
from aam.training.checkpoint import LAST, PREVIOUS, load_checkpoint

pytestmark = pytest.mark.slow
AAM_TRAIN = Path(sys.executable).with_name("aam-train")
ENDLESS = (
    "loop.min_updates=4",
    "model.num_clades=8",
    "logging=none",
    "trainer.num_threads=1",
    "trainer.epochs=100000",
    "early_stopping.patience=null",
    "checkpoint.every_minutes=0.0001",
    "logging.console=false",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def environment(tmp_path: Path, cache: Path) -> dict[str, str]:
    return os.environ | {"AAM_OUTPUTS": str(tmp_path / "outputs"), "AAM_CACHE": str(cache)}


def wait_for(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextmanager
def training(
    environment: dict[str, str], *arguments: str, before: tuple[str, ...] = ()
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that has saved something in its second epoch."""
    with subprocess.Popen(
        [*before, AAM_TRAIN, *ENDLESS, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        outputs = Path(environment["AAM_OUTPUTS"])
        try:
            wait_for(lambda: list(outputs.glob("runs/*/best_model.pt")), process)
            (run_dir,) = (outputs / "runs").iterdir()
            wait_for(lambda: load_checkpoint(run_dir / LAST)["epoch"] >= 1, process)
            yield process, run_dir
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def resume(
    environment: dict[str, str], run_dir: Path, before: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Go on for an epoch."""
    epochs = f"trainer.epochs={load_checkpoint(run_dir / LAST)['epoch'] + 1}"
    done = subprocess.run(
        [*before, AAM_TRAIN, f"resume={run_dir}", epochs],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


def assert_intact(run_dir: Path) -> dict[str, Any]:
    """Whole checkpoints, whole facts; the last of them."""
    for name in (LAST, PREVIOUS, "best_model.pt"):
        load_checkpoint(run_dir / name)
    lines = (run_dir / EVENTS).read_bytes().splitlines(keepends=True)
    for line in lines:
        assert line.endswith(b"\n")
        validate(json.loads(line))
    return read_events(run_dir)[-1]


def test_one_process_at_a_time_and_a_signal_hands_the_run_over(
    environment: dict[str, str],
) -> None:
    with training(environment) as (process, run_dir):
        code, said = resume(environment, run_dir)
        assert code == 2
        assert said == (
            f"{run_dir} is being written by another process (process {process.pid} on "
            f"{os.uname().nodename}): wait until that run ends or stop it, then try again\n"
        )
        process.send_signal(signal.SIGTERM)
        resumes = f"aam-train resume={run_dir}\n"
        assert ended(process) == (85, f"stopped by SIGTERM; go on with: {resumes}")
    stop, state = assert_intact(run_dir), load_checkpoint(run_dir / LAST)
    assert (stop["moment"], stop["reason"]) == ("on_stop", "SIGTERM")
    assert (stop["epoch"], stop["step"]) == (state["epoch"], state["update"])
    assert resume(environment, run_dir) == (0, "")
    (went_on,) = (e for e in read_events(run_dir) if e["moment"] == "on_resume")
    assert (went_on["epoch"], went_on["step"]) == (stop["epoch"], stop["step"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 77), (signal.SIGINT, 85)])
def test_other_signals_save_too(
    environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    with training(environment, f"checkpoint.exit_code={code}") as (process, run_dir):
        process.send_signal(number)
        assert ended(process)[0] == code
    assert assert_intact(run_dir)["reason"] == number.name


def test_a_dead_process_holds_nothing(environment: dict[str, str]) -> None:
    with training(environment) as (process, run_dir):
        process.kill()
        process.wait()
        assert (run_dir / SIGN).exists()
        assert resume(environment, run_dir) == (0, "")


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of a few MiB, or a skip where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    done = (
        subprocess.run(mount, capture_output=True, text=True, check=False)
        if shutil.which("mount")
        else None
    )
    if done is None or done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done and done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_job_goes_on_by_itself_on_another_machine(environment: dict[str, str]) -> None:
    """A name and process ids of its own make a machine, as far as the sign of life can tell."""
    elsewhere = ("unshare", "--pid", "--fork", "--uts", "--mount-proc", "sh", "-c")
    elsewhere = (*elsewhere, 'hostname node2 && exec "$0" "$@"')
    if not shutil.which("unshare") or subprocess.run([*elsewhere, "true"], check=False).returncode:
        pytest.skip("no process may have names of its own here (unshare)")
    with training(environment) as (process, run_dir):
        code, said = resume(environment, run_dir, elsewhere)
        watched = f"{run_dir} may be written by process {process.pid} on {os.uname().nodename}: "
        assert code == 2
        assert said.startswith(watched + "watching for a sign of life, for 1")
        assert f"being written by another process (process {process.pid} on " in said
        assert process.poll() is None
        process.kill()
    long_ago = time.time() - 115
    os.utime(run_dir / SIGN, (long_ago, long_ago))
    code, said = resume(environment, run_dir, elsewhere)
    assert code == 0
    assert said.endswith("of which there is no sign of life any more: taken over\n")
    assert [event["moment"] for event in read_events(run_dir)].count("on_resume") == 1


def test_a_full_disk_costs_nothing_that_was_saved(environment: dict[str, str]) -> None:
    outputs = Path(environment["AAM_OUTPUTS"])
    with small_disk(outputs):
        with training(environment) as (process, run_dir):
            filler = outputs / "filler"
            with filler.open("wb", buffering=0) as file:
                while process.poll() is None:
                    with suppress(OSError):
                        file.write(bytes(1 << 12))
            code, said = ended(process)
        assert code == 1
        assert re.fullmatch(
            rf"No space left on device \({run_dir}/[\w./]+\)\. What was saved is intact; "
            rf"go on with: aam-train resume={run_dir}\n",
            said,
        )
        filler.unlink()
        assert_intact(run_dir)
        assert resume(environment, run_dir) == (0, "")


def test_a_folder_that_takes_nothing_more_costs_nothing_that_was_saved(
    environment: dict[str, str],
) -> None:
    """Root writes anywhere, unless it gives that up."""
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("this is root, and setpriv is not there to take its rights away")
        before = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    with training(environment, before=before) as (process, run_dir):
        run_dir.chmod(0o555)
        code, said = ended(process)
    run_dir.chmod(0o755)
    assert code == 1
    assert re.fullmatch(
        rf"Permission denied \({run_dir}/[\w.]+\)\. What was saved is intact; go on with: "
        rf"aam-train resume={run_dir}\n",
        said,
    )
    failed = assert_intact(run_dir)
    assert (failed["moment"], failed["error"]["type"]) == ("on_exception", "PermissionError")
    assert resume(environment, run_dir) == (0, "")


def test_a_limit_on_what_may_be_written_costs_nothing_that_was_saved(
    environment: dict[str, str],
) -> None:
    """As a quota does: some files cannot grow any more, and others can."""
    with training(environment) as (process, run_dir):
        least = (run_dir / LAST).stat().st_size // 2
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (least, least))
        code, said = ended(process)
    assert code == 1
    assert said == (
        f"File too large ({run_dir / LAST}). What was saved is intact; go on with: "
        f"aam-train resume={run_dir}\n"
    )
    failed = assert_intact(run_dir)
    assert (failed["moment"], failed["error"]["type"]) == ("on_exception", "OSError")
    assert resume(environment, run_dir) == (0, "")


def test_data_that_vanish_are_missed_by_a_resume_only(
    environment: dict[str, str], tmp_path: Path
) -> None:
    demo = write_demo(tmp_path / "demo", seed=0)
    given = (f"data.table={demo.table}", f"data.tree={demo.tree}")
    with training(environment, "data=biom", *given) as (process, run_dir):
        demo.table.rename(tmp_path / "elsewhere")
        reached = load_checkpoint(run_dir / LAST)["epoch"]
        wait_for(lambda: load_checkpoint(run_dir / LAST)["epoch"] > reached + 1, process)
        process.terminate()
        assert ended(process)[0] == 85
    assert resume(environment, run_dir) == (
        2,
        f"the table {demo.table} does not exist; check the path\n",
    )
    assert_intact(run_dir)
    (tmp_path / "elsewhere").rename(demo.table)
    assert resume(environment, run_dir) == (0, "")
