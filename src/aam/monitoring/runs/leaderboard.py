"""The rows of a table in order, by the metric that chooses, and how sure that order is."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from aam.errors import shown
from aam.monitoring.runs.comparing import Row, Table
from aam.monitoring.runs.contenders import TEST, TOTAL, VAL, Contender
from aam.monitoring.scores import OF_PRETRAINING, PRIMARY, best_of, ranked
from aam.monitoring.spread import Interval, Mean, corrected_interval, welch_interval

_TRAINING = "train_loss"  # what runs watch that have no validation part


@dataclass(frozen=True)
class Lead:
    """The first row minus the second in the ranking metric."""

    difference: float
    interval: Interval | None
    """95 %, of the mean difference; None where nothing is known of the spread."""
    over: str
    """What the rows were repeated over: ``split`` or ``seed``."""
    number: int
    """Repetitions that both have; 0 where they share none."""

    @property
    def is_beyond(self) -> bool:
        """Whether the interval excludes zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True)
class Leaderboard:
    """A table in order. ``rows`` are ranked, best first; all others stand in ``left_out``."""

    table: Table
    by: str
    """The part of the samples that ranks: ``val`` or ``test``."""
    metric: str
    why_unranked: str
    """Why nothing is ranked; empty if it is."""
    rows: list[Row]
    left_out: list[Row]

    def mean(self, row: Row, split: str, metric: str) -> Mean | None:
        """Over the finished runs of a row that have a value."""
        return Mean.of(values_of(row.finished, split, metric))

    @property
    def figures(self) -> list[tuple[str, str]]:
        """Metric and split of what is worth a column: what ranks, and what people judge by."""
        task = self.table.runs[0].identity["task"]
        metrics = [self.metric, PRIMARY.get(task, OF_PRETRAINING)]
        splits = [VAL, TEST] if self.by == VAL else [TEST, VAL]
        finished = [run for row in self.rows for run in row.finished]
        return [
            (metric, split)
            for metric in dict.fromkeys(metrics)
            for split in splits
            if values_of(finished, split, metric)
        ]

    @property
    def lead(self) -> Lead | None:
        """How far the first row is ahead of the second; None if there are not two."""
        if self.why_unranked or len(self.rows) < 2:
            return None
        return _lead(self.rows[0], self.rows[1], self.by, self.metric)

    @property
    def best_run(self) -> Contender | None:
        """Of the best row, the run with the best value."""
        if self.why_unranked or not self.rows:
            return None
        runs = {str(run.folder): run for run in self.rows[0].finished}
        values = {name: run.value(self.by, self.metric) for name, run in runs.items()}
        best = best_of(values, self.metric)
        return None if best is None else runs[best]

    def at_equal_epochs(self) -> tuple[int, Row, Mean] | None:
        """Epochs that all ranked runs have done, and the row that was the best by then.

        None where all have done equally many, or nothing was validated.
        """
        done = [len(run.curve) for row in self.rows for run in row.finished]
        if self.why_unranked or self.by == TEST or len(self.rows) < 2 or min(done) == max(done):
            return None
        means = [(_mean_by(row, min(done), self.metric), row) for row in self.rows]
        values = {str(k): mean.mean for k, (mean, _) in enumerate(means) if mean is not None}
        best = best_of(values, self.metric)
        if best is None:
            return None
        mean, row = means[int(best)]
        assert mean is not None
        return min(done), row, mean


def leaderboard(table: Table, *, metric: str | None, by: str) -> Leaderboard:
    """Rank a table by ``metric``; by what its runs watched if that is None."""
    finished = [run for row in table.rows for run in row.finished]
    chosen, why = _choose(finished, metric, by)
    rows = [row for row in table.rows if row.finished]
    if not why:
        means = [Mean.of(values_of(row.finished, by, chosen)) for row in rows]
        values = {str(k): None if mean is None else mean.mean for k, mean in enumerate(means)}
        order = [int(name) for name in ranked(values, chosen)]
        rows = [rows[k] for k in order if means[k] is not None]
    left_out = [row for row in table.rows if not any(row is one for one in rows)]
    return Leaderboard(table, by, chosen, why, rows, left_out)


def values_of(runs: Sequence[Contender], split: str, metric: str) -> list[float]:
    """The values of the runs that have one."""
    values = (run.value(split, metric) for run in runs)
    return [value for value in values if value is not None]


