"""``aam-facts reproduce``: the command, and what it honestly says may differ."""

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from aam.facts.meta import installed_versions
from aam.facts.reader import read_events
from aam.facts.recorder import Recorder
from aam.monitoring.runs import repeating

OLDER = Path(__file__).parents[1] / "fixtures" / "older_run"
CODE = {"commit": "a" * 40, "dirty": False}


@pytest.fixture
def here(monkeypatch) -> dict[str, Any]:
    """What ``meta`` says of a run that was made by the code, the packages and the machine here."""
    monkeypatch.setattr(repeating, "own_git_state", lambda: dict(CODE))
    return {"git": CODE, "versions": installed_versions(), "hostname": socket.gethostname()}


def described(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"path": str(path), "sha256": digest, "num_bytes": len(content)}


def test_a_job_of_a_sweep_gets_a_command_of_its_own(aam_facts, record, here, tmp_path):
    table = tmp_path / "table.biom"
    table.write_text("1 2 3")
    run = record("run_x", **here, inputs={"table": described(table)})
    code, out, err = aam_facts("reproduce", run)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["cd /home/ana/study", "aam-train 'run_name=a b' trainer.epochs=4"]
    assert lines[3:5] == [
        "Data     now   SHA-256 then" + " " * 54 + "file",
        f"  table  same  {described(table)['sha256']}  {table}",
    ]
    assert lines[-1] == (
        "Code, data, versions and machine are those of then: it comes out the same."
    )
    (run / ".hydra" / "overrides.yaml").unlink()
    assert aam_facts("reproduce", run)[1].splitlines()[1] == "aam-train --multirun run_name=x,y"


def test_what_may_differ_is_said(aam_facts, record, here, tmp_path):
    files = {name: tmp_path / name for name in ("table", "tree", "metadata")}
    for path in files.values():
        path.write_text("1 2 3")
    run = record(
        "run_x",
        git={"commit": "b" * 40, "dirty": True},
        versions=here["versions"] | {"torch": "1.0", "gone": "2"},
        hostname="elsewhere",
        inputs={name: described(path) for name, path in files.items()},
    )
    files["tree"].write_text("1 2 4")
    files["metadata"].unlink()
    told = json.loads(aam_facts("reproduce", run, "--json")[1])
    assert {name: one["state"] for name, one in told["data"].items()} == {
        "table": "same", "tree": "changed", "metadata": "gone",
    }  # fmt: skip
    assert told["versions"]["torch"] == {"then": "1.0", "now": here["versions"]["torch"]}
    assert told["may_differ"] == [
        "The code had changes that no commit holds; what they were is not known.",
        "The code here is another commit.",
        f"torch was 1.0, and is {here['versions']['torch']} here.",
        "gone was 2, and is not installed here.",
        f"tree: {files['tree']} is not the file that was read: its content has changed.",
        f"metadata: {files['metadata']} is gone, or cannot be read.",
        "It ran on elsewhere: another processor may round differently.",
    ]
    out = aam_facts("reproduce", run)[1]
    assert out.startswith(f"git checkout {'b' * 40}   # in the checkout of aam\n")


def test_resumes_that_changed_something_are_further_lines(aam_facts, record, here):
    run = record("run_x", **here, device="cuda")
    recorder = Recorder(run, loop="pretrain", metric_names=["unifrac_r2"], resume=True)
    meta = read_events(run)[0]["meta"]
    changed = meta | {"command": "aam-train resume=/r trainer.epochs=9 'run_name=a b'"}
    recorder.emit("on_resume", epoch=2, meta=meta | {"command": "aam-train resume=/r"})
    recorder.emit("on_resume", epoch=2, meta=changed | {"device": "cpu"})
    recorder.close()
    lines = aam_facts("reproduce", run)[1].splitlines()
    assert lines[2:4] == [
        "aam-train resume=RUN trainer.epochs=9 'run_name=a b'   # after epoch 2; RUN is its folder",
        "",
    ]
    assert lines[-2:] == [
        f"  It ran on cuda of {socket.gethostname()}: such devices round differently, and some add "
        "in another order every time.",
        "  After epoch 2 it went on with another device.",
    ]


def test_a_run_of_an_earlier_version(aam_facts):
    lines = aam_facts("reproduce", OLDER)[1].splitlines()
    assert lines[1] == "cd /home/ana/study"
    assert lines[2].startswith("aam-train data=biom data.table=../data/cfs/table.biom ")
    assert " split.fold=0 " in lines[2]  # the command line had range(10)


def test_without_a_start_there_is_nothing_to_say(aam_facts, record):
    run = record("run_x")
    events = run / "facts" / "events.jsonl"
    events.write_text("".join(events.read_text().splitlines(keepends=True)[1:]))
    sentence = f"the facts of {run} hold no start, so nothing says what ran\n"
    assert aam_facts("reproduce", run) == (2, "", sentence)
