"""What a split that tears people apart pretends: the same predictors, scored in both ways.

    aam-train --multirun … split=kfold data.group_column=null  split.fold=0,1,2,3,4
    aam-train --multirun … split=kfold data.group_column=SUBJECT split.fold=0,1,2,3,4
    aam-facts cv EXP                                            # of each
    python benchmarks/leak.py NAME=RANDOM_EXP,GROUPED_EXP … --output leak.png

draws a panel for each NAME from the ``cross_validation.tsv`` of the two folders.
"""

import argparse
from pathlib import Path

from aam.facts.tables import numbers, read_tsv
from aam.monitoring import style

METRICS = ("mae", "auroc")  # the first that a table has
HINTS = {"mae": "lower is better", "auroc": "higher is better"}
LEFT_OUT = ("mean", "majority", "read_depth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panels", nargs="+", metavar="NAME=RANDOM_EXP,GROUPED_EXP")
    parser.add_argument("--output", type=Path, default=Path("leak.png"))
    given = parser.parse_args()
    with style.applied():
        figure = style.new_figure(
            6.4 * len(given.panels),
            6.2,
            "The same predictors, tested on people they have met and on people they have not",
            "points: mean over the folds of a cross-validation; lines: from one split to the other",
        )
        every = figure.subplots(1, len(given.panels), squeeze=False)[0]
        for axes, panel in zip(every, given.panels, strict=True):
            name, _, folders = panel.partition("=")
            random, grouped = (scores(Path(folder)) for folder in folders.split(","))
            draw(axes, name, random, grouped)
        figure.savefig(given.output, dpi=120)


def scores(folder: Path) -> dict[tuple[str, str], float]:
    """(predictor, metric) → mean over the folds."""
    table = read_tsv(folder / "cross_validation.tsv")
    keys = zip(table["predictor"], table["metric"], strict=True)
    return dict(zip(keys, numbers(table["mean"]), strict=True))


def draw(axes, name, random, grouped) -> None:
    metric = next(one for one in METRICS if any(key[1] == one for key in grouped))
    predictors = [one for one, measured in grouped if measured == metric and one not in LEFT_OUT]
    ends = []
    for predictor in predictors:
        values = [of.get((predictor, metric)) for of in (random, grouped)]
        is_model = predictor == "model"
        color = style.VERMILLION if is_model else style.GREY
        axes.plot([0, 1], values, "o-", color=color, linewidth=3 if is_model else 1.4)
        label = "aam (probe)" if is_model else style.baseline_name(predictor)
        ends.append([values[1], label, color])
    place_labels(axes, ends)
    axes.set_title(f"{name}: {style.name_of(metric)}, {HINTS[metric]}")
    axes.set_xticks([0, 1], ["samples at random", "people kept apart"])
    axes.set_xlim(-0.15, 2.0)


def place_labels(axes, ends) -> None:
    """Labels at the right ends, pushed apart where they would touch."""
    ends.sort()
    low, high = axes.get_ylim()
    least, at = 0.05 * (high - low), -float("inf")
    for value, label, color in ends:
        at = max(value, at + least)
        axes.annotate(
            label, (1, value), (1.12, at), color=color, va="center", fontsize=11,
            arrowprops={"arrowstyle": "-", "color": "#CCCCCC", "relpos": (0, 0.5)},
        )  # fmt: skip


if __name__ == "__main__":
    main()
