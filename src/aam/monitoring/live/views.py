"""What the live page shows, made of facts: pure functions from them to JSON."""

import shlex
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from aam.facts.presence import MAX_AGE_S
from aam.facts.summary import (
    DIED,
    FAILED,
    FINISHED,
    RUNNING,
    STOPPED,
    RunSummary,
    has_checkpoint,
)
from aam.monitoring import style
from aam.monitoring.curves import Curves
from aam.monitoring.diagnostics import Spell, spells
from aam.monitoring.families.base import RunFacts
from aam.monitoring.live.board import Entry
from aam.monitoring.live.charts import charts_view
from aam.monitoring.live.followed import Event, Followed
from aam.monitoring.scores import of_model
from aam.monitoring.verdict import judgement
from aam.monitoring.wording import duration, number, span

STATE_COLORS = {
    RUNNING: style.BLUE,
    FINISHED: style.GREEN,
    STOPPED: style.ORANGE,
    FAILED: style.VERMILLION,
    DIED: style.GREY,
}
# Of the last epochs, to say how long one takes.
NUM_TIMED = 10
MAX_FINDINGS = 50
_PROGRAM = "aam-train"


def look() -> dict[str, Any]:
    """Colours and names of splits, which are those of the figures."""
    colors = {"orange": style.ORANGE, "sky": style.SKY, "green": style.GREEN, "grey": style.GREY}
    return {
        "colors": colors | {"vermillion": style.VERMILLION} | style.SPLIT_COLORS,
        "names": style.SPLIT_NAMES,
        "states": STATE_COLORS,
    }


def list_view(entries: Sequence[Entry], folder: Path) -> list[dict[str, Any]]:
    """A row for every run."""
    return [row(one, one.summary, folder) for one in entries if one.summary is not None]


def row(entry: Entry, summary: RunSummary, folder: Path) -> dict[str, Any]:
    """What one run comes to: its state, and how far and how good it is."""
    parent = entry.run_dir.parent
    within = parent.relative_to(folder) if parent.is_relative_to(folder) else Path()
    best = summary.best
    return {
        "key": entry.key,
        "name": _text(entry.run_dir.name),
        "folder": "" if within == Path() else _text(within),
        "state": summary.state,
        "is_asked_to_stop": entry.is_running and entry.is_asked_to_stop,
        "loop": summary.loop,
        "data": summary.data,
        "num_done": summary.num_done,
        "num_epochs": summary.num_epochs,
        "best": None
        if best is None
        else {
            "epoch": best["epoch"] + 1,
            "metric": str(best.get("metric")),
            "value": number(best.get("value")),
        },
        "started": _seconds(summary.started),
        "updated": _seconds(summary.updated),
    }


def run_view(entry: Entry, followed: Followed, folder: Path, since: int, generation: str) -> Any:
    """All that the page of a run shows.

    ``since`` is the number of epochs that the page has of this ``generation``; of another one, all
    are given. None as long as there is nothing to tell.
    """
    summary = entry.summary
    now_generation, events = followed.read()
    if summary is None or not events:
        return None
    facts = RunFacts(entry.run_dir, "on_epoch_end", events, followed.thresholds)
    curves = Curves.of(facts.epochs, facts.thresholds)
    since = since if generation == now_generation and since <= len(facts.epochs) else 0
    return {
        "run": row(entry, summary, folder),
        "revision": entry.revision,
        "generation": now_generation,
        "since": since,
        "now": time.time(),
        "about": _about(facts),
        "headline": _headline(facts, curves, summary),
        "pace": _pace(facts, summary),
        "end": _end(entry, summary),
        "is_fitted_at_once": bool(facts.lacks_curves),
        "charts": charts_view(facts, curves, since),
        "findings": _findings(events),
        "test": _test(facts, summary),
        "figures": [{"name": one.name, "version": one.version} for one in entry.figures],
    }


def _about(facts: RunFacts) -> dict[str, Any]:
    """What ran, where, on how much."""
    meta = facts.starts[0]["meta"] if facts.starts else {}
    sizes = meta.get("num_samples", {})
    return {
        "samples": [
            f"{size} {style.SPLIT_NAMES.get(split, split)}" for split, size in sizes.items() if size
        ],
        "device": meta.get("device"),
        "host": meta.get("hostname"),
        "command": meta.get("command"),
        "path": _text(facts.run_dir),
    }


