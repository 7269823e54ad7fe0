"""``aam-facts ls``: the table of all runs."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aam.cli.printing import show, show_json, table
from aam.cli.words import read_words

HELP = """\
aam-facts ls [FOLDER …] [state=…] [loop=…] [sort=…] [--json]: list runs, the newest last.

  aam-facts ls                              all runs below $AAM_OUTPUTS (default: outputs)
  aam-facts ls outputs/multiruns/exp_…      those of a sweep
  aam-facts ls state=died,failed            those that need a look
  aam-facts ls sort=test loop=finetune      the best one last

state=   running; finished; stopped by a request or a signal; failed by an error; died without a
         word; empty, with no facts yet
loop=    pretrain, finetune, … as in aam-train
sort=    started (default), updated, name, best, test, time; what one looks for comes last
--json   a list, with times in UTC; epochs count from 0 there, as in the facts

Best is the watched metric and, in brackets, the epoch of it. Test is the metric to judge by: MAE,
AUROC, or the R² of the UniFrac distances. Job, of runs on a cluster, is its number there and how it
stands by its log: a run that died may be queued to go on. On a narrow terminal names lose their
beginning, and what all runs agree in stands above; in a pipe nothing is cut. Any part of a name
that no other run has will do for the other verbs."""
_RIGHT = ("epochs", "best", "test", "last fact", "took")
_MIN_NAME, _MAX_DATA = 20, 22


def ls(words: Sequence[str]) -> None:
    """Print the table.

    Raises
    ------
    UserError
        If a word is wrong, or nothing is found.
    """
    given = read_words(
        "ls", words, named="FOLDER …", keys={"state": "STATE", "loop": "LOOP", "sort": "KEY"}
    )
    from aam.facts.finding import find_all
    from aam.monitoring.runs.listing import LISTED_STATES, SORT_KEYS, rows_of, sort_rows

    states = given.choices("state", LISTED_STATES, LISTED_STATES)
    sort = given.choice("sort", SORT_KEYS, "started")
    rows = [row for row in rows_of(find_all(given.named)) if row["state"] in states]
    if "loop" in given.values:
        loops = given.choices("loop", _loops())
        rows = [row for row in rows if row["loop"] in loops]
    rows = sort_rows(rows, sort)
    if given.is_json:
        show_json(rows)
    elif rows:
        show("\n".join(_table(rows)))
    else:
        show("No run is as asked for.")


def _loops() -> list[str]:
    from aam.config import LOOPS

    return list(LOOPS)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines; on a terminal as wide as it is, where that leaves room for the names."""
    best, test = _metric(rows, "best"), _metric(rows, "test")
    head = [
        "run", "loop", "data", "state", "job", "epochs", f"best {best}".rstrip(),
        f"test {test}".rstrip(), "last fact", "took",
    ]  # fmt: skip
    columns = dict(
        zip(head, zip(*(_cells(row, best, test) for row in rows), strict=True), strict=True)
    )
    if not any(columns["job"]):
        del columns["job"]
    above = _fit(columns, shutil.get_terminal_size().columns) if sys.stdout.isatty() else []
    right = [name for name in columns if name.startswith(_RIGHT)]
    return [*above, *table(list(columns), list(zip(*columns.values(), strict=True)), right)]


def _metric(rows: Sequence[dict[str, Any]], which: str) -> str:
    """The metric, if it is one for all rows: it then stands in the head."""
    names = {row[which]["metric"] for row in rows if row[which]}
    return names.pop() if len(names) == 1 else ""


def _cells(row: dict[str, Any], best: str, test: str) -> list[str]:
    from aam.monitoring.wording import duration

    took, age = row["total_time_s"], row["age_s"]
    planned = f"/{row['num_epochs']}" if row["num_epochs"] else ""
    return [
        row["name"],
        row["loop"] or "",
        row["data"] or "",
        row["state"],
        "" if row["job"] is None else f"{row['job']['id']} {row['job']['state']}",
        "" if row["num_done"] is None else f"{row['num_done']}{planned}",
        _score(row["best"], best) + (f" ({row['best']['epoch'] + 1})" if row["best"] else ""),
        _score(row["test"], test),
        "" if age is None else ago(age),
        "" if took is None else duration(took),
    ]


def _score(one: dict[str, Any] | None, metric: str) -> str:
    from aam.monitoring.wording import number

    if one is None:
        return ""
    return (
        number(one["value"])
        if one["metric"] == metric
        else f"{one['metric']} {number(one['value'])}"
    )


def ago(seconds: float) -> str:
    """How long ago, in the largest unit that fits: ``5 s``, ``12 min``, ``3 h``, ``40 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def _fit(columns: dict[str, tuple[str, ...]], width: int) -> list[str]:
    """Cut the table to a width; the line above it tells of columns that all runs agree in."""
    from aam.monitoring.style import shortened

    told = []
    columns["data"] = tuple(shortened(cell, _MAX_DATA) for cell in columns["data"])
    for name in ("loop", "data"):
        values = set(columns[name])
        if _room(columns, width) < len(max(columns["run"], key=len)) and len(values) == 1:
            told.append(f"{name} {values.pop()}")
            del columns[name]
    room = max(_room(columns, width), _MIN_NAME)
    # The end of a name tells runs apart, and is a part of it that the other verbs take.
    columns["run"] = tuple(
        name if len(name) <= room else f"…{name[len(name) - room + 1 :]}" for name in columns["run"]
    )
    return ["All: " + ", ".join(told)] if told else []


def _room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """What the other columns leave for the names."""
    others = [[name, *cells] for name, cells in columns.items() if name != "run"]
    return width - sum(2 + max(map(len, cells)) for cells in others)
