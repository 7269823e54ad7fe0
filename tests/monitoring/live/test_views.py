"""What the page is told: all of it, whatever comes in pieces, and what console and figures say."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aam.facts.reader import EVENTS, epoch_events
from aam.facts.stopping import request_stop
from aam.monitoring.curves import Curves
from aam.monitoring.live.board import Board
from aam.monitoring.live.followed import Followed
from aam.monitoring.live.thinning import kept
from aam.monitoring.live.views import list_view, run_view
from aam.monitoring.verdict import judgement
from aam.monitoring.wording import epoch_line, number


class Look:
    """A page of one run: it keeps columns, as the browser does."""

    def __init__(self, run_dir) -> None:
        self.board = Board(run_dir.parent)
        self.board.scan()
        (entry,) = self.board.entries()
        self.followed = Followed(entry.run_dir)
        self.key = entry.key
        self.generation, self.columns = "", {}
        self.told: Any = None

    def at(self) -> Any:
        self.board.scan()
        entry = self.board.entry(self.key)
        since = len(self.columns.get("epoch", ()))
        told = run_view(entry, self.followed, self.board.folder, since, self.generation)
        json.dumps(told, allow_nan=False)
        assert told["since"] in (0, since)
        if told["since"] == 0:
            self.columns = {}
        for name, values in told["charts"]["columns"].items():
            self.columns[name] = [*self.columns.get(name, [None] * told["since"]), *values]
        self.generation, self.told = told["generation"], told
        return told


def write(run_dir, events) -> None:
    (run_dir / EVENTS).write_text("".join(json.dumps(one) + "\n" for one in events), "utf-8")


def test_increments_add_up_to_the_whole(healthy_run, healthy_events):
    page = Look(healthy_run)
    for end in (1, 2, 3, 3, 20, 41, len(healthy_events)):
        write(healthy_run, healthy_events[:end])
        page.at()
    assert page.told["since"] > 0
    whole = Look(healthy_run)
    whole.at()
    assert page.columns == whole.columns
    assert {**page.told, "generation": "", "since": 0} | {"now": 0, "revision": 0} == {
        **whole.told,
        "generation": "",
        "now": 0,
        "revision": 0,
    } | {"charts": page.told["charts"]}
    curves = Curves.of(epoch_events(healthy_events), page.followed.thresholds)
    assert page.columns["gap"] == pytest.approx(curves.gap, rel=1e-6)
    assert page.columns["std"][2:] == pytest.approx(curves.std[2:], rel=1e-6)
    # The panels show the total loss already.
    names = ["unifrac_loss", "nuc_loss", "nuc_accuracy", "grad_norm"]
    assert [one["name"] for one in page.told["charts"]["metrics"]][:4] == names
    assert page.columns["val.unifrac_r2"][-1] == pytest.approx(
        healthy_events[-1]["metrics"]["val"]["unifrac_r2"], rel=1e-6
    )


def test_a_resume_or_another_file_begin_anew(healthy_run, healthy_events, make_event):
    page = Look(healthy_run)
    page.at()
    assert len(page.columns["epoch"]) == 30
    resumed = make_event("on_resume", epoch=10, step=120)
    again = [one for one in healthy_events if one["epoch"] == 10]
    write(healthy_run, [*healthy_events, resumed, *again])
    page.at()
    assert page.told["since"] == 0
    assert page.columns["epoch"] == [*range(1, 12)]
    (healthy_run / EVENTS).unlink()
    write(healthy_run, healthy_events[:7])
    page.at()
    assert page.told["since"] == 0
    assert len(page.columns["epoch"]) == len(epoch_events(healthy_events[:7]))


def test_the_row_of_numbers_is_that_of_the_console(healthy_run, healthy_events):
    before, last = epoch_events(healthy_events)[-2:]
    line = epoch_line(last, before["val_loss"], 30)
    tiles = {one["label"]: one for one in Look(healthy_run).at()["headline"]}
    for label in ("Training loss", "Validation loss", "Gap", "Δ validation loss"):
        assert f" {tiles[label]['value']}" in line
    assert tiles["Epoch"]["value"] == "30"
    assert tiles["Best"] == {
        "label": "Best",
        "value": "epoch 27",
        "note": f"val_loss {number(last['best']['value'])}",
        "tone": "",
    }
    assert "Throughput" not in tiles  # these facts say nothing of it


def test_a_row_of_the_list(healthy_run, healthy_events):
    nested = healthy_run.parent / "outputs" / "runs" / healthy_run.name
    nested.parent.mkdir(parents=True)
    healthy_run.rename(nested)
    board = Board(healthy_run.parent / "outputs")
    board.scan()
    (row,) = list_view(board.entries(), board.folder)
    best = healthy_events[-1]["best"]
    assert {key: row[key] for key in row if key not in ("key", "started", "updated")} == {
        "name": healthy_run.name,
        "folder": "runs",
        "state": "died",
        "is_asked_to_stop": False,
        "loop": "pretrain",
        "data": "?",
        "num_done": 30,
        "num_epochs": None,
        "best": {"epoch": 27, "metric": "val_loss", "value": number(best["value"])},
    }
    assert row["started"] == row["updated"] == 1795270193.0


def test_what_ends_a_run_is_told(healthy_run, healthy_events, make_event):
    (healthy_run / "previous.pt").touch()  # enough to go on from
    page = Look(healthy_run)
    died = page.at()["end"]
    assert died["text"].startswith("Died after epoch 30: its process is gone")
    assert died["command"] == f"aam-train resume={healthy_run}"
    request_stop(healthy_run, "me")  # nobody is there to read it
    assert not page.at()["run"]["is_asked_to_stop"]
    write(healthy_run, [*healthy_events, make_event("on_stop", epoch=30, reason="request of me")])
    assert page.at()["end"]["text"] == ("Stopped after epoch 30: request of me; 02:06 of training")
    error = {"type": "ValueError", "message": "<b>no</b>", "traceback": "Traceback …"}
    write(healthy_run, [*healthy_events, make_event("on_exception", error=error)])
    assert page.at()["end"] == {
        "text": "Failed after epoch 30: ValueError: <b>no</b>; 02:06 of training",
        "traceback": "Traceback …",
        "command": None,
    }
    test = make_event("on_test_end", epoch=26, metrics={"train": {}, "val": {}, "test": {"r2": 1}})
    write(healthy_run, [*healthy_events, test])
    told = page.at()
    assert told["end"]["text"] == "Finished; 02:06 of training"
    assert told["test"] == {"table": [["Test set", ""], ["R²", "1.0000"]], "sentences": []}


def test_findings_come_with_a_command_to_copy(healthy_run, healthy_events, make_event):
    advice = f"go on at half the rate: aam-train resume={healthy_run} optimizer.lr=5e-5"
    old = {"kind": "plateau", "evidence": "flat", "advice": "wait"}
    new = {"kind": "short_warmup", "evidence": "jumps", "advice": advice}
    events = epoch_events(healthy_events)[:4]
    for event, found in zip(events, ([old], [old], [], [new]), strict=True):
        event["diagnostics"] = found
    write(healthy_run, [make_event("on_start"), *events])
    told = Look(healthy_run).at()
    assert told["findings"] == [
        {
            "kind": "short warmup",
            "epochs": "epoch 4",
            "holds": True,
            "evidence": "jumps",
            "advice": "go on at half the rate",
            "command": f"aam-train resume={healthy_run} optimizer.lr=5e-5",
        },
        {
            "kind": "plateau",
            "epochs": "epochs 1-2",
            "holds": False,
            "evidence": "flat",
            "advice": "wait",
            "command": None,
        },
    ]
    assert told["charts"]["panels"]["found"] == {"plateau": [(1, 2)], "short_warmup": [(4, 4)]}


def test_a_target_has_baselines_and_a_verdict(supervised_run):
    true = [[float(age)] for age in range(10)]
    near = [[age + 1.0] for (age,) in true]
    far = [[5.0]] * 10
    run_dir = supervised_run(true, near, {"mean": far, "knn_unifrac": true})
    told = Look(run_dir).at()
    (mae,) = (one for one in told["charts"]["metrics"] if one["name"] == "mae")
    assert mae["columns"] == {"val": "val.mae"}
    assert [(one["name"], one["text"]) for one in mae["baselines"]] == [
        ("k-NN on UniFrac", "0.0000"),
        ("training mean", "2.5000"),
    ]
    assert mae["last"] == {"val": "1.1000"}
    assert [row[0] for row in told["test"]["table"][1:]] == [
        "  k-NN on UniFrac", "> aam (finetune)", "  training mean"
    ]  # fmt: skip
    events = [json.loads(line) for line in (run_dir / EVENTS).read_text("utf-8").splitlines()]
    target = events[0]["meta"]["target"]
    assert told["test"] == judgement(events[-1], target, "finetune", 10)._asdict()


def test_a_model_that_is_fitted_at_once_shows_its_result(healthy_run, make_event, epoch_event):
    scores = {"train": {}, "val": {"total_loss": 0.5, "mae": 12.0}, "test": {}}
    write(healthy_run, [make_event("on_start"), epoch_event(0, 0.4, 0.5, step=0, metrics=scores)])
    told = Look(healthy_run).at()
    assert told["is_fitted_at_once"]
    assert [(one["label"], one["value"]) for one in told["headline"]] == [
        ("Total loss", "0.5000"),
        ("MAE", "12.0000"),
    ]


def test_ten_thousand_epochs_are_thinned_and_go_on(healthy_run, make_event, epoch_event):
    best = {"epoch": 4_444, "metric": "val_loss", "value": 0.5}
    losses = [1.0 + (epoch % 7) / 100 for epoch in range(10_000)]
    losses[1_234] = 50.0  # what one looks for: a spike of one epoch
    event = epoch_event(0, 1.0, 1.0, best=best)
    events = [{**event, "epoch": n, "val_loss": loss} for n, loss in enumerate(losses)]
    write(healthy_run, [make_event("on_start"), *events[:-1]])
    page = Look(healthy_run)
    page.at()
    assert 500 < len(page.columns["epoch"]) <= 2_100
    assert {1, 1_235, 4_445, 9_999} <= set(page.columns["epoch"])
    write(healthy_run, [make_event("on_start"), *events])
    entry = page.board.entry(page.key)
    more = run_view(entry, page.followed, page.board.folder, 9_999, page.generation)
    assert more["charts"]["columns"]["epoch"] == [10_000]


@given(
    st.lists(st.none() | st.floats(-9, 9), min_size=1, max_size=300),
    st.integers(1, 80),
    st.data(),
)
def test_thinning_keeps_extremes_ends_and_what_it_is_told_to(curve, limit, data):
    always = data.draw(st.sets(st.integers(0, len(curve) - 1), max_size=3))
    indices = kept([curve], len(curve), always, limit)
    assert indices == sorted(set(indices))
    assert {0, len(curve) - 1, *always} <= set(indices)
    assert len(indices) <= max(limit, 2) + 2 + len(always)
    values = [value for value in curve if value is not None]
    shown = [curve[index] for index in indices if curve[index] is not None]
    if values:
        assert (min(shown), max(shown)) == (min(values), max(values))
