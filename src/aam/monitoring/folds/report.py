"""A cross-validation in words: a table, and a verdict in one sentence."""

import math
from collections.abc import Iterator, Sequence

from aam.monitoring import style
from aam.monitoring.folds.numbers import CrossValidation, Difference
from aam.monitoring.folds.runs import METRICS, MODEL, FoldRun
from aam.monitoring.scores import is_error
from aam.monitoring.spread import Mean, count, mean_text
from aam.monitoring.verdict import aligned
from aam.monitoring.verdict import num_decimals as decimals_of


def report(parts: Sequence[CrossValidation]) -> str:
    """The table and the verdict of each setting, and of several the settings side by side."""
    texts = ["\n".join(_part_lines(one)) for one in parts]
    if len(parts) > 1:
        texts.append("\n".join(_setting_lines(parts)))
    return "\n\n".join(texts)


def verdict(one: CrossValidation) -> str:
    """Whether the model is better than the best baseline, by how much, and how sure that is.

    "Beyond" the spread of the folds is what :attr:`Difference.is_beyond` calls so.
    """
    metric = one.metrics[0]
    difference = one.difference(metric)
    if difference is None:
        return "no baseline was tested on the same folds, so there is nothing to compare with"
    ours, theirs = predictor_name(MODEL, one.runs[0]), predictor_name(difference.baseline)
    size, decimals = abs(difference.mean.mean), num_decimals(one, metric)
    if size == 0:
        return f"{ours} is exactly as good as the {theirs} in {style.name_of(metric)}"
    how = "better" if difference.is_better else "worse"
    by = f"{size:.{decimals}f}{_share(one, difference)}"
    head = f"{ours} is {how} than the {theirs} by {by} in {style.name_of(metric)}"
    folds = f"better in {difference.num_better} of {difference.mean.number}"
    if difference.interval is None:
        return f"{head}; a single fold says nothing of the spread"
    low, high = (_signed(end, decimals) for end in difference.interval)
    return (
        f"{head}, {'beyond' if difference.is_beyond else 'within'} the spread of the folds "
        f"(sd of the difference {difference.mean.sd:.{decimals}f}, {folds}; 95 % interval of "
        f"model minus baseline, corrected for shared training samples: {low} to {high})"
    )


def predictor_name(predictor: str, run: FoldRun | None = None) -> str:
    """``aam (finetune)`` for the model of a run, ``random forest`` for a baseline."""
    if run is not None and predictor == MODEL:
        return f"aam ({run.identity['loop'].replace('_', ' ')})"
    return style.baseline_name(predictor)


def num_decimals(one: CrossValidation, metric: str) -> int:
    """Decimals, such that an error of the model has four digits."""
    mean = Mean.of(one.scores(MODEL, metric).values())
    return decimals_of(metric, mean.mean if mean else None)


def _part_lines(one: CrossValidation) -> Iterator[str]:
    run, metric = one.runs[0], one.metrics[0]
    shown = [name for name in METRICS[run.identity["task"]] if name in one.metrics]
    title = f"{', '.join(run.identity['data.target'])}: {count(len(one.runs), 'fold')}"
    title += f" of split={run.identity['split.kind']}, mean ± sd"
    yield f"{title} ({one.label})" if one.setting else title
    pooled = {name: one.pooled_r2(name) for name in one.predictors(metric)}
    table = [["", *map(style.name_of, shown)]]
    if any(value is not None for value in pooled.values()):
        table[0].append("R² pooled")
    for predictor in one.predictors(metric):
        row = [predictor_name(predictor, run)]
        for name in shown:
            values = one.scores(predictor, name)
            row.append(mean_text(Mean.of(values.values()), num_decimals(one, name), len(one.runs)))
        value = pooled[predictor]
        table.append([*row, "" if value is None else f"{value:.3f}"][: len(table[0])])
    yield from (f"  {line}" for line in aligned(table))
    yield f"Verdict: {verdict(one)}."


def _setting_lines(parts: Sequence[CrossValidation]) -> Iterator[str]:
    """The model of each setting on the folds that all of them have, best first."""
    metric = parts[0].metrics[0]
    common = set(parts[0].scores(MODEL, metric))
    for one in parts:
        common &= one.scores(MODEL, metric).keys()
    if not common:
        yield "The settings have no fold in common, so they are not compared."
        return
    decimals = max(num_decimals(one, metric) for one in parts)
    means = [
        (Mean.of(one.scores(MODEL, metric)[fold] for fold in common), one.label) for one in parts
    ]
    sign = 1 if is_error(metric) else -1
    means.sort(key=lambda pair: sign * pair[0].mean if pair[0] else math.inf)
    yield f"Settings on the {count(len(common), 'fold')} that all have:"
    rows = [[label, mean_text(mean, decimals, len(common))] for mean, label in means]
    table = [["", style.name_of(metric)], *rows]
    yield from (f"  {line}" for line in aligned(table))


def _share(one: CrossValidation, difference: Difference) -> str:
    """The difference in percent of the baseline's error; nothing where the metric is no error."""
    scores = one.scores(difference.baseline, difference.metric)
    theirs = sum(scores[fold] for fold in difference.by_fold) / len(difference.by_fold)
    if not is_error(difference.metric) or theirs <= 0:
        return ""
    share = 100 * abs(difference.mean.mean) / theirs
    return f" ({share:.0f} %)" if share >= 1 else f" ({share:.1f} %)"


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}"
