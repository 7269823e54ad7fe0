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

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.monitoring.figures import Figures
from aam.monitoring.plan import FAMILY_NAMES, UNSUPERVISED, plan
from aam.monitoring.worker import Inbox, logging_of

Event = dict[str, Any]
CONFIG = LoggingConfig(families={name: FamilyConfig(dpi=30) for name in FAMILY_NAMES})
IDLE = (sys.executable, "-c", "import time; time.sleep(60)")


def test_config_comes_whole_through_the_command_line() -> None:
    config = LoggingConfig(
        plots="full",
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
    worker = figures._worker
    assert worker is not None
    assert os.getpgid(worker.pid) != os.getpgid(0)  # Ctrl-C in the terminal does not reach it
    while not (healthy_run / "figures" / "losses-on_epoch_end.png").exists():
        assert worker.poll() is None
        time.sleep(0.02)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) >= 10
    figures.close()
    assert sorted(path.name for path in (healthy_run / "figures").iterdir()) == [
        "losses-on_epoch_end.png",
        "metrics-on_epoch_end.png",
        "training_curves.png",
        "unifrac_best.png",
    ]
    assert caplog.records == []


def test_worker_reports_each_family_once_and_goes_on(
    healthy_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (healthy_run / "predictions" / "val_unifrac.tsv").write_text("nonsense\n")
    requests = b"".join(
        b"on_validation_improved %d\non_test_end %d\non_epoch_end %d\n" % (n, n, n) for n in (1, 2)
    )
    worker = subprocess.run(
        [sys.executable, "-m", "aam.monitoring.worker", healthy_run, json.dumps(asdict(CONFIG))],
        input=requests,
        capture_output=True,
        check=True,
    )
    assert worker.stderr.decode().splitlines() == [
        "WARNING figure unifrac_best.png failed at epoch 2: ValueError: 'true' is not in list",
        "INFO figure unifrac_test.png was not drawn: no on_test_end event",
    ]
    assert (healthy_run / "figures" / "training_curves.png").is_file()


def test_worker_draws_what_a_run_predicts_and_is_silent_on_what_it_is_not(
    supervised_run: Callable[..., Path],
) -> None:
    """Neither distances nor classes are asked for, so nothing of them is missing."""
    run_dir = supervised_run([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    worker = subprocess.run(
        [sys.executable, "-m", "aam.monitoring.worker", run_dir, json.dumps(asdict(CONFIG))],
        input=b"on_validation_improved 1\non_test_end 1\n",
        capture_output=True,
        check=True,
    )
    assert worker.stderr == b""
    assert {path.stem for path in (run_dir / "figures").iterdir()} == {
        "pred_vs_actual_best",
        "pred_vs_actual_test",
        "residuals_test",
    }


def test_what_the_worker_says_goes_to_the_log(
    healthy_run: Path, healthy_events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shutil.rmtree(healthy_run / "predictions")
    (healthy_run / "figures").touch()  # so that no figure can be written
    figures = Figures(healthy_run, CONFIG)
    figures.on_event(healthy_events[1])
    figures.on_event(healthy_events[2])
    figures.close()
    said = {(one.levelname, one.getMessage().split(" ")[1]) for one in caplog.records}
    assert said == {
        ("WARNING", "losses-on_epoch_end.png"),
        ("WARNING", "metrics-on_epoch_end.png"),
        ("WARNING", "training_curves.png"),
        ("INFO", "unifrac_best.png"),
    }
    assert len(caplog.records) == 4


def test_a_killed_worker_is_reported_once(
    healthy_run: Path, healthy_events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    figures = Figures(healthy_run, CONFIG)
    figures.on_event(healthy_events[1])
    worker = figures._worker
    assert worker is not None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    for event in healthy_events:
        figures.on_event(event)
    figures.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the run goes on without new figures" in caplog.text


def test_a_worker_that_cannot_start_is_reported_once(
    healthy_run: Path, healthy_events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    figures = Figures(healthy_run, CONFIG, command=(str(healthy_run / "absent"),))
    for event in healthy_events:
        figures.on_event(event)
    figures.close()
    assert len(caplog.records) == 1


def test_a_worker_that_hangs_neither_blocks_nor_outlives_its_patience(
    healthy_run: Path, epoch_event: Callable[..., Event], caplog: pytest.LogCaptureFixture
) -> None:
    figures = Figures(healthy_run, CONFIG, command=IDLE, patience_s=0.1)
    event = epoch_event(0, 0.5, 0.6)
    for _ in range(10_000):  # 150 kB, more than the pipe holds
        figures.on_event(event)
    worker = figures._worker
    assert worker is not None
    assert worker.poll() is None
    figures.close()
    assert worker.returncode == -signal.SIGKILL
    assert [record.getMessage() for record in caplog.records] == [
        "the drawing process was not done after 0.1 s: the run goes on without new figures"
    ]


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
