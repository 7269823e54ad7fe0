"""Leaderboards for programs: a JSON document, a table, and the figure beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aam.facts.tables import write_tsv
from aam.monitoring.runs.comparing import Row
from aam.monitoring.runs.contenders import TEST, TOTAL, VAL, Contender
from aam.monitoring.runs.curves_figure import has_curves, write_figure
from aam.monitoring.runs.leaderboard import Leaderboard
from aam.monitoring.runs.notes import notes
from aam.monitoring.runs.report import verdict

_SPLITS = (VAL, TEST)


def as_document(boards: Sequence[Leaderboard], unstarted: Sequence[Path]) -> dict[str, Any]:
    """What :func:`aam.monitoring.runs.report.report` says; epochs count from 0, as in the facts."""
    return {"tables": [_board(board) for board in boards], "empty": list(unstarted)}


def write_boards(folder: Path, boards: Sequence[Leaderboard]) -> list[Path]:
    """Write ``leaderboard.tsv``, and the curves where there are any; returns what was written."""
    written = [write_table(folder, boards)]
    for k, board in enumerate(boards):
        if has_curves(board):
            path = folder / ("curves.png" if len(boards) == 1 else f"curves-{k + 1}.png")
            write_figure(path, board)
            written.append(path)
    return written


def write_table(folder: Path, boards: Sequence[Leaderboard]) -> Path:
    """Write ``leaderboard.tsv``; returns its path."""
    rows = [{"table": k + 1, **row} for k, board in enumerate(boards) for row in _table_rows(board)]
    names = {name: None for row in rows for name in row}
    path = folder / "leaderboard.tsv"
    write_tsv(path, {name: [row.get(name) for row in rows] for name in names})
    return path


def run_document(run: Contender, metric: str) -> dict[str, Any]:
    """One run: where it stands, and its values of the metric at its best epoch."""
    return {
        "run_dir": run.folder,
        "run_id": run.summary.run_id,
        "state": run.summary.state,
        "replicate": dict(
            zip(("split.seed", "split.fold", "trainer.seed"), run.replicate, strict=True)
        ),
        "num_epochs": len(run.curve),
        "best": run.best,
        **{split: run.value(split, metric) for split in _SPLITS},
    }


def _board(board: Leaderboard) -> dict[str, Any]:
    lead = board.lead
    ranked = list(board.rows)
    return {
        "title": board.table.title,
        "identity": board.table.runs[0].identity,
        "metric": board.metric,
        "by": board.by,
        "why_unranked": board.why_unranked or None,
        "columns": board.table.columns,
        "rows": [
            _row(board, row, None if board.why_unranked else k + 1) for k, row in enumerate(ranked)
        ]
        + [_row(board, row, None) for row in board.left_out],
        "lead": None if lead is None else asdict(lead) | {"is_beyond": lead.is_beyond},
        "verdict": verdict(board) or None,
        "notes": notes(board),
    }


def _row(board: Leaderboard, row: Row, rank: int | None) -> dict[str, Any]:
    means = {
        split: {
            metric: None if mean is None else asdict(mean)
            for metric, of_split in board.figures
            if of_split == split
            for mean in [board.mean(row, split, metric)]
        }
        for split in _SPLITS
    }
    return {
        "rank": rank,
        "setting": row.setting,
        **means,
        "runs": [run_document(run, board.metric) for run in row.finished],
        "unfinished": [run_document(run, board.metric) for run in row.unfinished],
        "repeated": [run_document(run, board.metric) for run in row.repeated],
    }


def _table_rows(board: Leaderboard) -> Iterator[dict[str, Any]]:
    """One row for each setting; one without a finished run has no rank and no values."""
    for row in [*board.rows, *board.left_out]:
        place = next((k + 1 for k, one in enumerate(board.rows) if one is row), None)
        yield {
            "kind": board.table.title,
            "rank": None if board.why_unranked else place,
            **row.setting,
            "metric": board.metric,
            "by": board.by,
            **_cells(board, row),
            "num_finished": len(row.finished),
            "num_unfinished": len(row.unfinished),
            "run_dirs": " ".join(str(run.folder) for run in row.finished),
        }


def _cells(board: Leaderboard, row: Row) -> dict[str, Any]:
    """Mean and sd of what has a column, such as ``val_mae`` and ``val_mae_sd``."""
    cells = {}
    for metric, split in board.figures:
        mean = board.mean(row, split, metric)
        name = f"{split}_{'total_loss' if metric in TOTAL else metric}"
        cells[name] = None if mean is None else mean.mean
        cells[f"{name}_sd"] = None if mean is None else mean.sd
    return cells
