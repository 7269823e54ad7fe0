"""What the test set says of a model and its baselines: a table, and a verdict in plain words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aam.monitoring.scores import Scores, best_of, is_error, of_baselines, of_model, ranked
from aam.monitoring.style import baseline_name, name_of, shortened

# By task: what the table shows. The first one that the model has a value of decides.
COLUMNS = {
    "regression": ("mae", "rmse", "r2"),
    "classification": ("auroc", "accuracy", "balanced_accuracy", "f1"),
}
_MODEL = ""  # no baseline has this name
_GUESSES = ("mean", "majority")


class Judgement(NamedTuple):
    """What the test came to."""

    table: list[list[str]]
    """A head, then a row for the model (it begins with ``>``) and each baseline, best first."""
    sentences: list[str]


def verdict(
    event: Mapping[str, Any],
    meta_target: Mapping[str, Any],
    loop: str,
    num_samples: int | None = None,
) -> list[str]:
    """Lines for the console, of what :func:`judgement` gives for the same."""
    judged = judgement(event, meta_target, loop, num_samples)
    return [] if judged is None else [*aligned(judged.table), *judged.sentences]


def judgement(
    event: Mapping[str, Any],
    meta_target: Mapping[str, Any],
    loop: str,
    num_samples: int | None = None,
) -> Judgement | None:
    """Rank the model among its baselines; None if the test has no metric of its task.

    Parameters
    ----------
    event
        The ``on_test_end`` event.
    meta_target, num_samples
        ``meta.target`` and ``meta.num_samples.test`` of the run's start.
    """
    metrics = event["metrics"]["test"]
    model = of_model(metrics)
    columns = [name for name in COLUMNS[meta_target["task"]] if name in model]
    if not columns:
        return None
    scores: dict[str, Scores] = {_MODEL: model, **of_baselines(metrics, model)}
    judged = next((name for name in columns if _is_finite(model[name])), columns[0])
    names = {_MODEL: f"aam ({loop.replace('_', ' ')})"}
    names |= {name: baseline_name(name) for name in scores if name}
    size = f" ({num_samples} sample{'' if num_samples == 1 else 's'})" if num_samples else ""
    head = [f"Test set{size}", *(f"{name_of(name)}" for name in columns)]
    values = {name: of[judged] for name, of in scores.items() if judged in of}
    return Judgement(
        [head, *_rows(scores, names, columns, judged)],
        [*_sentences(values, judged), _spread(meta_target["split"])],
    )


def num_decimals(metric: str, value: float | None) -> int:
    """Decimals: three of what has no unit, else so many that ``value`` has four digits."""
    if not is_error(metric) or value is None or not math.isfinite(value) or value == 0:
        return 3
    return min(max(3 - math.floor(math.log10(abs(value))), 0), 9)


def aligned(table: Sequence[Sequence[str]], num_left: int = 1) -> list[str]:
    """Rows of text with the first columns to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < num_left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _rows(
    scores: Mapping[str, Scores], names: Mapping[str, str], columns: Sequence[str], judged: str
) -> list[list[str]]:
    decimals = {column: num_decimals(column, scores[_MODEL][column]) for column in columns}
    order = ranked({name: of.get(judged) for name, of in scores.items()}, judged)
    return [
        [
            f"{'>' if name == _MODEL else ' '} {shortened(names[name])}",
            *(_cell(scores[name].get(column), decimals[column]) for column in columns),
        ]
        for name in order
    ]


def _sentences(values: Scores, metric: str) -> list[str]:
    """Which is best, and by how much; whether guessing would do as well."""
    ours = values[_MODEL]
    others = {name: value for name, value in values.items() if name != _MODEL}
    best = best_of(others, metric)
    if not _is_finite(ours):
        return [f"The model has no finite {name_of(metric)} on the test set: it is not judged."]
    if best is None:
        return ["No baseline stands beside the model, so nothing says whether this is good."]
    assert ours is not None
    theirs = others[best]
    assert theirs is not None
    by = _by(ours, theirs, metric)
    name = baseline_name(best)
    if not by:
        return [f"The model and the {name} (best baseline) are equally good in {name_of(metric)}."]
    if ranked({_MODEL: ours, best: theirs}, metric)[0] == _MODEL:
        return [f"The model is better than the {name} (best baseline) by {by}."]
    lost = [f"The {name} is better than the model by {by}."]
    guess = next((one for one in _GUESSES if one in others and one != best), None)
    if guess and ranked({guess: others[guess], _MODEL: ours}, metric)[0] == guess:
        lost.append(f"The model does not even beat the {baseline_name(guess)}.")
    return lost


def _by(ours: float, theirs: float, metric: str) -> str:
    """The difference in words, of an error also as a share of the baseline's; empty if none."""
    size = abs(ours - theirs)
    text = f"{size:.{num_decimals(metric, ours)}f}"
    if float(text) == 0:
        return ""
    if not is_error(metric) or theirs <= 0:
        return f"{text} in {name_of(metric)}"
    share = 100 * size / theirs
    return f"{text} in {name_of(metric)} ({share:.{0 if share >= 1 else 1}f} %)"


def _spread(split: Mapping[str, Any]) -> str:
    """What is known of the spread over splits: from one run, nothing."""
    if split["kind"] == "kfold":
        return (
            f"This is one fold of {split['folds'] * split['repeats']}: aam-facts cv of them all "
            "tells whether that is beyond their spread."
        )
    if split["kind"] == "leave_one_group_out":
        return (
            "This is one group: aam-facts cv of a run for each group tells whether that is beyond "
            "their spread."
        )
    return (
        "One split says little: aam-train --multirun split=kfold split.fold=0,1,2,3,4 and then "
        "aam-facts cv tell whether that is beyond the spread of the folds."
    )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _cell(value: float | None, decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    text = f"{value:.{decimals}f}"
    return text if len(text) <= 12 else f"{value:.3g}"
