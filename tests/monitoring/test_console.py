import io
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aam.facts.listener import Progress
from aam.facts.reader import read_events
from aam.monitoring.console import Console
from aam.monitoring.wording import duration, epoch_line, number

Event = dict[str, Any]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def at(epoch: int, step: int, num_epochs: int = 20) -> Progress:
    values = {"total_loss": 0.32451, "unifrac_loss": 0.00042, "nuc_loss": 1.2, "lr": 1e-4}
    return Progress(epoch, num_epochs, step, 12, values)


@pytest.mark.parametrize(
    ("train", "val", "before", "line"),
    [
        (0.3245, 0.3512, 0.3535, "Train 0.3245 | Val 0.3512 | Gap +0.0267 | Δ -0.0023"),
        (0.00042, 0.00051, 0.0006, "Train 0.00042 | Val 0.00051 | Gap +9e-05 | Δ -9e-05"),
        (0.3245, 0.3512, None, "Train 0.3245 | Val 0.3512 | Gap +0.0267"),
        (0.3245, None, None, "Train 0.3245"),
        (123456.7, 40.0, 40.0, "Train 1.23e+05 | Val 40.0000 | Gap -1.23e+05 | Δ +0.0000"),
    ],
)
def test_epoch_line(
    epoch_event: Callable[..., Event],
    train: float,
    val: float | None,
    before: float | None,
    line: str,
) -> None:
    best = {"epoch": 9, "metric": "val_loss", "value": val}
    assert epoch_line(epoch_event(9, train, val), before, 20) == f"Epoch 10/20 | {line}"
    marked = epoch_line(epoch_event(9, train, val, best=best), before, 20)
    assert marked == f"Epoch 10/20 | {line} ★ best"
    later = epoch_event(10, train, val, best=best)
    assert epoch_line(later, before, None) == f"Epoch 11 | {line}"


def test_epoch_line_shows_a_validation_loss_that_is_not_finite(
    epoch_event: Callable[..., Event],
) -> None:
    event = epoch_event(0, 0.5, None, nonfinite=["val_loss"])
    assert epoch_line(event, None, 2) == "Epoch 1/2 | Train 0.5000 | Val nan"


def test_numbers_stay_readable() -> None:
    assert [number(x) for x in (0.00042, 0.0, 1.0, 3.21e-5, None)] == [
        "0.00042",
        "0.0000",
        "1.0000",
        "3.21e-05",
        "nan",
    ]
    assert [duration(x) for x in (5, 65, 3723)] == ["00:05", "01:05", "1:02:03"]


def test_plain_lines_come_at_intervals_only(make_event: Callable[..., Event]) -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(None, stream=stream, clock=clock)
    console.on_event(make_event("on_start"))
    for step in range(1, 13):
        clock.now = 10.0 * step
        console.on_progress(at(0, step))
    values = "Total Loss 0.3245 | UniFrac Loss 0.00042 | Nuc Loss 1.2000 | LR 1.00e-04"
    assert stream.getvalue().splitlines() == [
        f"Epoch 1/20 | step 6/12 | {values} | ETA 39:00",
        f"Epoch 1/20 | step 12/12 | {values} | ETA 38:00",
    ]


def test_bar_of_a_terminal_is_not_torn(
    make_event: Callable[..., Event], epoch_event: Callable[..., Event]
) -> None:
    stream, clock = Terminal(), Clock()
    console = Console(None, stream=stream, clock=clock)
    console.on_event(make_event("on_start"))
    clock.now = 100.0
    console.on_progress(at(0, 10))
    values = "Total Loss=0.3245, UniFrac Loss=0.00042, Nuc Loss=1.2000, LR=1.00e-04"
    assert str(console._bar).endswith(f"| 10/12, ETA=38:20, {values}")
    console.on_event(epoch_event(0, 0.4, 0.5))
    console.on_progress(at(1, 1))
    console.close()
    text = stream.getvalue()
    # What a terminal shows: of each line, what stands after the last return to its start.
    shown = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]
    assert shown[0] == "Epoch 1/20 | Train 0.4000 | Val 0.5000 | Gap +0.1000"
    assert re.match(r"Ended after 1 epoch \(01:40\)", shown[2])
    # And the bar was wiped before: the line is not followed by the rest of a longer one.
    assert re.search(r"\r +\rEpoch 1/20 \| Train", text)


