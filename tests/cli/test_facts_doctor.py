"""``aam-facts doctor`` finds what is wrong with a run folder, and nothing else."""

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aam.cli.train import main
from aam.facts.presence import SIGN, Presence
from aam.facts.reader import EVENTS
from aam.facts.recorder import Recorder
from aam.monitoring.runs.doctor.checkup import examine

STOPPED = ("on_stop", {"reason": "SIGTERM"})
SCALARS = Path("facts", "scalars.csv")
MYSELF = f"process {os.getpid()} on {socket.gethostname()}"


def found(aam_facts, run: Path) -> list[str]:
    """Level, place and words of each finding."""
    before = content_of(run)
    code, out, err = aam_facts("doctor", run, "--json")
    assert err == ""
    (document,) = json.loads(out)
    findings = document["findings"]
    is_whole = not {"error", "warning"} & {one["level"] for one in findings}
    assert document["is_whole"] == is_whole == (code == 0)
    assert content_of(run) == before, "doctor has changed something"
    assert all(one["advice"] for one in findings)
    return [f"{one['level']} {one['where']}: {one['what']}" for one in findings]


def content_of(run: Path) -> dict[Path, str]:
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.rglob("*")
        if path.is_file()
    }


def edit(run: Path, name: str | Path, pattern: str, put: str) -> None:
    path = run / name
    changed, times = re.subn(pattern, put, path.read_text(), count=1, flags=re.DOTALL)
    assert times == 1
    path.write_text(changed)


def lines(run: Path) -> list[str]:
    return (run / EVENTS).read_text().splitlines(keepends=True)


def rewrite(run: Path, new: list[str]) -> None:
    (run / EVENTS).write_text("".join(new))


def test_a_healthy_run_is_whole(aam_facts, record):
    run = record("run_x", STOPPED)
    assert found(aam_facts, run) == []
    assert aam_facts("doctor", run) == (0, "run_x: whole\n", "")


def test_a_real_training_is_whole_at_any_time(aam_facts, outputs, tmp_path, monkeypatch):
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "cache"))
    words = ("trainer.epochs=2", "loop.min_updates=2", "model.num_clades=8", "data.token_limit=32")
    quiet = ("trainer.num_threads=1", "logging=none", "logging.console=false")
    monkeypatch.setattr(sys, "argv", ["aam-train", *words, *quiet])
    seen: list[list[str]] = []
    emit = Recorder.emit

    def emit_and_look(self: Recorder, moment: str, **fields: object) -> dict[str, object]:
        event = emit(self, moment, **fields)
        assert self.run_dir is not None
        seen.append([one.what for one in examine(self.run_dir)])
        return event

    monkeypatch.setattr(Recorder, "emit", emit_and_look)
    assert main() == 0
    assert len(seen) > 5
    assert {what for one in seen for what in one} == {f"{MYSELF} is writing"}
    monkeypatch.setattr(Recorder, "emit", emit)
    (run,) = (outputs / "runs").iterdir()
    assert found(aam_facts, run) == []


def test_a_run_that_is_stopped_and_resumed_is_whole(aam_facts, record):
    run = record("run_x", STOPPED)
    recorder = Recorder(run, loop="pretrain", metric_names=["unifrac_r2"], resume=True)
    recorder.emit("on_resume", epoch=1, meta=json.loads(lines(run)[0])["meta"])
    recorder.emit("on_epoch_end", epoch=1, step=20, train_loss=0.5, val_loss=0.4)
    recorder.emit("on_train_end", epoch=1)
    recorder.emit("on_test_end", epoch=1, metrics={"test": {"unifrac_r2": 0.1}})
    recorder.close()
    assert found(aam_facts, run) == []


