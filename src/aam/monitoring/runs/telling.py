"""All that the folder of one run tells, as one document: what ran, on what, how it went."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aam.facts.reader import best, epoch_events, read_events
from aam.facts.summary import DIED, FAILED, FINISHED, RUNNING, STOPPED, has_checkpoint
from aam.monitoring.diagnostics import spells
from aam.monitoring.runs.listing import rows_of
from aam.monitoring.wording import near

Event = dict[str, Any]
_STARTS = ("on_start", "on_resume")
_POINT = ("epoch", "step", "train_loss", "val_loss", "lr", "metrics")
# Errors that come again when the run is repeated exactly.
_REPEATED = "NonFiniteError"


def tell(run_dir: Path) -> dict[str, Any]:
    """Tell a run; the keys of a row of ``aam-facts ls`` and those below.

    ``run_id``; ``meta`` (of the first start) and ``resumes`` (``epoch``, ``timestamp``,
    ``command``); ``reason`` and ``error`` of its end; ``curve`` with the facts of the ``first``,
    ``best`` and ``last`` epoch; ``test_metrics``; ``diagnostics``, every spell of a finding;
    ``artifacts`` (name → path) and ``missing``, the names of those that are gone; ``figures`` and
    ``checkpoints`` that lie there; ``next``, commands and what they are for. Epochs count from 0,
    but for ``first`` and ``last`` of a spell.

    Raises
    ------
    UserError
        If there are no facts. Their content never raises.
    """
    events = read_events(run_dir)
    row = next(iter(rows_of([run_dir])), {})
    starts = [event for event in events if event["moment"] in _STARTS]
    tests = [event for event in events if event["moment"] == "on_test_end"]
    last = events[-1] if events else {}
    artifacts = {name: path for event in events for name, path in event["artifacts"].items()}
    meta = starts[0]["meta"] if starts else {}
    return row | {
        "run_id": last.get("run_id"),
        "meta": meta,
        "resumes": [_resume(one) for one in starts if one["moment"] == "on_resume"],
        "reason": last.get("reason"),
        "error": last.get("error"),
        "curve": _curve(events),
        "test_metrics": tests[-1]["metrics"]["test"] if tests else {},
        "diagnostics": [asdict(spell) for spell in spells(events)],
        "artifacts": artifacts,
        "missing": [name for name, path in artifacts.items() if not (run_dir / path).exists()],
        "figures": _names(run_dir, "figures/[!.]*.*"),
        "checkpoints": _names(run_dir, "[!.]*.pt"),
        "next": _next(run_dir, row.get("state"), row.get("loop"), last.get("error")),
    }


def _resume(event: Event) -> dict[str, Any]:
    return {
        "epoch": event["epoch"],
        "timestamp": event["timestamp"],
        "command": event["meta"].get("command"),
    }


def _curve(events: Sequence[Event]) -> dict[str, Mapping[str, Any]]:
    epochs = epoch_events(events)
    if not epochs:
        return {}
    known = best(events)
    at_best = [event for event in epochs if known is not None and event["epoch"] == known["epoch"]]
    points = {"first": epochs[0], **({"best": at_best[0]} if at_best else {}), "last": epochs[-1]}
    return {place: {name: event[name] for name in _POINT} for place, event in points.items()}


def _names(run_dir: Path, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(run_dir)) for path in run_dir.glob(pattern))


def _next(
    run_dir: Path, state: str | None, loop: str | None, error: Mapping[str, Any] | None
) -> list[dict[str, str]]:
    """Commands that make sense now, each with what it does."""
    run_dir = near(run_dir)
    run = shlex.quote(str(run_dir))
    resume = resume_command(run_dir, error)
    can_predict = (run_dir / "best_model.pt").exists()
    steps = []
    if state == RUNNING:
        steps += [
            (f"aam-facts tail {run}", "follow it"),
            (f"touch {shlex.quote(str(run_dir / 'stop_request'))}", "stop it after its epoch"),
        ]
    if state in (STOPPED, FAILED, DIED) and resume:
        steps.append((resume, "go on with it"))
    if state == FINISHED and can_predict and loop == "pretrain":
        given = shlex.quote(f"pretrained={run_dir}")
        steps.append((f"aam-train loop=finetune data.target=COLUMN … {given}", "learn a target"))
    if state == FINISHED and can_predict and loop in ("finetune", "probe"):
        given = shlex.quote(f"model={run_dir}")
        steps.append((f"aam-predict {given} table=FILE", "predict other samples"))
    steps += [
        (f"aam-facts doctor {run}", "check whether its folder is whole"),
        (f"aam-facts reproduce {run}", "see how to run it again"),
    ]
    return [{"command": command, "to": purpose} for command, purpose in steps]


def resume_command(run_dir: Path, error: Mapping[str, Any] | None) -> str | None:
    """How to go on with a run that was not finished; None where that leads nowhere."""
    if not has_checkpoint(run_dir) or (error or {}).get("type") == _REPEATED:
        return None
    return f"aam-train {shlex.quote(f'resume={near(run_dir)}')}"
