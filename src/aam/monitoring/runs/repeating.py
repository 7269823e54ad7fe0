"""How to run a run again, and what may then come out differently."""

import hashlib
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.meta import installed_versions, own_git_state
from aam.facts.reader import read_events
from aam.facts.settings import OVERRIDES, read_overrides

SAME, CHANGED, GONE = "same", "changed", "gone"


def how_to_repeat(run_dir: Path) -> dict[str, Any]:
    """Everything that it takes to run it again, then and now.

    ``command`` for just this run, also if it was a job of a sweep, and the ``working_dir`` to give
    it in; ``resumes`` with the ``epoch`` (from 0) and the settings that they changed; ``data``:
    key → ``path``, ``sha256`` and ``state`` of the file on disk (``same``, ``changed``, ``gone``);
    ``versions``: package → ``then`` and ``now``; ``git``: ``then`` and ``now``, each ``commit`` and
    ``dirty``; ``may_differ``: sentences.

    Raises
    ------
    UserError
        If the facts hold no start.
    """
    starts = [one for one in read_events(run_dir) if one["moment"] in ("on_start", "on_resume")]
    if not starts or starts[0]["moment"] != "on_start":
        raise UserError(f"the facts of {run_dir} hold no start, so nothing says what ran")
    meta = starts[0]["meta"]
    now = installed_versions()
    told: dict[str, Any] = {
        "command": _command(run_dir, meta),
        "working_dir": meta.get("working_dir"),
        "resumes": [
            {"epoch": one["epoch"], "changes": _changes(one["meta"])}
            for one in starts[1:]
            if one["moment"] == "on_resume"
        ],
        "data": {
            name: {"path": file["path"], "sha256": file["sha256"], "state": _state(file)}
            for name, file in meta.get("inputs", {}).items()
        },
        "versions": {
            name: {"then": then, "now": now.get(name)}
            for name, then in meta.get("versions", {}).items()
        },
        "git": {"then": meta.get("git", {}), "now": own_git_state()},
        "device": meta.get("device"),
        "hostname": meta.get("hostname"),
    }
    return told | {"may_differ": [*_differences(told), *_of_resumes(starts)]}


def _command(run_dir: Path, meta: Mapping[str, Any]) -> str | None:
    """The overrides make just this run; the command line may have made many."""
    if (run_dir / OVERRIDES).is_file():
        return shlex.join(["aam-train", *read_overrides(run_dir)])
    command = meta.get("command")
    return None if command is None else str(command)


def _changes(meta: Mapping[str, Any]) -> list[str]:
    """The settings that a resume was given."""
    try:
        words = shlex.split(meta.get("command", ""))
    except ValueError:
        return []
    return [word for word in words[1:] if "=" in word and not word.startswith("resume=")]


def _state(file: Mapping[str, Any]) -> str:
    path = Path(file["path"])
    try:
        if path.stat().st_size != file.get("num_bytes", path.stat().st_size):
            return CHANGED
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return GONE
    return SAME if digest == file["sha256"] else CHANGED


def _differences(told: Mapping[str, Any]) -> Iterator[str]:
    """What may keep it from coming out the same, in sentences."""
    if told["command"] is None:
        yield "Nothing says what the command was."
    yield from _of_code(told["git"]["then"], told["git"]["now"])
    for name, version in told["versions"].items():
        if version["then"] != version["now"]:
            yield f"{name} was {version['then']}, and is {version['now'] or 'not installed'} here."
    for name, file in told["data"].items():
        if file["state"] == CHANGED:
            yield f"{name}: {file['path']} is not the file that was read: its content has changed."
        elif file["state"] == GONE:
            yield f"{name}: {file['path']} is gone, or cannot be read."
    if told["device"] != "cpu":
        yield (
            f"It ran on {told['device']} of {told['hostname']}: such devices round differently, "
            "and some add in another order every time."
        )
    elif told["hostname"] != socket.gethostname():
        yield f"It ran on {told['hostname']}: another processor may round differently."


def _of_resumes(starts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a run did not go on with as it was started."""
    first = starts[0]["meta"]
    for one in starts[1:]:
        meta = one["meta"]
        other = [
            name
            for name, version in meta.get("versions", {}).items()
            if version != first.get("versions", {}).get(name)
        ]
        other += [name for name in ("device", "hostname") if meta.get(name) != first.get(name)]
        if meta.get("git") != first.get("git"):
            other.append("code")
        if other:
            yield f"After epoch {one['epoch']} it went on with another {', '.join(other)}."


def _of_code(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if then.get("commit") is None:
        yield "It ran an installed package, not a git checkout: its version is all that is known."
        return
    if then.get("dirty"):
        yield "The code had changes that no commit holds; what they were is not known."
    if now.get("commit") != then["commit"]:
        yield f"The code here is {'another commit' if now.get('commit') else 'no git checkout'}."
    elif now.get("dirty"):
        yield "The code here has changes that no commit holds."
