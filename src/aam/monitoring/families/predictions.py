"""Predictions of a target as a run wrote them: the tables that the supervised families draw.

Shapes: N samples, C classes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aam.facts.tables import numbers, read_tsv
from aam.monitoring import style
from aam.monitoring.families.base import RunFacts, Values
from aam.monitoring.scores import PRIMARY, best_of

NO_GROUP = "(no group)"
MAX_PANELS = 9
# Of more, dots are smaller and fainter.
FEW_SAMPLES = 200
_TABLES = {"val": ("val_best", "val_baselines"), "test": ("test", "test_baselines")}


class Column(NamedTuple):
    """One target column of the model or of a baseline; only samples with finite numbers."""

    name: str
    true_N: Values
    predicted_N: Values
    group_N: NDArray[np.str_]  # empty texts where the run has no groups
    num_dropped: int


@dataclass(frozen=True)
class Classified:
    """Classes as indices into ``classes``; probabilities in the same order, NaN where not given."""

    classes: list[str]
    true_N: NDArray[np.int64]
    predicted_N: NDArray[np.int64]
    probability_NC: Values


def lacks_predictions(facts: RunFacts, task: str) -> str:
    """Say what is missing for a figure of such a task; empty if nothing is."""
    if facts.target is None or facts.target["task"] != task:
        return f"the run has no target of {task}"
    name, _ = _TABLES[facts.split]
    return "" if facts.artifact(name) else f"no artifact {name} (table of predictions)"


def read_columns(facts: RunFacts, baseline: str | None = None) -> list[Column]:
    """Every target column of a regression, of the model or of a baseline; none without a table."""
    assert facts.target is not None
    table = _read(facts, baseline)
    names = facts.target["columns"]
    groups = table.get("group")
    columns = []
    for name in names if table else ():
        end = f"_{name}" if len(names) > 1 else ""
        true_N, predicted_N = (np.array(numbers(table[k + end])) for k in ("true", "predicted"))
        group_N = np.array([one or NO_GROUP for one in groups] if groups else [""] * len(true_N))
        finite_N = np.isfinite(true_N) & np.isfinite(predicted_N)
        columns.append(
            Column(
                name,
                true_N[finite_N],
                predicted_N[finite_N],
                group_N[finite_N],
                int((~finite_N).sum()),
            )
        )
    return columns


def read_classified(facts: RunFacts, baseline: str | None = None) -> Classified | None:
    """The classes of every sample, by the model or by a baseline; None without a table."""
    assert facts.target is not None
    table = _read(facts, baseline)
    if not table:
        return None
    classes = [str(label) for label in facts.target["classes"]]
    classes += sorted({*table["true"], *table["predicted"]} - {*classes})
    place = {label: index for index, label in enumerate(classes)}
    nothing = [""] * len(table["true"])
    probabilities = [numbers(table.get(f"probability_{label}", nothing)) for label in classes]
    return Classified(
        classes,
        np.array([place[label] for label in table["true"]], dtype=np.int64),
        np.array([place[label] for label in table["predicted"]], dtype=np.int64),
        np.array(probabilities, dtype=np.float64).T,
    )


def best_baseline(facts: RunFacts) -> str | None:
    """The baseline with the best primary score on these samples; None if there is none."""
    assert facts.target is not None
    metric = PRIMARY[facts.target["task"]]
    of_all = facts.baselines(facts.split)
    return best_of({name: scores.get(metric) for name, scores in of_all.items()}, metric)


def target_name(facts: RunFacts) -> str:
    """What is predicted, for a title or an axis."""
    assert facts.target is not None
    columns = facts.target["columns"]
    if len(columns) == 1:
        return style.shortened(columns[0], 28)
    shown = min(len(columns), MAX_PANELS)
    return (
        f"{len(columns)} targets" if shown == len(columns) else f"{shown} of {len(columns)} targets"
    )


def grid_of(num_panels: int) -> tuple[int, int]:
    """Rows and columns of so many panels, at most three in a row."""
    num_wide = 2 if num_panels == 4 else min(3, num_panels)
    return -(-num_panels // num_wide), num_wide


def need_classified(facts: RunFacts) -> Classified:
    """The classes of every sample by the model, where ``lacks_predictions`` has nothing to say."""
    classified = read_classified(facts)
    assert classified is not None
    return classified


def _read(facts: RunFacts, baseline: str | None) -> dict[str, list[str]]:
    """The table of the model, or the block of a baseline in theirs; empty if it is not there."""
    of_model, of_baselines = _TABLES[facts.split]
    path = facts.artifact(of_model if baseline is None else of_baselines)
    table = {} if path is None else read_tsv(path)
    if baseline is None or not table:
        return table
    rows = [row for row, name in enumerate(table["baseline"]) if name == baseline]
    return {name: [cells[row] for row in rows] for name, cells in table.items()} if rows else {}
