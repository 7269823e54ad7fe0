"""A comparison of runs for people: a table for each kind, what was left out, how sure it is."""

import os
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from aam.errors import shown
from aam.monitoring import style
from aam.monitoring.runs.comparing import Row
from aam.monitoring.runs.contenders import TEST, TOTAL, VAL, Contender
from aam.monitoring.runs.leaderboard import Lead, Leaderboard, values_of
from aam.monitoring.runs.listing import names_of
from aam.monitoring.runs.notes import notes
from aam.monitoring.scores import is_error
from aam.monitoring.spread import Mean, count, mean_text
from aam.monitoring.verdict import aligned, num_decimals

_MAX_CELL = 36


def report(boards: Sequence[Leaderboard], unstarted: Sequence[Path]) -> str:
    """All tables, and the runs that have not begun."""
    parts = []
    if len(boards) > 1:
        parts.append(
            f"{len(boards)} tables: what differs in loop, data, target or kind of split is not "
            "ranked together."
        )
    parts += ["\n".join(_board_lines(board)) for board in boards]
    if unstarted:
        lines = [f"  {folder}" for folder in unstarted]
        parts.append("\n".join(["Empty, no start in the facts (train.log may say why):", *lines]))
    return "\n\n".join(parts)


def verdict(board: Leaderboard) -> str:
    """Whether the first row is ahead of the second by more than chance would have it."""
    lead = board.lead
    if lead is None:
        return ""
    decimals = _decimals(board, board.metric, board.by)
    size = f"{abs(lead.difference):.{decimals}f}"
    if lead.difference == 0:
        return f"Row 1 and row 2 are equally good in {board.metric}."
    ahead = (lead.difference < 0) == is_error(board.metric)
    head = f"Row 1 is {'better' if ahead else 'worse'} than row 2 by {size} in {board.metric}"
    if not ahead:  # they were not all made on the same splits
        head += " where they can be compared"
    if lead.interval is None:
        return f"{head}; {_nothing_known(lead)}."
    low, high = (f"{end:+.{decimals}f}" for end in lead.interval)
    where = "beyond" if lead.is_beyond else "within"
    paired = f"paired over {count(lead.number, lead.over)}" if lead.number else "not paired"
    tail = "" if lead.is_beyond else ": they cannot be told apart"
    if lead.is_beyond and len(board.rows) > 2:
        tail = f"; that it was chosen among {len(board.rows)} is not allowed for"
    return (
        f"{head}, {where} the spread of the {lead.over}s (95 % interval of 1 minus 2, {paired}: "
        f"{low} to {high}){tail}."
    )


def count_runs(board: Leaderboard) -> str:
    """``3 settings, 12 runs``."""
    return f"{count(len(board.table.rows), 'setting')}, {count(len(board.table.runs), 'run')}"


def run_names(runs: Sequence[Contender]) -> dict[Path, str]:
    """Each run's name without what all have in front, such as the date of a sweep."""
    folders = [run.folder for run in runs]
    names = dict(zip(folders, names_of(folders), strict=True))
    if len(names) < 2:
        return names
    texts = list(names.values())
    common = texts[0][: _num_common(texts)]
    length = max(common.rfind("_"), common.rfind(os.sep)) + 1
    return {folder: name[length:] for folder, name in names.items()}


def _board_lines(board: Leaderboard) -> Iterator[str]:
    yield f"{board.table.title}: {count_runs(board)}"
    if board.why_unranked:
        yield f"Not ranked: {board.why_unranked}."
    elif board.rows:
        yield _how(board)
    names = run_names(board.table.runs)
    if board.rows:
        yield ""
        yield from (f"  {line}" for line in _ranked_lines(board, names))
    rest = list(_rest(board, names))
    if rest:
        yield ""
        yield "Not in the ranking:"
        yield from (f"  {line}" for line in aligned(rest, num_left=len(rest[0])))
    told = [text for text in (verdict(board), *notes(board)) if text]
    if told:
        yield ""
        yield from told


def _how(board: Leaderboard) -> str:
    what = "test" if board.by == TEST else "validation"
    better = "lower" if is_error(board.metric) else "higher"
    several = any(len(row.finished) > 1 for row in board.rows)
    mean = "; mean ± sd over a setting's runs" if several else ""
    ranked = f"Ranked by {board.metric} of the {what} at each run's best epoch"
    return f"{ranked}, {better} is better{mean}."