def _choose(finished: Sequence[Contender], metric: str | None, by: str) -> tuple[str, str]:
    """The metric, and why nothing can be ranked (else empty)."""
    total = TOTAL[0] if by == VAL else TOTAL[1]
    part = "validation" if by == VAL else "test"
    if metric is not None:
        metric = total if metric in TOTAL else metric
        if values_of(finished, by, metric):
            return metric, ""
        known = dict.fromkeys(name for run in finished for name in run.metrics(by))
        there = f"; there is {shown(known, 12)}" if known else ""
        return metric, f"no finished run has a {part} {metric}{there}"
    watched = sorted({run.watched for run in finished if run.watched is not None})
    if not finished:
        return total, "no run is finished"
    if len(watched) > 1:
        return total, f"the runs watch different metrics ({shown(watched)}): choose one by metric="
    chosen = watched[0] if watched else total
    if chosen == _TRAINING and by == VAL:
        return total, _why_not_by_training(finished)
    if chosen == _TRAINING:
        chosen = PRIMARY.get(finished[0].identity["task"], total)
    chosen = total if chosen in TOTAL else chosen
    has_values = values_of(finished, by, chosen)
    return chosen, "" if has_values else f"no finished run has a {part} {chosen}"


def _why_not_by_training(finished: Sequence[Contender]) -> str:
    why = "the runs watched their training loss, which tells nothing of other samples"
    known = dict.fromkeys(name for run in finished for name in run.metrics(VAL))
    if known:
        return f"{why}: choose by metric= one of {shown(known, 12)}"
    return (
        f"{why}, for they have no validation part; aam-facts cv compares folds by their test, and "
        "aam-facts compare by=test ranks by it, which flatters the best"
    )


def _lead(first: Row, second: Row, by: str, metric: str) -> Lead:
    """Paired by split, or by seed where all runs have one split.

    Of a split with several seeds the mean counts: seeds tell nothing of other samples.
    """
    ours, theirs = (_by_split(row, by, metric) for row in (first, second))
    all_of_ours, all_of_theirs = (
        [value for of_split in one.values() for value in of_split.values()]
        for one in (ours, theirs)
    )
    plain = fmean(all_of_ours) - fmean(all_of_theirs)
    if len(ours.keys() | theirs.keys()) > 1:
        pairs = [
            fmean(ours[split][seed] - theirs[split][seed] for seed in seeds)
            for split in ours.keys() & theirs.keys()
            if (seeds := ours[split].keys() & theirs[split].keys())
        ]
        mean = Mean.of(pairs)
        ratio = _test_to_train([*first.finished, *second.finished], by)
        interval = None if mean is None else corrected_interval(mean, ratio)
        return Lead(mean.mean if mean else plain, interval, "split", len(pairs))
    (of_ours,), (of_theirs,) = ours.values(), theirs.values()
    mean = Mean.of(of_ours[seed] - of_theirs[seed] for seed in of_ours.keys() & of_theirs.keys())
    if mean is not None and mean.number > 1:
        return Lead(mean.mean, corrected_interval(mean, 0.0), "seed", mean.number)
    return Lead(plain, welch_interval(all_of_ours, all_of_theirs), "seed", 0)


def _by_split(row: Row, by: str, metric: str) -> dict[tuple[str, ...], dict[str, float]]:
    """Split → seed → value."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for run in row.finished:
        value = run.value(by, metric)
        if value is not None:
            found.setdefault(run.split_key, {})[run.replicate[-1]] = value
    return found


def _test_to_train(runs: Sequence[Contender], by: str) -> float:
    """Samples that are judged on for each that is trained on; 0 where it is not known."""
    sizes = [(run.num_samples.get(by, 0), run.num_samples.get("train", 0)) for run in runs]
    return fmean(judged / train if train else 0.0 for judged, train in sizes)


def _mean_by(row: Row, num_epochs: int, metric: str) -> Mean | None:
    """As if each run had ended after so many epochs."""
    values = []
    for run in row.finished:
        watched = {str(k): run.at(k, run.watched or metric) for k in sorted(run.curve)[:num_epochs]}
        best = best_of(watched, run.watched or metric)
        value = None if best is None else run.at(int(best), metric)
        if value is not None:
            values.append(value)
    return Mean.of(values)
