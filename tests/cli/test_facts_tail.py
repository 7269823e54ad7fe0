"""``aam-facts tail`` on a run that is written while it looks."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from aam.cli import facts_tail
from aam.facts.reader import read_events
from aam.facts.recorder import Recorder

META: dict[str, Any] = {
    "hostname": "here",
    "device": "cpu",
    "num_samples": {"train": 8, "val": 2, "test": 0},
    "num_epochs": 5,
}
PLATEAU = {"kind": "plateau", "evidence": "flat", "advice": "stop"}
Play = Callable[[Iterator[None]], None]


@pytest.fixture
def play(monkeypatch) -> Play:
    """Let a step of a script happen whenever tail would wait; at its end comes Ctrl-C."""

    def start(script: Iterator[None]) -> None:
        def sleep(seconds: float) -> None:
            assert seconds <= 1
            if next(script, script) is script:
                raise KeyboardInterrupt

        monkeypatch.setattr(facts_tail, "sleep", sleep)

    return start


@pytest.fixture
def run(outputs) -> Path:
    folder = outputs / "runs" / "run_x"
    folder.mkdir(parents=True)
    return folder


def train(run: Path, *ends: tuple[str, dict[str, Any]]) -> Iterator[None]:
    """Three epochs, an event a step."""
    yield
    recorder = Recorder(run, loop="pretrain", metric_names=["mae"])
    recorder.emit("on_start", meta=META)
    yield
    best = None
    for epoch, (loss, found) in enumerate([(0.5, []), (0.4, [PLATEAU]), (0.45, [])]):
        if loss != 0.45:
            best = {"epoch": epoch, "metric": "val_loss", "value": loss}
        fact = {"epoch": epoch, "step": epoch + 1, "train_loss": 0.25, "val_loss": loss}
        recorder.emit("on_epoch_end", **fact, best=best, diagnostics=found)
        yield
    for moment, fields in ends:
        recorder.emit(moment, **fields)
        yield
    recorder.close()
    yield
    raise AssertionError("tail goes on after the end")


EPOCHS = [
    "pretrain on here (cpu), samples: 8 train, 2 val",
    "Epoch 1/5 | Train 0.2500 | Val 0.5000 | Gap +0.2500 ★ best",
    "Epoch 2/5 | Train 0.2500 | Val 0.4000 | Gap +0.1500 | Δ -0.1000 ★ best",
    "  plateau: flat. Advice: stop",
    "Epoch 3/5 | Train 0.2500 | Val 0.4500 | Gap +0.2000 | Δ +0.0500",
    "  no longer: plateau",
]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (
            [("on_train_end", {"epoch": 2, "total_time_s": 61.0})],
            ["Trained 3 epochs (01:01)", "The run is finished."],
        ),
        (
            [("on_stop", {"reason": "request of Ana"})],
            ["Stopped by request of Ana after 3 epochs", "The run has stopped."],
        ),
        (
            [("on_exception", {"error": {"type": "E", "message": "m", "traceback": ""}})],
            ["Failed after 3 epochs: E: m", "The run has failed."],
        ),
        ([], ["The run has died: nobody writes its facts, and they do not say why."]),
    ],
)
def test_tells_a_run_from_before_its_first_fact_to_its_end(aam_facts, run, play, ends, told):
    play(train(run, *ends))
    code, out, err = aam_facts("tail", run)
    assert (code, err) == (0, f"{run} has no facts yet: waiting for them\n")
    assert out.splitlines()[:-1] == [*EPOCHS, *told]
    assert out.splitlines()[-1].startswith("More:  aam-facts show ")


def test_goes_on_with_a_run_that_is_resumed(aam_facts, run, play):
    list(islice(train(run), 6))

    def go_on() -> Iterator[None]:
        yield
        recorder.emit("on_epoch_end", epoch=2, step=3, train_loss=0.25, val_loss=0.3)
        yield
        recorder.emit("on_test_end", epoch=2, metrics={"test": {"mae": 0.125}})
        yield

    recorder = Recorder(run, loop="pretrain", metric_names=["mae"], resume=True)
    recorder.emit("on_resume", epoch=2, meta=META)
    play(go_on())
    code, out, err = aam_facts("tail", "x", "n=1")
    recorder.close()
    assert (code, err) == (0, "")
    assert out.splitlines()[:-2] == [
        EPOCHS[0],
        "… 2 epochs before",
        *EPOCHS[4:],
        "Resumed: goes on with epoch 3",
        "Epoch 3/5 | Train 0.2500 | Val 0.3000 | Gap +0.0500 | Δ -0.1000",
        "Test: mae 0.1250",
    ]


def test_events_as_they_come(aam_facts, run, play):
    play(train(run, ("on_stop", {"reason": "x"})))
    code, out, _ = aam_facts("tail", run, "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == read_events(run)
    _, last, _ = aam_facts("tail", run, "--json", "n=0")
    assert json.loads(last)["moment"] == "on_stop"


def test_ctrl_c_leaves_quietly(aam_facts, run, play):
    play(iter(()))
    assert aam_facts("tail", run) == (0, "", f"{run} has no facts yet: waiting for them\n")


def test_a_folder_that_vanishes(aam_facts, run, play):
    def vanish() -> Iterator[None]:
        yield from islice(train(run), 3)
        shutil.rmtree(run)
        yield

    play(vanish())
    code, out, _ = aam_facts("tail", run)
    assert code == 1
    assert out.splitlines() == [*EPOCHS[:2], f"{run} is gone."]


def test_facts_that_cannot_be_read_are_not_waited_for(aam_facts, run, play):
    (run / "facts" / "events.jsonl").mkdir(parents=True)
    play(iter(()))
    code, out, err = aam_facts("tail", run)
    assert (code, out, err) == (1, "", f"Is a directory ({run / 'facts' / 'events.jsonl'})\n")


def test_a_long_message_is_cut(aam_facts, record):
    message = f"grad_norm is inf, samples {', '.join(map(str, range(999)))}; start anew"
    run = record("run_x", ("on_exception", {"error": {"type": "E", "message": message}}))
    told = aam_facts("tail", run)[1].splitlines()
    (failed,) = [line for line in told if line.startswith("Failed")]
    assert failed.startswith("Failed after 2 epochs: E: grad_norm is inf, samples 0, 1, ")
    assert failed.endswith("; start anew")
    assert len(failed) < 500


def test_a_reader_that_leaves_is_no_error(record):
    run = record("run_x", ("on_stop", {"reason": "x"}))
    command = f"{Path(sys.executable).with_name('aam-facts')} tail {run} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "pretrain on here (cpu), samples: 8 train, 2 val, 2 test\n", "",
    )  # fmt: skip
