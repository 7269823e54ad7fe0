"""The numbers of a run's charts, as JSON: columns of a value an epoch, and what they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from aam.monitoring import style
from aam.monitoring.curves import Curves
from aam.monitoring.families.base import RunFacts
from aam.monitoring.live.thinning import kept
from aam.monitoring.scores import Scores, ranked
from aam.monitoring.wording import number

Columns = dict[str, Sequence[float | None]]
DIGITS = 7
_OF_PANELS = ("change", "gap", "std")
_SPLITS = ("train", "val")


def charts_view(facts: RunFacts, curves: Curves, since: int) -> dict[str, Any]:
    """What the charts show.

    Parameters
    ----------
    facts, curves
        All events of the run so far, and what the panels show of them.
    since
        How many epochs the page has already; 0 gives all, thinned out where there are too many.

    Returns
    -------
    dict
        ``columns``: of the epochs from ``since`` on; ``num_epochs``: with those before;
        ``panels``: limits and marks of the four panels; ``metrics``: a chart each, with its
        columns and the baselines' values.
    """
    baselines = facts.baselines("val")
    charts = [_metric(facts, name, baselines) for name in facts.metric_names()]
    metrics = [chart for chart in charts if chart is not None]
    columns = _columns(facts, curves, metrics)
    num_epochs = len(curves.epochs)
    rows: Sequence[int] = range(since, num_epochs)
    if not since:
        best = [index for index, one in enumerate(curves.epochs) if one == curves.best_epoch]
        rows = kept(list(curves.losses.values()), num_epochs, best)
    return {
        "columns": {
            name: [_short(values[row]) for row in rows] for name, values in columns.items()
        },
        "num_epochs": num_epochs,
        "panels": _panels(curves),
        "metrics": metrics,
    }


def _columns(facts: RunFacts, curves: Curves, metrics: Sequence[Mapping[str, Any]]) -> Columns:
    columns: Columns = {"epoch": curves.epochs, "lr": [event["lr"] for event in facts.epochs]}
    columns |= {f"{split}_loss": values for split, values in curves.losses.items()}
    columns |= {name: getattr(curves, name) for name in _OF_PANELS if getattr(curves, name)}
    for metric in metrics:
        for split, column in metric["columns"].items():
            columns[column] = _values(facts, split, metric["name"])
    return columns


def _panels(curves: Curves) -> dict[str, Any]:
    """All of the curves but their values: names, limits, and the epochs to mark as stretches."""
    told = asdict(curves)
    for name in ("epochs", "losses", *_OF_PANELS):
        del told[name]
    return told | {
        "splits": list(curves.losses),
        "judged_name": style.SPLIT_NAMES[curves.judged],
        "found": {kind: _stretches(epochs) for kind, epochs in curves.found.items()},
    }


def _metric(facts: RunFacts, name: str, baselines: Mapping[str, Scores]) -> dict[str, Any] | None:
    """A chart of one metric; None of one that has no value, or only those of the loss panel."""
    values_of = {split: _values(facts, split, name) for split in _SPLITS}
    columns = {
        split: f"{split}.{name}"
        for split, values in values_of.items()
        if any(value is not None for value in values)
    }
    losses = {split: [event[f"{split}_loss"] for event in facts.epochs] for split in columns}
    if all(values_of[split] == loss for split, loss in losses.items()):
        return None
    values = {one: scores.get(name) for one, scores in baselines.items()}
    return {
        "name": name,
        "title": style.name_of(name),
        "columns": columns,
        "last": {split: number(facts.epochs[-1]["metrics"][split].get(name)) for split in columns},
        "baselines": [
            {"name": style.baseline_name(one), "value": values[one], "text": number(values[one])}
            for one in ranked(values, name)
            if values[one] is not None
        ],
    }


def _values(facts: RunFacts, split: str, name: str) -> list[float | None]:
    return [event["metrics"][split].get(name) for event in facts.epochs]


def _stretches(epochs: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of every row of epochs without a hole."""
    firsts = [epochs[0], *(after for before, after in pairwise(epochs) if after != before + 1)]
    lasts = [*(before for before, after in pairwise(epochs) if after != before + 1), epochs[-1]]
    return list(zip(firsts, lasts, strict=True))


def _short(value: float | None) -> float | None:
    """Digits that a screen can show: half of what goes over the line."""
    return None if value is None else float(f"{value:.{DIGITS}g}")
