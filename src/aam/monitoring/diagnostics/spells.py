"""When findings came and went, as the facts of a run hold them. Nothing is judged anew."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from aam.facts.reader import epoch_events

_ENDS = ("on_train_end", "on_exception")


@dataclass(frozen=True, kw_only=True)
class Spell:
    """A finding in epochs (from 1) without a break."""

    kind: str
    first: int
    last: int
    holds: bool
    """Whether it was still found when the run was last judged."""
    evidence: str
    """As it stood last, and so the advice."""
    advice: str


def spells(events: Iterable[dict[str, Any]]) -> list[Spell]:
    """Every spell of every finding of a run, in the order in which they began.

    Needs ``moment``, ``epoch`` and ``diagnostics`` of each event of the run, in their order.
    """
    events = list(events)
    over: list[Spell] = []
    open_: dict[str, Spell] = {}
    last = 0
    for event in [*epoch_events(events), *_end(events)]:
        is_later = event["moment"] != "on_train_end" and event["epoch"] is not None
        number = event["epoch"] + 1 if is_later else last
        found = {finding["kind"]: finding for finding in event["diagnostics"]}
        if event["moment"] == "on_epoch_end":
            over += [open_.pop(kind) for kind in [*open_] if kind not in found or number > last + 1]
        open_ |= {kind: _told(open_.get(kind), one, number) for kind, one in found.items()}
        last = number
    over = [replace(spell, holds=False) for spell in over]
    return sorted([*over, *open_.values()], key=lambda spell: spell.first)


def _end(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The event that ended the run after its last epoch, if it found something."""
    for event in reversed(events):
        if event["moment"] in ("on_epoch_end", "on_resume"):
            break
        if event["moment"] in _ENDS and event["diagnostics"]:
            return [event]
    return []


def _told(spell: Spell | None, finding: dict[str, str], number: int) -> Spell:
    """The spell that goes on to epoch ``number``, or begins with it."""
    first = number if spell is None else spell.first
    return Spell(
        kind=finding["kind"],
        first=first,
        last=number,
        holds=True,
        evidence=finding["evidence"],
        advice=finding["advice"],
    )
