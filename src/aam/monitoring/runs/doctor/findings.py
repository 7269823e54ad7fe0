"""What the checks of a run folder say."""

from collections.abc import Sequence
from dataclasses import dataclass

ERROR, WARNING, NOTE = LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know. With an error or a warning, the run is not whole.

    ``error``: facts or files are damaged. ``warning``: something is missing or incomplete.
    ``note``: nothing is wrong, but it may surprise.
    """

    level: str
    where: str
    """The file in the run folder, and the line if there is one: ``facts/events.jsonl:12``."""
    what: str
    advice: str


def listed(numbers: Sequence[int], limit: int = 5) -> str:
    """Numbers for a sentence: ``3, 5-7 and 12 more``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    shown = [f"{one[0]}-{one[-1]}" if len(one) > 1 else str(one[0]) for one in spans[:limit]]
    rest = sum(one[-1] - one[0] + 1 for one in spans[limit:])
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