Change = Callable[[Path], object]
CASES: dict[str, tuple[Change, list[str]]] = {
    "torn": (
        lambda run: rewrite(run, [*lines(run)[:-1], lines(run)[-1][:50]]),
        ["warning facts/events.jsonl:6: the last line is torn: 50 bytes without an end",
         "warning facts/events.jsonl:5: the run died: its facts end with on_validation_improved"],
    ),
    "foreign": (
        lambda run: rewrite(run, [
            *lines(run)[:2], "\n", "hello\n", "\0\0\n", "[1]\n", '{"schema_version": 2}\n',
            lines(run)[2].replace('"best": {', '"best": {"value": "x", "was": {').replace(
                '}, "diagnostics"', '}}, "diagnostics"'),
            lines(run)[1].replace('"lr": 0.001', '"lr": 1e999'), *lines(run)[2:],
        ]),
        ["error facts/events.jsonl:3: line 3: empty",
         "error facts/events.jsonl:4: lines 4-5: no JSON",
         "error facts/events.jsonl:6: line 6: no JSON object",
         "error facts/events.jsonl:7: line 7: schema_version is 2, and this program reads 1",
         "error facts/events.jsonl:8: line 8: best is not as the schema has it",
         "error facts/events.jsonl:9: line 9: a number that JSON does not have"],
    ),
    "no end": (
        lambda run: rewrite(run, lines(run)[:-1]),
        ["warning facts/events.jsonl:5: the run died: its facts end with on_validation_improved"],
    ),
    "no beginning": (
        lambda run: rewrite(run, lines(run)[1:]),
        ["error facts/events.jsonl:1: the facts begin with on_epoch_end, not with on_start"],
    ),
    "nothing": (
        lambda run: rewrite(run, []),
        ["error facts/events.jsonl: there is no event in it"],
    ),
    "two runs": (
        lambda run: rewrite(run, [*lines(run), *lines(run)]),
        ["error facts/events.jsonl:7: a second on_start: two runs share it"],
    ),
    "two writers": (
        lambda run: rewrite(run, [*lines(run)[:4], lines(run)[1], *lines(run)[4:]]),
        ["error facts/events.jsonl:5: epoch 1 comes after epoch 2 without an on_resume"],
    ),
    "after its end": (
        lambda run: rewrite(run, [*lines(run), lines(run)[3].replace('"epoch": 1', '"epoch": 2'),
                                  lines(run)[-1]]),
        ["error facts/events.jsonl:7: epoch 3 comes after on_stop without an on_resume",
         "error facts/scalars.csv: it has 4 rows where the events have 6",
         "error training_metrics.json: train_loss, val_loss, best_epoch differ from the events"],
    ),
    "another run's line": (
        lambda run: edit(run, EVENTS, '(on_stop", "run_id": ")', r"\1x"),
        ["error facts/events.jsonl:6: its run_id is x{run_id}, not {run_id}"],
    ),
    "a lost epoch": (
        lambda run: rewrite(run, [lines(run)[0], *lines(run)[3:]]),
        ["error facts/scalars.csv:2: rows 2-3 differ from the events",
         "error facts/scalars.csv: it has 4 rows where the events have 2",
         "error training_metrics.json: train_loss, val_loss differ from the events",
         "warning facts/events.jsonl:2: epochs are missing before epoch 2: 1"],
    ),
    "an epoch far away": (
        lambda run: rewrite(run, [
            *lines(run)[:-1], lines(run)[3].replace('"epoch": 1', '"epoch": 1' + 20 * "0"),
            lines(run)[-1]]),
        ["error facts/scalars.csv: it has 4 rows where the events have 6",
         "error training_metrics.json: train_loss, val_loss, best_epoch differ from the events",
         f"warning facts/events.jsonl:6: epochs are missing before epoch 1{19 * '0'}1: "
         f"3-1{20 * '0'}"],
    ),
    "not finite": (
        lambda run: edit(run, EVENTS, r'"nonfinite": \[\], (.*)}\n(.*improved)',
                         r'"nonfinite": ["val_loss", "metrics.val.auroc"], \1}\n\2'),
        ["warning facts/events.jsonl:1: val_loss was NaN or infinite",
         "note facts/events.jsonl:1: metrics.val.auroc was NaN or infinite"],
    ),
    "scalars": (
        lambda run: edit(run, SCALARS, "0.125", "0.126"),
        ["error facts/scalars.csv:4: row 4 differs from the events"],
    ),
    "scalars short": (
        lambda run: edit(run, SCALARS, r"1,val,[^\n]*\n$", "1,va"),
        ["error facts/scalars.csv: it has 3 rows where the events have 4",
         "warning facts/scalars.csv:5: the last row is torn"],
    ),
    "scalars header": (
        lambda run: edit(run, SCALARS, ",lr,", ",rate,"),
        ["error facts/scalars.csv:1: the header lacks lr"],
    ),
    "no scalars": (
        lambda run: (run / SCALARS).unlink(),
        ["error facts/scalars.csv: it does not exist"],
    ),
    "metrics": (
        lambda run: edit(run, "training_metrics.json", '"best_epoch": 2', '"best_epoch": 1'),
        ["error training_metrics.json: best_epoch differs from the events"],
    ),
    "metrics torn": (
        lambda run: (run / "training_metrics.json").write_text("[1, 2"),
        ["error training_metrics.json: it cannot be read: Expecting ',' delimiter: line 1 column 6 "
         "(char 5)"],
    ),
    "metrics nested deeply": (
        lambda run: (run / "training_metrics.json").write_text("[" * 100_000),
        ["error training_metrics.json: it cannot be read: maximum recursion depth exceeded while "
         "decoding a JSON array from a unicode string"],
    ),
    "checkpoint": (
        lambda run: (run / "last.pt").write_bytes((run / "last.pt").read_bytes()[:-1]),
        ["error last.pt: the checksum at its end does not fit: it was cut short or altered"],
    ),
    "both checkpoints": (
        lambda run: [(run / name).write_bytes(b"") for name in ("last.pt", "previous.pt")],
        ["error last.pt: the checksum at its end does not fit: it was cut short or altered",
         "error previous.pt: the checksum at its end does not fit: it was cut short or altered"],
    ),
    "a flipped bit": (
        lambda run: (run / "best_model.pt").write_bytes(
            b"W" + (run / "best_model.pt").read_bytes()[1:]),
        ["error best_model.pt: the checksum at its end does not fit: it was cut short or altered"],
    ),
    "no model": (
        lambda run: (run / "best_model.pt").unlink(),
        ["error model.pt: it leads to best_model.pt, which is gone"],
    ),
    "table": (
        lambda run: (run / "predictions" / "val_unifrac.tsv").unlink(),
        ["warning predictions/val_unifrac.tsv: the facts name it as val_unifrac, and it is gone"],
    ),
    "a name that no file can have": (
        lambda run: rewrite(run, [
            line.replace("predictions/val_unifrac.tsv", "x" * 300) for line in lines(run)]),
        [f"warning {'x' * 300}: the facts name it as val_unifrac, and it is gone"],
    ),
    "torn table": (
        lambda run: edit(run, "predictions/val_unifrac.tsv", "\t0.25", ""),
        ["error predictions/val_unifrac.tsv: row 2 has 1 cells where the header has 2"],
    ),
    "figure": (
        lambda run: (run / "figures" / "losses.svg").write_text("<svg><g>"),
        ["warning figures/losses.svg: it is no whole SVG"],
    ),
    "settings": (
        lambda run: (run / ".hydra" / "config.yaml").unlink(),
        ["warning .hydra/config.yaml: it does not exist"],
    ),
    "left behind": (
        lambda run: (run / "facts" / ".writer.json.7-ab.tmp").write_text("{"),
        ["note facts/.writer.json.7-ab.tmp: a temporary file of 1 bytes, left by a killed process"],
    ),
    "a sign nested deeply": (
        lambda run: (run / SIGN).write_text("[" * 100_000),
        [],
    ),
    "a sign that cannot be shown": (
        lambda run: (run / SIGN).write_text(r'{"pid": "\ud800"}'),
        [],
    ),
    "asked too late": (
        lambda run: (run / "stop_request").touch(),
        ["note stop_request: a request to stop that came too late"],
    ),
    "never began": (
        lambda run: (run / EVENTS).unlink(),
        ["error facts/events.jsonl: it cannot be read: No such file or directory"],
    ),
}  # fmt: skip


