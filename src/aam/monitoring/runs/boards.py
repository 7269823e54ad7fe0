"""From what a person names to leaderboards."""

from collections.abc import Sequence
from pathlib import Path

from aam.errors import UserError, shown
from aam.facts.finding import find_all
from aam.monitoring.runs.comparing import tables_of
from aam.monitoring.runs.contenders import VAL, Contender, read_contenders, without_facts
from aam.monitoring.runs.leaderboard import Leaderboard, leaderboard


def read_boards(
    named: Sequence[str], *, metric: str | None = None, by: str = VAL
) -> tuple[list[Leaderboard], list[Path]]:
    """A leaderboard of each kind of run, and the folders of runs that hold no start (yet).

    Raises
    ------
    UserError
        If nothing is found, or no run has the metric.
    """
    contenders, unstarted = read_contenders(find_all(named))
    folders = (Path(word).expanduser() for word in named)
    unstarted += without_facts(folder for folder in folders if folder.is_dir())
    if not contenders:
        raise UserError(
            f"no run of {shown(named)} has a start in its facts ({shown(unstarted)}): wait until "
            "one has read its data, or look into train.log"
        )
    boards = [leaderboard(table, metric=metric, by=by) for table in tables_of(contenders)]
    if metric is not None and all(board.why_unranked for board in boards):
        raise UserError(f"metric={metric} ranks nothing: {boards[0].why_unranked}")
    return boards, unstarted


def best_of_all(
    boards: Sequence[Leaderboard], named: Sequence[str]
) -> tuple[Leaderboard, Contender]:
    """The one leaderboard that there is, and its best run.

    Raises
    ------
    UserError
        If there are several, or none is ranked.
    """
    if len(boards) > 1:
        titles = shown([f"[{board.table.title}]" for board in boards])
        raise UserError(
            f"{shown(named)} holds runs of {len(boards)} kinds that are not ranked together "
            f"({titles}): give the runs of one"
        )
    (board,) = boards
    best = board.best_run
    if best is None:
        raise UserError(f"{shown(named)} has no best run: {board.why_unranked}")
    return board, best


def checkpoint_of(run: Contender) -> Path | None:
    """The best model of a run; None where none was kept."""
    for name in ("model.pt", "best_model.pt"):
        if (run.folder / name).is_file():
            return run.folder / name
    return None
