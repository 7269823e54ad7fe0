"""``aam-facts`` meets whatever a folder may hold: never a traceback, never a heavy import."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aam.cli import facts_tail
from aam.facts.reader import EVENTS, read_events
from aam.monitoring.runs import repeating

OLDER = Path(__file__).parents[1] / "fixtures" / "older_run"
VERBS = ("ls", "show", "tail", "doctor", "reproduce")
HEAVY = {"torch", "matplotlib", "pandas", "sklearn", "skbio", "scipy", "hydra", "omegaconf"}
JUNK = st.sampled_from(
    [None, True, -1, 10**400, 0.5, "", "x", "\ud800", [], [1], [None], {}, {"a": 1}, {"epoch": "x"}]
)


@pytest.fixture
def quick(monkeypatch):
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(facts_tail, "sleep", sleep)
    # git is slow, and has nothing to do with what a folder holds.
    monkeypatch.setattr(repeating, "own_git_state", lambda: {"commit": None, "dirty": None})


def check(aam_facts, run: Path) -> None:
    """Every verb says something sensible: what there is, or one sentence why not."""
    for verb in VERBS:
        for options in ((), ("--json",)):
            code, out, err = aam_facts(verb, run, *options)
            failed = verb == "doctor" or "Is a directory" in err
            assert code in ((0, 1, 2) if failed else (0, 2)), f"{verb}: {err}"
            if err and verb != "tail":
                assert (out, err.count("\n")) == ("", 1)
            elif options and verb != "tail":
                json.loads(out, parse_constant=pytest.fail)


def paths_in(value: Any) -> list[tuple[Any, ...]]:
    """Where the values of nested JSON are."""
    if not isinstance(value, dict | list):
        return [()]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [(key, *path) for key, item in items for path in paths_in(item)]
    return [(), *inner]


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_values_of_any_kind_in_any_place(aam_facts, quick, tmp_path_factory, data):
    run = tmp_path_factory.mktemp("fuzz") / "run"
    shutil.copytree(OLDER, run)
    events = [json.loads(line) for line in (run / EVENTS).read_text().splitlines()]
    for _ in range(data.draw(st.integers(1, 3))):
        event = data.draw(st.sampled_from([events[0], events[-1], *events]))
        path = data.draw(st.sampled_from([path for path in paths_in(event) if path]))
        place = event
        for key in path[:-1]:
            place = place[key]
        junk = copy.deepcopy(data.draw(JUNK))
        how = data.draw(st.sampled_from(("put", "remove", "add")))
        if how == "put" or not isinstance(place, dict):
            place[path[-1]] = junk
        elif how == "remove":
            del place[path[-1]]
        else:
            place["later"] = junk
    (run / EVENTS).write_text("".join(json.dumps(event) + "\n" for event in events))
    check(aam_facts, run)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    place=st.integers(0, 25_000),
    length=st.integers(0, 25_000),
    put=st.sampled_from([b"", b"\n", b"\0\xff\xfe\n", b'{"schema_version": 1}\n', b"}" * 99]),
    name=st.sampled_from(
        [EVENTS, EVENTS, Path("facts/scalars.csv"), Path("training_metrics.json")]
    ),
)
def test_bytes_of_any_kind(aam_facts, quick, tmp_path_factory, place, length, put, name):
    run = tmp_path_factory.mktemp("fuzz") / "run"
    shutil.copytree(OLDER, run)
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[:place] + put + content[place + length :])
    for overrides in (run / ".hydra" / "overrides.yaml",):
        overrides.write_bytes(overrides.read_bytes()[:place] + put)
    check(aam_facts, run)


def test_an_earlier_version_lacks_what_came_later(aam_facts, quick):
    started, *_, ended = [json.loads(line) for line in (OLDER / EVENTS).read_text().splitlines()]
    assert "reason" not in ended
    assert "num_epochs" not in started["meta"]
    assert len(read_events(OLDER)) == 15
    check(aam_facts, OLDER)


def test_folders_that_hold_no_facts(aam_facts, quick, tmp_path):
    for name in ("empty", "started/.hydra", "strange/facts/events.jsonl"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        check(aam_facts, tmp_path / Path(name).parts[0])
    file = tmp_path / "file"
    file.write_text("x")
    check(aam_facts, file)


def test_a_run_that_may_not_be_read_keeps_no_other_from_being_told(
    aam_facts, record, monkeypatch, outputs
):
    record("run_ours", ("on_train_end", {}))
    theirs = record("run_theirs", ("on_train_end", {}))
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == theirs / EVENTS:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for words in (("ls",), ("compare", outputs), ("export", f"output={outputs}/x.csv")):
        code, out, err = aam_facts(*words)
        assert (code, err.count("run_theirs"), err.count("\n")) == (0, 1, 1)
        assert "ours" in (out if words[0] != "export" else (outputs / "x.csv").read_text())
    code, out, err = aam_facts("show", theirs)
    assert (code, out, err) == (1, "", f"Permission denied ({theirs / EVENTS})\n")


def test_stays_light(loaded_by, record):
    """Neither torch nor what draws is loaded, and to list runs not even numpy."""
    run = record("run_x", ("on_stop", {"reason": "x"}))
    for verb in VERBS:
        assert HEAVY & loaded_by(verb, run) == set()
