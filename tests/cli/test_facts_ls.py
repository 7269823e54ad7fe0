"""``aam-facts ls``, and how all verbs find the runs that are meant."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aam.facts.reader import EVENTS
from aam.facts.recorder import Recorder

TESTED = ("on_test_end", {"epoch": 1, "metrics": {"test": {"unifrac_r2": 0.5, "total_loss": 0.3}}})
TARGET: dict[str, Any] = {
    "task": "regression",
    "columns": ["age"],
    "classes": [],
    "group_column": None,
    "split": {"kind": "random", "fold": 0, "folds": 5, "repeats": 1, "seed": 0},
}
PREDICTED = ("on_test_end", {"epoch": 1, "metrics": {"test": {"mae": 3.5, "baseline_mean_mae": 9}}})
GIVE = "give its folder, a part of its name, or latest"
TAKES = "there is FOLDER …, state=STATE, loop=LOOP, sort=KEY and --json"
TABLE = """\
run     loop      data      state     epochs  best val_loss               test  last fact   took
a_long  pretrain  e/t.biom  finished     2/4     0.2500 (2)  unifrac_r2 0.5000        2 d  01:00
b_age   finetune  ?         finished     2/4     0.2500 (2)         mae 3.5000        4 h  01:00
c_two   pretrain  ?         stopped      2/4     0.2500 (2)                           3 h  01:00
d_two   pretrain  ?         failed       2/4     0.2500 (2)                           2 h  01:00
e_two   pretrain  ?         died         2/4     0.2500 (2)                           1 h  01:00
f_none                      empty
"""


def made_hours_ago(run: Path, hours: int) -> Path:
    when = datetime.now(UTC) - timedelta(hours=hours, minutes=5)
    content = (run / EVENTS).read_text()
    (run / EVENTS).write_text(re.sub(r"[\d-]{10}T[\d:]{8}Z", f"{when:%Y-%m-%dT%H:%M:%SZ}", content))
    return run


@pytest.fixture
def five(record, outputs):
    """A run of every state but running, the oldest first by name and by time."""
    table = {"inputs": {"table": {"path": "/data/e/t.biom", "sha256": "a", "num_bytes": 1}}}
    made_hours_ago(record("a_long", TESTED, **table), 50)
    made_hours_ago(record("b_age", PREDICTED, loop="finetune", target=TARGET), 4)
    made_hours_ago(record("c_two", ("on_stop", {"reason": "SIGTERM"})), 3)
    error = {"type": "ValueError", "message": "m", "traceback": ""}
    made_hours_ago(record("d_two", ("on_exception", {"error": error})), 2)
    died = made_hours_ago(record("e_two"), 1)
    (outputs / "runs" / "f_none" / "facts").mkdir(parents=True)
    (outputs / "runs" / "f_none" / EVENTS).touch()
    return died


def names(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_the_table(aam_facts, five):
    code, out, err = aam_facts("ls")
    assert (code, err) == (0, "")
    assert out == TABLE


def test_the_document(aam_facts, five, outputs):
    code, out, err = aam_facts("ls", "loop=finetune", "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    started = row.pop("started")
    assert started == row.pop("updated")
    assert 4 * 3600 < row.pop("age_s") < 5 * 3600
    assert row == {
        "name": "b_age",
        "run_dir": str(outputs / "runs" / "b_age"),
        "state": "finished",
        "loop": "finetune",
        "data": "?",
        "num_done": 2,
        "num_epochs": 4,
        "best": {"epoch": 1, "metric": "val_loss", "value": 0.25},
        "test": {"metric": "mae", "value": 3.5},
        "total_time_s": 60.0,
        "job": None,
    }


def test_jobs_of_a_cluster_are_told(aam_facts, record, outputs):
    runs = [record(f"run_x_{job}") for job in ("job000", "job001", "job002")]
    (outputs / "runs" / "jobs").mkdir()
    for job, lines in (("job000", "12.0 started n1"), ("job001", "\x1b[1m exited 2 no t.biom")):
        (outputs / "runs" / "jobs" / f"{job}.log").write_text(f"2026-11-21T20:00:00Z {lines}\n")
    code, out, err = aam_facts("ls", "sort=name")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split()[3:6] == ["state", "job", "epochs"]
    told = [line.partition("died")[2].partition("2/4")[0].strip() for line in out.splitlines()[1:]]
    assert told == ["12.0 running", "", ""]
    first, second, third = json.loads(aam_facts("ls", "sort=name", "--json")[1])
    assert first["job"] == {"id": "12.0", "state": "running", "said": ""}
    assert (second["job"], third["job"]) == (None, None)
    assert aam_facts("ls", runs[2])[1].split()[3:5] == ["state", "epochs"]


def test_a_run_that_goes_on(aam_facts, record, outputs):
    run = record("run_a", ("on_stop", {"reason": "x"}))
    recorder = Recorder(run, loop="pretrain", metric_names=["unifrac_r2"], resume=True)
    assert aam_facts("ls", "state=stopped")[1].split().count("run_a") == 1
    recorder.emit("on_resume", epoch=2, meta=json.loads(first_line(run))["meta"])
    assert names(aam_facts("ls", "state=running")[1]) == ["run_a"]
    recorder.close()
    assert names(aam_facts("ls", "state=died")[1]) == ["run_a"]


def first_line(run: Path) -> str:
    return (run / EVENTS).read_text().splitlines()[0]


def test_choosing_and_sorting(aam_facts, five, outputs):
    assert names(aam_facts("ls", "state=died,failed")[1]) == ["d_two", "e_two"]
    assert names(aam_facts("ls", "sort=name", "loop=finetune,mlp")[1]) == ["b_age"]
    assert names(aam_facts("ls", "sort=updated", outputs / "runs" / "c_two", "a")[1]) == [
        "a_long",
        "c_two",
    ]
    assert aam_facts("ls", "state=running") == (0, "No run is as asked for.\n", "")
    assert aam_facts("ls", "state=running", "--json") == (0, "[]\n", "")


def test_the_best_stands_last(aam_facts, record):
    for name, value in (("run_x", 0.1), ("run_y", None), ("run_z", -3.0), ("run_w", 0.7)):
        record(name, ("on_test_end", {"epoch": 1, "metrics": {"test": {"unifrac_r2": value}}}))
    for name, value in (("run_p", 2.0), ("run_q", 1.0)):
        metrics = {"test": {"mae": value}}
        record(name, ("on_test_end", {"epoch": 1, "metrics": metrics}), target=TARGET)
    found = names(aam_facts("ls", "sort=test")[1])
    assert found == ["run_y", "run_p", "run_q", "run_z", "run_x", "run_w"]


def test_runs_of_one_name_are_told_apart(aam_facts, record, outputs):
    for sweep in ("exp_one", "exp_two"):
        record(f"../multiruns/{sweep}/run_job000")
    assert set(names(aam_facts("ls")[1])) == {"exp_one/run_job000", "exp_two/run_job000"}
    folder = outputs / "multiruns"
    code, out, err = aam_facts("show", "job000")
    assert (code, out) == (2, "")
    assert err == (
        f"job000 may be {folder / 'exp_one' / 'run_job000'}, {folder / 'exp_two' / 'run_job000'}: "
        "give one of them\n"
    )
    assert aam_facts("show", folder / "exp_two")[1].splitlines()[1].endswith("exp_two/run_job000")


def test_a_run_that_links_lead_to_is_one_run(aam_facts, record, outputs):
    run = record("run_x")
    (outputs / "all").symlink_to("runs")
    (outputs / "runs" / "chosen").symlink_to("run_x")
    for word in ("run_x", "x", "chosen", "latest"):
        code, out, err = aam_facts("show", word)
        assert (code, err) == (0, "")
        assert Path(out.splitlines()[1]).resolve() == run


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("c_two", "c_two"),
        ("c", "c_two"),  # between two _, though others have a c in their name
        ("long", "a_long"),
        ("_a", "b_age"),
        ("latest", "e_two"),
    ],
)
def test_a_run_is_found_by_its_name(aam_facts, five, word, found):
    code, out, err = aam_facts("show", word)
    assert (code, err) == (0, "")
    assert out.startswith(f"{found}: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "two"], "two may be c_two, d_two, e_two: give one of them"),
        (["show", "b_aeg"], "no run below {0} is called b_aeg; did you mean b_age?"),
        (["show", "xyz"], "no run below {0} is called xyz; aam-facts ls names them"),
        (["show", "x/y"], "x/y does not exist: give a run folder, or the name of a run"),
        (
            ["show", "{0}"],
            "{0} holds a_long, b_age, c_two, d_two, e_two and 1 more: give one of them",
        ),
        (["show"], f"aam-facts show takes one RUN, and none is given: {GIVE}"),
        (["show", "c", "b"], f"aam-facts show takes one RUN, not 2: {GIVE}"),
        (["ls", "stat=died"], f"aam-facts ls takes no stat=died: {TAKES}; did you mean state=?"),
        (
            ["ls", "state=dead"],
            "state=dead is unknown to aam-facts ls: there is running, finished, stopped, failed, "
            "died, empty; did you mean died?",
        ),
        (["ls", "sort="], "sort= is empty: give it a value, or leave it out"),
        (["ls", "sort=name", "sort=best"], "sort= is given twice: give it once"),
        (["ls", "-l"], f"aam-facts ls takes no -l: {TAKES}"),
        (["ls", "{0}/x"], "{0}/x does not exist: give a run folder, or the name of a run"),
        (["show", ""], f'a RUN is empty (""): {GIVE}'),
        (["ls", ""], f'a RUN is empty (""): {GIVE}'),
        (
            ["show", "{0}/runs/b_age/facts/events.jsonl"],
            "{0}/runs/b_age/facts/events.jsonl is no folder: give a run folder, or the name of a "
            "run",
        ),
        (["tail", "c", "n=ten"], "n=ten is no number of epochs: give one such as n=10"),
    ],
)
def test_a_mistake_gets_one_sentence(aam_facts, five, outputs, words, sentence):
    expected = (2, "", sentence.format(outputs) + "\n")
    assert aam_facts(*(word.format(outputs) for word in words)) == expected


def test_without_any_run(aam_facts, outputs):
    sentence = "so nothing was run from here: give a folder, or set AAM_OUTPUTS"
    assert aam_facts("ls") == (2, "", f"{outputs} does not exist, {sentence}\n")
    outputs.mkdir()
    assert aam_facts("ls") == (
        2, "", f"{outputs} holds no run: give a folder such as outputs\n"
    )  # fmt: skip
    assert aam_facts("show", "latest")[0] == 2