def test_a_damaged_checkpoint_has_another_one_beside_it(record):
    run = record("run_x", STOPPED)
    whole = (run / "last.pt").read_bytes()
    for damaged, other in (("last.pt", "previous.pt"), ("previous.pt", "last.pt")):
        (run / damaged).write_bytes(whole[:-1])
        (run / other).write_bytes(whole)
        (finding,) = examine(run)
        assert (finding.where, finding.level) == (damaged, "error")
        assert finding.advice == f"aam-train resume= goes on from {other}"


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_found(aam_facts, record, case):
    change, expected = CASES[case]
    run = record("run_x", STOPPED)
    run_id = json.loads(lines(run)[0])["run_id"]
    change(run)
    assert found(aam_facts, run) == [text.format(run_id=run_id) for text in expected]


def test_who_writes(aam_facts, record):
    run = record("run_x")
    (run / "stop_request").touch()
    (run / "facts" / ".half.tmp").touch()
    presence = Presence(run)
    try:
        told = found(aam_facts, run)
    finally:
        presence.close()
    assert told == [
        f"warning facts/writer.json: {MYSELF} writes here, and the newest start is not its own",
        "note stop_request: a request to stop waits",
    ]


def test_a_process_that_was_killed_left_its_sign(aam_facts, record):
    run = record("run_x", STOPPED)
    presence = Presence(run)
    sign = (run / SIGN).read_text()
    presence.close()
    (run / SIGN).write_text(sign.replace('"born": "', '"born": "1'))  # its id is used again
    what = f"{MYSELF} left without a word, as when it is killed"
    assert found(aam_facts, run) == [f"note facts/writer.json: {what}"]


def test_a_run_that_has_just_begun_is_whole(aam_facts, outputs, monkeypatch):
    run = outputs / "run_x"
    monkeypatch.chdir(outputs.parent)
    recorder = Recorder(run, loop="pretrain", metric_names=[])
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text("loop: {name: pretrain}\n")
    told = found(aam_facts, Path("outputs", "run_x"))
    recorder.close()
    assert told == [f"note facts/writer.json: {MYSELF} is writing"]


def test_a_line_that_is_being_written_is_not_torn(aam_facts, record):
    run = record("run_x")
    presence = Presence(run)
    with (run / EVENTS).open("a") as file:
        file.write('{"schema')
    try:
        assert not any("torn" in one for one in found(aam_facts, run))
    finally:
        presence.close()
    assert any("torn" in one for one in found(aam_facts, run))


def test_many_runs_for_people(aam_facts, record, outputs):
    record("run_a", STOPPED)
    died = record("run_b")
    code, out, err = aam_facts("doctor")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "run_a: whole",
        "run_b: not whole",
        "  warning  facts/events.jsonl:5: the run died: its facts end with on_validation_improved",
        f"           go on with it: aam-train resume={died}",
        "1 of 2 runs are whole.",
    ]
