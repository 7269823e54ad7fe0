"""Runs as rows of a table: what each is, where it stands, how good it is."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aam.errors import UserError
from aam.facts.summary import STATES, RunSummary, summarize
from aam.monitoring.runs.jobs import job_of
from aam.monitoring.scores import OF_PRETRAINING, PRIMARY, is_error

# A run that has no whole start in its facts (yet).
EMPTY = "empty"
LISTED_STATES = (*STATES, EMPTY)
Row = dict[str, Any]
_log = logging.getLogger(__name__)


def rows_of(runs: Sequence[Path], now: datetime | None = None) -> list[Row]:
    """A row for each run folder, in their order; one that cannot be read is left out
    and named in the log.

    Keys: ``name`` (tells it from the others), ``run_dir``, ``state``, ``loop``, ``data``,
    ``num_done`` and ``num_epochs``, ``best`` (``epoch`` from 0, ``metric``, ``value``), ``test``
    (``metric``, ``value``), ``started``, ``updated`` (ISO 8601, UTC), ``age_s`` (since the last
    fact), ``total_time_s`` (of training), ``job`` (``id``, ``state``, ``said``: that of a cluster,
    by its log). What is not known is None.
    """
    now = datetime.now(UTC) if now is None else now
    rows = []
    for run_dir, name in zip(runs, names_of(runs), strict=True):
        try:
            summary = summarize(run_dir)
        except (UserError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            _log.warning("%s is left out: %s", name, why)
            continue
        known = _known(summary, now) if summary else {"state": EMPTY}
        job = job_of(run_dir)
        known_job = {} if job is None else {"job": asdict(job)}
        rows.append({"name": name, "run_dir": str(run_dir), **_UNKNOWN, **known, **known_job})
    return rows


def names_of(runs: Sequence[Path]) -> list[str]:
    """The name of each run folder, with that of the folder above where two have one name."""
    resolved = [run.resolve() for run in runs]
    count = Counter(run.name for run in resolved)
    return [
        run.name if count[run.name] == 1 else f"{run.parent.name}/{run.name}" for run in resolved
    ]


def sort_rows(rows: Iterable[Row], key: str) -> list[Row]:
    """Sort by one of ``SORT_KEYS``, what one looks for last: the newest, the best, the slowest."""
    return sorted(rows, key=SORT_KEYS[key])


def test_score(start: Mapping[str, Any], test: Mapping[str, Any]) -> Row | None:
    """The test metric to judge by, ``metric`` and ``value``; None where there is none.

    ``start`` is the event that has the ``meta``, ``test`` an ``on_test_end``.
    """
    metrics = test["metrics"]["test"]
    target = start["meta"].get("target")
    wanted = [PRIMARY.get(target["task"], "")] if target else [OF_PRETRAINING]
    name = next((one for one in (*wanted, "total_loss") if one in metrics), None)
    return None if name is None else {"metric": name, "value": metrics[name]}


_UNKNOWN: Row = dict.fromkeys(
    (
        "state", "loop", "data", "num_done", "num_epochs", "best", "test", "started", "updated",
        "age_s", "total_time_s", "job",
    )
)  # fmt: skip


def _known(summary: RunSummary, now: datetime) -> Row:
    return {
        "state": summary.state,
        "loop": summary.loop,
        "data": summary.data,
        "num_done": summary.num_done,
        "num_epochs": summary.num_epochs,
        "best": summary.best,
        "test": summary.test and test_score(summary.start, summary.test),
        "started": _iso(summary.started),
        "updated": _iso(summary.updated),
        "age_s": max(round((now - summary.updated).total_seconds()), 0),
        "total_time_s": summary.epoch and summary.epoch["total_time_s"],
    }


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _by_score(name: str) -> Callable[[Row], tuple[str, float]]:
    def place(row: Row) -> tuple[str, float]:
        one = row[name]
        if one is None or one["value"] is None:
            return ("", 0.0)
        metric, value = one["metric"], one["value"]
        return (metric, -value if is_error(metric) else value)

    return place


# A run without facts has just been started, as a rule.
_LATER = "later"
SORT_KEYS: dict[str, Callable[[Row], Any]] = {
    "started": lambda row: (row["started"] or _LATER, row["name"]),
    "updated": lambda row: (row["updated"] or _LATER, row["name"]),
    "name": lambda row: row["name"],
    "best": _by_score("best"),
    "test": _by_score("test"),
    "time": lambda row: row["total_time_s"] or 0.0,
}