def _headline(facts: RunFacts, curves: Curves, summary: RunSummary) -> list[dict[str, Any]]:
    """The row of current numbers: label, value, note, and what colours them."""
    if facts.lacks_curves:
        last = facts.epochs[-1]["metrics"]
        metrics = of_model(last["val"])
        metrics |= {name: last["train"][name] for name in last["train"] if name == "suggested_lr"}
        return [_tile(style.name_of(name), number(value)) for name, value in metrics.items()]
    planned = f"/{summary.num_epochs}" if summary.num_epochs else ""
    tiles = [_tile("Epoch", f"{summary.num_done}{planned}")]
    if not facts.epochs:
        return tiles
    last = facts.epochs[-1]
    for split in curves.losses:
        name = f"{style.SPLIT_NAMES[split].capitalize()} loss"
        tiles.append(_tile(name, number(last[f"{split}_loss"]), tone=split))
    if curves.gap is not None:
        tiles.append(_tile("Gap", number(curves.gap[-1], "+"), "validation - training"))
    if len(facts.epochs) > 1:
        change = curves.change[-1]
        tone = "" if change is None else "better" if change < 0 else "worse"
        name = f"Δ {style.SPLIT_NAMES[curves.judged]} loss"
        tiles.append(_tile(name, number(change, "+"), "since the epoch before", tone))
    if facts.best is not None:
        is_last = facts.best_epoch == curves.epochs[-1]
        value = f"{facts.best['metric']} {number(facts.best['value'])}"
        mark = "✓ " if is_last else ""
        tiles.append(_tile("Best", f"{mark}epoch {facts.best_epoch}", value, "best" * is_last))
    if last["throughput"] is not None:
        tiles.append(_tile("Throughput", style.significant(last["throughput"]), "samples/s"))
    return tiles


def _tile(label: str, value: str, note: str = "", tone: str = "") -> dict[str, Any]:
    return {"label": label, "value": value, "note": note, "tone": tone}


def _pace(facts: RunFacts, summary: RunSummary) -> dict[str, Any] | None:
    """Seconds an epoch takes, and those that were left when the last one was over."""
    times = [event["epoch_time_s"] for event in facts.epochs[-NUM_TIMED:]]
    known = [one for one in times if one is not None]
    if not known:
        return None
    epoch_s = sum(known) / len(known)
    left = None if summary.num_epochs is None else summary.num_epochs - summary.num_done
    return {"epoch_s": epoch_s, "left_s": None if left is None else epoch_s * left}


def _end(entry: Entry, summary: RunSummary) -> dict[str, Any] | None:
    """How the run ended, in a sentence, and the command that goes on with it."""
    last = summary.last
    when = f"after epoch {summary.num_done}" if summary.num_done else "in the first epoch"
    error = last["error"] or {}
    texts = {
        FINISHED: "Finished",
        STOPPED: f"Stopped {when}: {last['reason'] or 'by a signal'}",
        FAILED: f"Failed {when}: {error.get('type')}: {error.get('message')}",
        DIED: f"Died {when}: its process is gone without a word, or has given no sign of "
        f"life for {MAX_AGE_S:.0f} s",
    }
    if summary.state not in texts:
        return None
    seconds = None if summary.epoch is None else summary.epoch["total_time_s"]
    timed = f"; {duration(seconds)} of training" if seconds else ""
    can_go_on = summary.state in (STOPPED, DIED) and has_checkpoint(entry.run_dir)
    command = shlex.join([_PROGRAM, f"resume={_text(entry.run_dir)}"])
    return {
        "text": texts[summary.state] + timed,
        "traceback": error.get("traceback"),
        "command": command if can_go_on else None,
    }


def _findings(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The log of the diagnostics: what still holds, then what is over, the newest first."""
    log = sorted(spells(events), key=lambda one: (one.holds, one.last), reverse=True)
    return [_finding(spell) for spell in log[:MAX_FINDINGS]]


def _finding(spell: Spell) -> dict[str, Any]:
    advice, mark, words = spell.advice.partition(f": {_PROGRAM} ")
    return {
        "kind": spell.kind.replace("_", " "),
        "epochs": span(spell.first, spell.last),
        "holds": spell.holds,
        "evidence": spell.evidence.removeprefix(f"{span(spell.first, spell.last)}: "),
        "advice": advice,
        "command": f"{_PROGRAM} {words}" if mark else None,
    }


def _test(facts: RunFacts, summary: RunSummary) -> dict[str, Any] | None:
    """What the test came to, as on the console: a table, its head first, and sentences."""
    event = summary.test
    if event is None:
        return None
    size = summary.start["meta"].get("num_samples", {}).get("test")
    target = facts.target
    judged = judgement(event, target, summary.loop, size) if target else None
    if judged is not None:
        return judged._asdict()
    metrics = of_model(event["metrics"]["test"])
    head = [f"Test set ({size} samples)" if size else "Test set", ""]
    rows = [[style.name_of(name), number(value)] for name, value in metrics.items()]
    return {"table": [head, *rows], "sentences": []}


def _text(path: Path | str) -> str:
    """A path for people: bytes that are no text are shown as such."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace")


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
