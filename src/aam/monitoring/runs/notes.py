"""What a reader of a leaderboard must know, or would be misled: one sentence each."""

from collections.abc import Iterator, Sequence

from aam.errors import shown
from aam.monitoring.runs.comparing import MAY_DIFFER_BY_SPLIT, Row
from aam.monitoring.runs.contenders import TEST, TOTAL, Contender
from aam.monitoring.runs.leaderboard import Leaderboard
from aam.monitoring.style import significant

# Settings that change what a total loss, or a UniFrac metric, is a measure of.
_OF_LOSS = (
    "loop.unifrac_weight",
    "loop.nuc_weight",
    "loop.faith_pd_weight",
    "loop.count_weight",
    "loop.mask_fraction",
    "loop.mask_spans",
    "loop.masked_asvs",
    "loop.transform",
    "loop.loss",
    "loop.quantile",
    "loop.class_weights",
    "loop.label_smoothing",
)
_OF_UNIFRAC = ("data.unifrac", "data.unifrac_alpha", "data.rarefaction_depth")


def notes(board: Leaderboard) -> list[str]:
    """All that apply to this leaderboard."""
    if not board.rows or board.why_unranked:
        return []
    return list(_notes(board))


def _notes(board: Leaderboard) -> Iterator[str]:
    measured = [key for key in _measures(board.metric) if key in board.table.columns]
    if measured:
        yield (
            f"{shown(measured)} changes what {board.metric} is a measure of, so the ranking by it "
            "means little: choose by metric= one that it leaves alone."
        )
    if len(_sizes(board)) > 1:
        yield (
            "The rows were judged on different numbers of samples of one split "
            f"({shown(sorted(_sizes(board)))}), so partly on different samples."
        )
    lacking = _lacking(board.rows)
    if lacking:
        places = shown([str(place) for place in lacking], 5)
        yield (
            f"Not all rows have the same seeds and splits: {places} lack some, so the means are "
            "over different ones."
        )
    yield from _encoders(board.rows)
    yield from _epochs(board)
    if board.by == TEST:
        yield (
            "Ranked by the test, so that the test value of row 1 is too good, the more so the more "
            "rows there are: choose by the validation, and report the test value of what it chose."
        )
    elif len(board.rows) > 1:
        yield (
            "Row 1 was chosen by its validation value, which is therefore too good: report its "
            "test value, which had no part in the choice."
        )


def _measures(metric: str) -> tuple[str, ...]:
    if metric in TOTAL:
        return (*_OF_LOSS, *_OF_UNIFRAC)
    return _OF_UNIFRAC if metric.startswith("unifrac_") else ()


def _sizes(board: Leaderboard) -> set[int]:
    """Numbers of samples judged on that differ from row to row on one and the same split."""
    by_split: dict[tuple[str, ...], set[int]] = {}
    for row in board.rows:
        for run in row.finished:
            if board.by in run.num_samples:
                by_split.setdefault(run.split_key, set()).add(run.num_samples[board.by])
    return next((sizes for sizes in by_split.values() if len(sizes) > 1), set())


def _lacking(rows: Sequence[Row]) -> list[int]:
    """Places of rows that lack a seed or split which another row has."""
    have = [{run.replicate for run in row.finished} for row in rows]
    everything = set().union(*have)
    return [place + 1 for place, own in enumerate(have) if own != everything]


def _encoders(rows: Sequence[Row]) -> Iterator[str]:
    for place, row in enumerate(rows):
        encoders = {_encoder(run) for run in row.finished}
        if len(encoders) > 1:
            yield (
                f"The runs of row {place + 1} have {len(encoders)} different pretrained=, one for "
                "each split, and count as one setting."
            )


def _encoder(run: Contender) -> str:
    return (run.settings or {}).get(MAY_DIFFER_BY_SPLIT, "")


def _epochs(board: Leaderboard) -> Iterator[str]:
    equal = board.at_equal_epochs()
    if equal is None:
        return
    num_epochs, row, mean = equal
    place = next(k for k, one in enumerate(board.rows) if one is row) + 1
    by_then = f"{board.metric} {significant(mean.mean, 4)}"
    which = "is first as well" if place == 1 else "would be first"
    yield (
        f"The runs did not train for equally long: by epoch {num_epochs}, which all have done, row "
        f"{place} {which} ({by_then})."
    )
