"""Checks of the files around the facts: checkpoints, artifacts, figures, what was left behind."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.presence import SIGN, writer_of
from aam.facts.seals import unsealed
from aam.facts.settings import CONFIG, read_config
from aam.facts.stopping import REQUEST
from aam.facts.summary import RESUMABLE
from aam.facts.tables import read_tsv
from aam.monitoring.runs.doctor.findings import ERROR, NOTE, WARNING, Finding

Event = dict[str, Any]


def check_files(run_dir: Path, events: Sequence[Event], is_written: bool) -> Iterator[Finding]:
    """Everything in the folder but what is made from the facts line by line."""
    yield from _check_config(run_dir)
    yield from _check_checkpoints(run_dir)
    yield from _check_artifacts(run_dir, events)
    yield from _check_figures(run_dir)
    yield from _check_signs(run_dir, events, is_written)
    if not is_written:
        yield from _check_leftovers(run_dir)


def _check_config(run_dir: Path) -> Iterator[Finding]:
    try:
        read_config(run_dir)
    except UserError as error:
        is_there = (run_dir / CONFIG).exists()
        what = str(error).replace(f"{run_dir}/", "") if is_there else "it does not exist"
        advice = "without it the run cannot go on: bring it back from a backup"
        yield Finding(WARNING, str(CONFIG), what, advice)


def _check_checkpoints(run_dir: Path) -> Iterator[Finding]:
    for path in sorted(run_dir.glob("[!.]*.pt")):
        if path.is_symlink():
            if not path.exists():
                what = f"it leads to {path.readlink()}, which is gone"
                yield Finding(ERROR, path.name, what, "use another checkpoint of the run")
            continue
        try:
            is_whole = unsealed(path.read_bytes()) is not None
        except OSError as error:
            yield Finding(ERROR, path.name, f"it cannot be read: {error.strerror}", "look why")
            continue
        if not is_whole:
            what = "the checksum at its end does not fit: it was cut short or altered"
            yield Finding(ERROR, path.name, what, _instead_of(path))


def _instead_of(path: Path) -> str:
    """What to do without a checkpoint."""
    others = [name for name in RESUMABLE if name != path.name]
    if len(others) < len(RESUMABLE) and _is_whole(path.with_name(others[0])):
        return f"aam-train resume= goes on from {others[0]}"
    return "use another checkpoint of the run, or a backup"


def _is_whole(path: Path) -> bool:
    try:
        return unsealed(path.read_bytes()) is not None
    except OSError:
        return False


def _check_artifacts(run_dir: Path, events: Sequence[Event]) -> Iterator[Finding]:
    """Files that the facts name; of a name that comes again, the newest."""
    newest = {name: path for event in events for name, path in event["artifacts"].items()}
    for name, path in newest.items():
        file = run_dir / path
        try:
            is_there = file.exists()
        except OSError:  # no name that a file can have
            is_there = False
        if not is_there:
            what = f"the facts name it as {name}, and it is gone"
            yield Finding(WARNING, path, what, "bring it back; nothing else holds what was in it")
        elif file.suffix == ".tsv":
            try:
                read_tsv(file)
            except (UserError, OSError) as error:
                what = str(error).replace(f"{file} ", "it ").replace(f"{file}: ", "")
                yield Finding(ERROR, path, what, "bring it back from a backup")


def _check_figures(run_dir: Path) -> Iterator[Finding]:
    for path in sorted((run_dir / "figures").glob("[!.]*.*")):
        is_whole = _WHOLE.get(path.suffix)
        try:
            if is_whole is None or is_whole(path.read_bytes()):
                continue
            what = f"it is no whole {path.suffix[1:].upper()}"
        except OSError as error:
            what = f"it cannot be read: {error.strerror}"
        where = str(path.relative_to(run_dir))
        yield Finding(WARNING, where, what, "draw it anew by aam-facts plot RUN")


_WHOLE: dict[str, Callable[[bytes], bool]] = {
    ".png": lambda content: (
        content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")
    ),
    ".pdf": lambda content: content.startswith(b"%PDF-") and b"%%EOF" in content[-32:],
    ".svg": lambda content: content.rstrip().endswith(b"</svg>"),
}


def _check_signs(run_dir: Path, events: Sequence[Event], is_written: bool) -> Iterator[Finding]:
    """Who writes now, who left without taking its sign along, who asked to stop."""
    sign = writer_of(run_dir)
    starts = [event for event in events if event["moment"] in ("on_start", "on_resume")]
    writer = f"process {sign.get('pid')} on {sign.get('hostname')}"
    if is_written:
        meta = starts[-1]["meta"] if starts else {}
        own = (meta.get("pid"), meta.get("hostname"))
        if starts and own != (sign.get("pid"), sign.get("hostname")):
            what = f"{writer} writes here, and the newest start is not its own"
            advice = "if two processes write here, stop the one that does not belong"
            yield Finding(WARNING, str(SIGN), what, advice)
        else:
            yield Finding(NOTE, str(SIGN), f"{writer} is writing", "look again when it is done")
    elif sign:
        what = f"{writer} left without a word, as when it is killed"
        yield Finding(NOTE, str(SIGN), what, "it does no harm; a resume replaces it")
    if (run_dir / REQUEST).exists():
        if is_written:
            what, advice = "a request to stop waits", "the run takes it before its next epoch"
        else:
            what, advice = "a request to stop that came too late", "a resume takes it away unread"
        yield Finding(NOTE, REQUEST, what, advice)


def _check_leftovers(run_dir: Path) -> Iterator[Finding]:
    for path in sorted([*run_dir.rglob(".*.tmp"), *run_dir.glob(".*.new")]):
        what = f"a temporary file of {path.lstat().st_size} bytes, left by a killed process"
        yield Finding(NOTE, str(path.relative_to(run_dir)), what, "it may be deleted")