def test_notices_of_the_log_pass_the_bar(make_event: Callable[..., Event]) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    console = Console(None, stream=Terminal())
    console.on_event(make_event("on_start"))
    assert root.handlers != before
    console.close()
    assert root.handlers == before


def test_summary(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    healthy_run: Path,
    healthy_events: list[Event],
    make_event: Callable[..., Event],
) -> None:
    monkeypatch.chdir(tmp_path)
    (healthy_run / "figures").mkdir()
    for name in ("training_curves.png", ".losses.png.1-ab.tmp"):
        (healthy_run / "figures" / name).touch()
    stream, clock = io.StringIO(), Clock()
    console = Console(healthy_run, stream=stream, clock=clock)
    for event in healthy_events:
        console.on_event(event)
    finding = {
        "kind": "gradient_spikes",
        "evidence": "epochs 29-30: gradient norm 9",
        "advice": "clip gradients: aam-train resume=/r trainer.max_grad_norm=1",
    }
    history = {"train_loss": [], "val_loss": [], "lr": []}
    end = make_event("on_train_end", epoch=29, diagnostics=[finding], history=history)
    tested = make_event("on_test_end", metrics={"train": {}, "val": {}, "test": {"mae": 0.03}})
    clock.now = 65.0
    console.on_event(end)
    console.on_event(tested)
    clock.now = 70.0  # figures were being finished
    console.close()
    best = next(e["best"] for e in reversed(healthy_events))
    name = healthy_run.name
    assert stream.getvalue().splitlines()[-11:] == [
        "",
        "Trained 30 epochs (01:05)",
        f"Best epoch: {best['epoch'] + 1} (val_loss {best['value']:.4f})",
        "Test: mae 0.0300",
        "Diagnosis:",
        "  gradient spikes, epochs 29-30: gradient norm 9",
        "    Clip gradients:",
        "    aam-train resume=/r trainer.max_grad_norm=1",
        f"Run folder: {name}",
        "Figures:",
        f"  {name}/figures/training_curves.png",
    ]


def test_the_diagnosis_says_what_holds_once_and_what_is_over_in_a_line(
    write_run: Callable[..., Path],
    epoch_event: Callable[..., Event],
    make_event: Callable[..., Event],
) -> None:
    def finding(kind: str, evidence: str, advice: str = "do: aam-train a=1") -> dict[str, str]:
        return {"kind": kind, "evidence": evidence, "advice": advice}

    def judged(epoch: int, *findings: dict[str, str]) -> Event:
        return epoch_event(epoch, 0.5, 0.6, diagnostics=list(findings))

    told = [
        judged(0, finding("instability", "a")),
        judged(1),
        judged(2, finding("instability", "b"), finding("worsening", "c")),
        judged(3, finding("instability", "d"), finding("worsening", "e")),
        judged(4, finding("worsening", "f")),  # the run was killed, and resumed before this epoch
    ]
    run_dir = write_run([make_event("on_start"), *told])
    stream = io.StringIO()
    console = Console(run_dir, stream=stream)
    console.on_event(make_event("on_resume", epoch=4))
    lasting = finding("plateau", "epoch 5: h", "rest")
    console.on_event(judged(4, finding("worsening", "epochs 3-5: g"), lasting))
    console.on_event(judged(5, finding("overfitting", "epoch 6: i"), lasting))
    ended = [finding("overfitting", "epoch 6: i"), finding("plateau", "epochs 5-6: j")]
    history = {"train_loss": [], "val_loss": [], "lr": []}
    console.on_event(make_event("on_train_end", epoch=5, diagnostics=ended, history=history))
    console.close()
    lines = stream.getvalue().splitlines()
    assert lines[lines.index("Diagnosis:") + 1 : -1] == [
        "  plateau, epochs 5-6: j",
        "  overfitting, epoch 6: i",
        "    Do:",
        "    aam-train a=1",
        "Came and went: instability (epochs 1, 3-4); worsening (epochs 3-5)",
    ]


