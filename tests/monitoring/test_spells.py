"""When findings came and went, by the facts."""

from collections.abc import Callable
from typing import Any

from aam.monitoring.diagnostics import Spell, spells

Event = dict[str, Any]


def test_spells_are_what_the_facts_say(epoch_event: Callable[..., Event]) -> None:
    def told(epoch: int, *findings: str) -> Event:
        kinds = [finding.split(":") for finding in findings]
        judged = [{"kind": k, "evidence": text, "advice": f"do {text}"} for k, text in kinds]
        return epoch_event(epoch, 0.5, 0.6, diagnostics=judged)

    events = [
        told(0, "instability:a"),
        told(1, "instability:b"),
        told(2),
        told(3, "instability:c", "plateau:d"),
        told(4, "plateau:e"),
    ]
    brief = [(one.kind, one.first, one.last, one.holds, one.evidence) for one in spells(events)]
    assert brief == [
        ("instability", 1, 2, False, "b"),
        ("instability", 4, 4, False, "c"),
        ("plateau", 4, 5, True, "e"),
    ]
    # The end of the run says it anew, with other advice; a run that goes on makes that void.
    end = told(4, "plateau:f") | {"moment": "on_train_end"}
    assert spells([*events, end])[-1] == Spell(
        kind="plateau", first=4, last=5, holds=True, evidence="f", advice="do f"
    )
    resume = told(5) | {"moment": "on_resume"}
    assert spells([*events, end, resume]) == spells(events)
    failed = told(5, "nonfinite:g") | {"moment": "on_exception"}
    assert [(one.kind, one.first, one.last) for one in spells([*events, failed]) if one.holds] == [
        ("plateau", 4, 5),
        ("nonfinite", 6, 6),
    ]
    assert spells([]) == []
