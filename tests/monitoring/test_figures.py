import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig, TagsConfig
from aam.monitoring.families.base import UNSUPERVISED
from aam.monitoring.figures import Figures
from aam.monitoring.plan import FAMILY_NAMES, plan
from aam.monitoring.settings import logging_of
from aam.monitoring.worker import Inbox

Event = dict[str, Any]
CONFIG = LoggingConfig(families={name: FamilyConfig(dpi=30) for name in FAMILY_NAMES})
ONE_FIGURE = LoggingConfig(plots="minimal", families={"losses": FamilyConfig(dpi=30)})
IDLE = (sys.executable, "-c", "import time; time.sleep(60)")
OF_HEALTHY = [
    "losses-on_epoch_end.png",
    "metrics-on_epoch_end.png",
    "training_curves.png",
    "unifrac_best.png",
]


def drawn(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "figures").iterdir())


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def kill(figures: Figures) -> None:
    assert figures._worker is not None
    worker = figures._worker.process
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)


def out_of_worker(run_dir: Path, requests: bytes) -> list[str]:
    command = [sys.executable, "-m", "aam.monitoring.worker", run_dir, json.dumps(asdict(CONFIG))]
    worker = subprocess.run(command, input=requests, capture_output=True, check=True)
    return worker.stderr.decode().splitlines()


def test_config_comes_whole_through_the_command_line() -> None:
    config = LoggingConfig(
        plots="full",
        tags=TagsConfig(best=False),
        families={"losses": FamilyConfig(enabled=False)},
        diagnostics=DiagnosticsConfig(gap=0.1),
    )
    assert logging_of(json.loads(json.dumps(asdict(config)))) == config


def test_inbox_keeps_the_newest_request_of_each_figure() -> None:
    read, write = os.pipe()
    inbox = Inbox(read, plan(CONFIG, UNSUPERVISED))
    for epoch in range(100):
        os.write(write, f"on_epoch_end {epoch}\n".encode())
    os.write(write, b"on_validation_improved 7\non_epoch_end 1")
    inbox.read(None)
    waiting = {drawing.stem: epoch for drawing, epoch in inbox.waiting.items()}
    on_epoch_end = ("losses-on_epoch_end", "metrics-on_epoch_end", "training_curves")
    assert waiting == dict.fromkeys(on_epoch_end, "99") | {"unifrac_best": "7"}
    os.write(write, b"00\n")  # the rest of a request that came in two parts
    os.close(write)
    inbox.read(None)
    assert not inbox.open
    os.close(read)
    drawing, epoch = inbox.pop()
    assert (drawing.stem, epoch) == ("losses-on_epoch_end", "100")
    assert drawing not in inbox.waiting


