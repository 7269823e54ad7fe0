"""What the console says when a run is over: the best epoch, the test, the diagnosis, the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aam.errors import shown
from aam.monitoring.diagnostics import Spell, spells
from aam.monitoring.scores import of_model
from aam.monitoring.verdict import COLUMNS, verdict
from aam.monitoring.wording import near, number, rate, span

_COMMAND = ": aam-train "
_MAX_SPELLS = 4


@dataclass(frozen=True, kw_only=True)
class End:
    """What there is to say of a run that is over."""

    outcome: str
    best: Mapping[str, Any] | None
    meta: Mapping[str, Any]
    test: Mapping[str, Any] | None
    """The ``on_test_end`` event."""
    lr: float | None
    """The learning rate that a search suggests."""
    judged: Sequence[dict[str, Any]]
    """The events that hold findings, as :func:`aam.monitoring.diagnostics.spells` takes them."""
    run_dir: Path | None


def end_report(end: End) -> list[str]:
    """The lines, an empty one first."""
    lines = ["", end.outcome]
    if end.best is not None:
        value = number(end.best["value"])
        lines.append(f"Best epoch: {end.best['epoch'] + 1} ({end.best['metric']} {value})")
    if end.lr is not None:
        lines.append(f"Suggested: optimizer.lr={rate(end.lr)}")
    if end.test is not None:
        lines += _tested(end.test, end.meta)
    lines += diagnosis(spells(end.judged))
    if end.run_dir is not None:
        lines.append(f"Run folder: {near(end.run_dir)}")
        figures = sorted((end.run_dir / "figures").glob("[!.]*.*"))
        lines += ["Figures:"] if figures else []
        lines += [f"  {near(figure)}" for figure in figures]
    return lines


def diagnosis(found: Sequence[Spell]) -> list[str]:
    """What holds, with what to do about it, and in one line what came and went; none if nothing.

    An advice that several findings share stands once, below them.
    """
    holding = [spell for spell in found if spell.holds]
    lines = ["Diagnosis:"] if holding else []
    for advice in dict.fromkeys(spell.advice for spell in holding):
        alike = [spell for spell in holding if spell.advice == advice]
        lines += [f"  {_kind(spell)}, {spell.evidence}" for spell in alike]
        lines += [f"    {line}" for line in _advice(advice)]
    over = [spell for spell in found if not spell.holds]
    went = [_came_and_went(kind, over) for kind in dict.fromkeys(map(_kind, over))]
    return [*lines, f"Came and went: {'; '.join(went)}"] if went else lines


def _advice(advice: str) -> list[str]:
    """The reason, and in a line of its own, to be copied, the command."""
    reason, mark, words = advice.partition(_COMMAND)
    reason = reason[:1].upper() + reason[1:]
    return [f"{reason}:", f"{mark[2:]}{words}"] if mark else [reason]


def _came_and_went(kind: str, spells: Sequence[Spell]) -> str:
    """``instability (epochs 3, 5-8)``."""
    spans = [span(spell.first, spell.last) for spell in spells if _kind(spell) == kind]
    short = [one.partition(" ")[2] for one in spans]
    name = spans[0].partition(" ")[0] if len(spans) == 1 else "epochs"
    return f"{kind} ({name} {shown(short, _MAX_SPELLS)})"


def _kind(spell: Spell) -> str:
    return spell.kind.replace("_", " ")


def _tested(event: Mapping[str, Any], meta: Mapping[str, Any]) -> list[str]:
    """The test's metrics in a line; of a target, the verdict below, and the rest of them."""
    target = meta.get("target")
    told = COLUMNS[target["task"]] if target else ()
    metrics = of_model(event["metrics"]["test"])
    rest = [f"{name} {number(value)}" for name, value in metrics.items() if name not in told]
    lines = [f"Test: {', '.join(rest)}"] if rest else []
    if target:
        size = meta["num_samples"].get("test")
        lines += ["", *verdict(event, target, event["loop"], size), ""]
    return lines