def _ranked_lines(board: Leaderboard, names: dict[Path, str]) -> list[str]:
    columns = board.table.columns
    cells = {name: short_values([row.setting[name] for row in board.rows]) for name in columns}
    has_epochs = any(len(run.curve) > 1 for row in board.rows for run in row.finished)
    head = ["#", *columns, *(_header(metric, split) for metric, split in board.figures)]
    table = [[*head, *(["best epoch"] if has_epochs else []), "runs"]]
    for place, row in enumerate(board.rows):
        cell = ["" if board.why_unranked else str(place + 1)]
        cell += [cells[name][place] for name in columns]
        for metric, split in board.figures:
            decimals = _decimals(board, metric, split)
            cell.append(mean_text(board.mean(row, split, metric), decimals, len(row.finished)))
        cell += [_best_epochs(row)] if has_epochs else []
        table.append([*cell, _fitting([names[run.folder] for run in row.finished])])
    width = max(len(line[-1]) for line in table)
    return aligned([[*line, last.ljust(width)] for *line, last in table], 1 + len(columns))


def _fitting(names: Sequence[str]) -> str:
    """As many names as a cell takes, and how many more there are."""
    fit = [k for k in range(1, len(names) + 1) if len(", ".join(names[:k])) <= _MAX_CELL]
    return shown(names, max(fit, default=1))


def _header(metric: str, split: str) -> str:
    return f"{split} loss" if metric in TOTAL else f"{split} {style.name_of(metric)}"


def _decimals(board: Leaderboard, metric: str, split: str) -> int:
    """So many that the first row has four digits, whatever its spread."""
    first = next((one for row in board.rows if (one := board.mean(row, split, metric))), None)
    return num_decimals(metric, None if first is None else first.mean)


def _best_epochs(row: Row) -> str:
    """``11 of 21``, of several runs ``9-11 of 19-21``; epochs count from 1."""
    best = [run.best["epoch"] + 1 for run in row.finished if run.best is not None]
    return f"{_range(best)} of {_range([len(run.curve) for run in row.finished])}"


def _range(numbers: Sequence[int]) -> str:
    if not numbers:
        return "-"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def _rest(board: Leaderboard, names: dict[Path, str]) -> Iterator[list[str]]:
    """What is not in the ranking, each run with the reason."""
    for row in board.table.rows:
        label = style.shortened(row.label, 60) if row.setting else ""
        for run in row.unfinished:
            yield [run.summary.state, _so_far(run, board.metric), label, names[run.folder]]
        for run in row.repeated:
            yield ["repeated", "a newer run has the same seed and split", label, names[run.folder]]
        if any(row is one for one in board.left_out):
            for run in row.finished:
                yield ["finished", f"no {board.metric}", label, names[run.folder]]


def _so_far(run: Contender, metric: str) -> str:
    """Epochs done, and the best value by then: the best so far, and no more."""
    planned = run.summary.num_epochs
    text = f"{run.summary.num_done}{'' if planned is None else f'/{planned}'} epochs"
    value = run.value(VAL, metric)
    return text if value is None else f"{text}, {metric} {style.significant(value, 4)} so far"


def short_values(values: Sequence[str]) -> list[str]:
    """Values of a column as short as they can be told apart: without a common folder or module."""
    known = [value for value in values if len(value) > 1 and value != "null"]
    for mark in ("/", "."):
        parts = [value.split(mark) for value in known]
        if not known or min(map(len, parts)) < 3:
            continue
        common = _num_common([one[:-1] for one in parts])
        values = [
            mark.join(value.split(mark)[common:]) if value in known else value for value in values
        ]
    return [style.shortened(value, _MAX_CELL) for value in values]


def _num_common(sequences: Sequence[Sequence[str]]) -> int:
    """How many of their first elements are the same in all."""
    alike = (len(set(column)) == 1 for column in zip(*sequences, strict=False))
    return sum(takewhile(bool, alike))


def spread_text(board: Leaderboard, row: Row) -> str:
    """The ranking value of a row, as the table has it."""
    mean: Mean | None = Mean.of(values_of(row.finished, board.by, board.metric))
    return mean_text(mean, _decimals(board, board.metric, board.by), len(row.finished))


def _nothing_known(lead: Lead) -> str:
    if lead.over == "split" and not lead.number:
        return "they have no split in common, so that may be the samples"
    if lead.over == "split":
        return "a single split that both have says nothing of the spread"
    return "a single run says nothing of the spread: repeat both settings with trainer.seed=0,1,2"