def test_nice_worker_draws_the_last_requests_before_it_leaves(
    healthy_run: Path,
    healthy_events: list[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    figures = Figures(healthy_run, CONFIG)
    for event in healthy_events:
        figures.on_event(event)
    assert figures._worker is not None
    worker = figures._worker.process
    assert os.getpgid(worker.pid) != os.getpgid(0)  # Ctrl-C in the terminal does not reach it
    while not (healthy_run / "figures" / "losses-on_epoch_end.png").exists():
        assert worker.poll() is None
        time.sleep(0.02)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) >= 10
    for file, text in (("oom_score_adj", "1000\n"), ("autogroup", "nice 10\n")):
        standing = Path(f"/proc/{worker.pid}/{file}")
        assert not standing.exists() or standing.read_text().endswith(text)
    worker.terminate()  # as a scheduler does with every process of a job
    figures.close()
    assert drawn(healthy_run) == OF_HEALTHY
    assert caplog.records == []


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no autogroups here")
def test_a_worker_of_the_same_session_leaves_that_alone(healthy_run: Path) -> None:
    before = Path("/proc/self/autogroup").read_text()
    out_of_worker(healthy_run, b"")
    assert Path("/proc/self/autogroup").read_text() == before


def test_worker_reports_each_family_once_and_goes_on(healthy_run: Path) -> None:
    (healthy_run / "predictions" / "val_unifrac.tsv").write_text("nonsense\n")
    requests = b"".join(
        b"on_validation_improved %d\non_test_end %d\non_epoch_end %d\n" % (n, n, n) for n in (1, 2)
    )
    assert out_of_worker(healthy_run, requests) == [
        "WARNING figure unifrac_best.png failed at epoch 2: ValueError: 'true' is not in list",
        "INFO figure unifrac_test.png was not drawn: there is no on_test_end event",
    ]
    assert (healthy_run / "figures" / "training_curves.png").is_file()


def test_worker_draws_what_a_run_predicts_and_is_silent_on_what_it_is_not(
    supervised_run: Callable[..., Path],
) -> None:
    """Neither distances nor classes are asked for, so nothing of them is missing."""
    run_dir = supervised_run([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    assert out_of_worker(run_dir, b"on_validation_improved 1\non_test_end 1\n") == []
    assert drawn(run_dir) == [
        "pred_vs_actual_best.png",
        "pred_vs_actual_test.png",
        "residuals_test.png",
    ]


def test_a_folder_that_takes_no_figures_is_told_once(
    healthy_run: Path, healthy_events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shutil.rmtree(healthy_run / "predictions")
    (healthy_run / "figures").touch()
    figures = Figures(healthy_run, CONFIG)
    figures.on_event(healthy_events[1])
    figures.on_event(healthy_events[2])
    figures.close()
    (warning,) = warnings_of(caplog)
    assert warning.startswith(f"figures cannot be written to {healthy_run}/figures (File exists)")
    (notice,) = (one.getMessage() for one in caplog.records if one.levelno == logging.INFO)
    assert notice.startswith("figure unifrac_best.png was not drawn: no artifact val_unifrac")


@pytest.mark.parametrize("when", ["in the middle", "at the end"])
def test_a_killed_worker_is_warned_of_once_and_no_figure_is_missing(
    healthy_run: Path, healthy_events: list[Event], caplog: pytest.LogCaptureFixture, when: str
) -> None:
    caplog.set_level(logging.INFO)
    figures = Figures(healthy_run, ONE_FIGURE)
    for event in healthy_events[:5]:
        figures.on_event(event)
    kill(figures)
    for event in healthy_events[5:] if when == "in the middle" else []:
        figures.on_event(event)
    figures.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the drawing process is lost (it was ended by SIGKILL): the training goes on, and "
        "aam-facts plot draws what is missing in the end"
    ]
    assert drawn(healthy_run) == OF_HEALTHY[:1]


def test_a_worker_that_is_killed_again_is_given_up_with_a_notice(
    healthy_run: Path, healthy_events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    figures = Figures(healthy_run, CONFIG, command=IDLE)
    for event in healthy_events:
        figures.on_event(event)
        if figures._worker is not None:
            kill(figures)
    figures.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert figures._worker is None


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/absent/python",), "it cannot be started: [Errno 2]"),
        ((sys.executable, "-c", "import absent"), "No module named 'absent'"),
    ],
)
def test_a_worker_that_does_not_get_going_is_warned_of_once(
    healthy_run: Path,
    healthy_events: list[Event],
    caplog: pytest.LogCaptureFixture,
    command: tuple[str, ...],
    why: str,
) -> None:
    figures = Figures(healthy_run, CONFIG, command=command)
    for event in healthy_events:
        figures.on_event(event)
    figures.close()
    (warning,) = warnings_of(caplog)
    assert why in warning


def test_a_worker_that_hangs_neither_blocks_nor_outlives_its_patience(
    healthy_run: Path, epoch_event: Callable[..., Event], caplog: pytest.LogCaptureFixture
) -> None:
    figures = Figures(healthy_run, CONFIG, command=IDLE, patience_s=0.1)
    event = epoch_event(0, 0.5, 0.6)
    for _ in range(10_000):  # 150 kB, more than the pipe holds
        figures.on_event(event)
    assert figures._worker is not None
    worker = figures._worker.process
    assert worker.poll() is None
    figures.close()
    assert worker.returncode == -signal.SIGKILL
    (warning,) = warnings_of(caplog)
    assert "it takes too long" in warning


def test_the_newest_request_comes_through_a_pipe_that_was_full(
    healthy_run: Path, epoch_event: Callable[..., Event]
) -> None:
    code = (
        "import sys, time; from pathlib import Path; run_dir = Path(sys.argv[1])\n"
        "while not (run_dir / 'go').exists(): time.sleep(0.01)\n"
        "(run_dir / 'heard').write_text(sys.stdin.read())"
    )
    figures = Figures(healthy_run, CONFIG, command=(sys.executable, "-c", code))
    event = epoch_event(0, 0.5, 0.6)
    for epoch in range(9_999):
        figures.on_event(event | {"epoch": epoch})
    (healthy_run / "go").touch()
    figures.close()
    heard = (healthy_run / "heard").read_text().splitlines()
    assert len(heard) < 9_999
    assert heard[-1] == "on_epoch_end 9998"


@pytest.mark.parametrize(("every_epochs", "epochs"), [(4, [3, 5]), (3, [2, 5]), (9, [5])])
def test_requests_follow_every_epochs_and_the_end(
    healthy_run: Path,
    make_event: Callable[..., Event],
    epoch_event: Callable[..., Event],
    every_epochs: int,
    epochs: list[int],
) -> None:
    config = LoggingConfig(plots="minimal", every_epochs=every_epochs)
    heard = healthy_run / "heard"
    code = "import sys; open(sys.argv[1] + '/heard', 'w').write(sys.stdin.read())"
    figures = Figures(healthy_run, config, command=(sys.executable, "-c", code))
    figures.on_event(make_event("on_start"))
    for epoch in range(6):
        figures.on_event(epoch_event(epoch, 0.5, 0.6))
    figures.on_event(make_event("on_stop", epoch=5))
    figures.close()
    assert heard.read_text() == "".join(f"on_epoch_end {epoch}\n" for epoch in epochs)


def test_no_worker_starts_before_it_is_needed(
    healthy_run: Path, make_event: Callable[..., Event]
) -> None:
    figures = Figures(healthy_run, CONFIG)
    figures.on_event(make_event("on_start"))
    assert figures._worker is None
    figures.close()