def test_supervised_run_ends_with_a_table_and_a_verdict(
    supervised_run: Callable[..., Path],
) -> None:
    true, near = [[1.0], [2.0], [3.0]], [[1.5], [2.0], [3.0]]
    run_dir = supervised_run(true, near, {"mean": [[2.0]] * 3, "random_forest": true})
    stream = io.StringIO()
    console = Console(None, stream=stream, clock=Clock())
    for event in read_events(run_dir):
        console.on_event(event)
    console.close()
    lines = stream.getvalue().splitlines()
    at = lines.index("Test set (3 samples)     MAE    RMSE     R²")
    assert lines[at - 2 : at] == ["Best epoch: 2 (val_loss 0.2000)", ""]
    assert lines[at + 1 :] == [
        "  random forest       0.0000  0.0000  1.000",
        "> aam (finetune)      0.1667  0.2887  0.875",
        "  training mean       0.6667  0.8165  0.000",
        "The random forest is better than the model by 0.1667 in MAE.",
        "One split says little: aam-train --multirun split=kfold split.fold=0,1,2,3,4 and then "
        "aam-facts cv tell whether that is beyond the spread of the folds.",
        "",
    ]


def test_resumed_run_goes_on_with_the_epochs_before(
    healthy_run: Path,
    healthy_events: list[Event],
    make_event: Callable[..., Event],
    epoch_event: Callable[..., Event],
) -> None:
    stream = io.StringIO()
    console = Console(healthy_run, stream=stream)
    console.on_event(make_event("on_resume", epoch=30))
    assert console._outcome().startswith("Ended after 30 epochs")
    val = healthy_events[-1]["val_loss"] if healthy_events[-1]["epoch"] == 29 else None
    assert val is not None
    console.on_progress(at(30, 12, num_epochs=40))
    console.on_event(epoch_event(30, val - 0.1, val - 0.01))
    lines = stream.getvalue().splitlines()
    assert lines[1] == "Resumed: goes on with epoch 31"
    assert lines[2].startswith("Epoch 31/40 | ")
    assert lines[2].endswith("Gap +0.0900 | Δ -0.0100")
    assert "since it was resumed)" in console._outcome()


def test_what_is_left_may_be_the_test_alone(
    healthy_run: Path, make_event: Callable[..., Event]
) -> None:
    lines = []
    for epoch in (29, 30):
        stream = io.StringIO()
        start = make_event("on_resume", epoch=epoch)
        start["meta"]["num_epochs"] = 30
        Console(healthy_run, stream=stream).on_event(start)
        lines.append(stream.getvalue().splitlines()[-1])
    assert lines == ["Resumed: goes on with epoch 30", "Resumed: goes on behind its last epoch"]


def test_failed_run_says_so(make_event: Callable[..., Event]) -> None:
    stream = io.StringIO()
    console = Console(None, stream=stream, clock=Clock())
    error = {"type": "ValueError", "message": "no good", "traceback": ""}
    console.on_event(make_event("on_exception", error=error))
    console.close()
    assert "Failed after 0 epochs (00:00): ValueError: no good" in stream.getvalue()


def test_stream_that_knows_no_greek(epoch_event: Callable[..., Event]) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console = Console(None, stream=stream)
    best = {"epoch": 0, "metric": "val_loss", "value": 0.5}
    console.on_event(epoch_event(0, 0.4, 0.5, best=best))
    assert raw.getvalue() == b"Epoch 1 | Train 0.4000 | Val 0.5000 | Gap +0.1000 ? best\n"
