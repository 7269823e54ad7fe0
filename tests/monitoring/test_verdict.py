from collections.abc import Callable
from typing import Any

import pytest

from aam.monitoring.verdict import aligned, num_decimals, verdict

Event = dict[str, Any]
RANDOM = {"kind": "random", "fold": 0, "folds": 5, "repeats": 1, "seed": 0}
KFOLD = RANDOM | {"kind": "kfold", "fold": 1, "repeats": 2}
SPREAD = (
    "One split says little: aam-train --multirun split=kfold split.fold=0,1,2,3,4 and then "
    "aam-facts cv tell whether that is beyond the spread of the folds."
)


@pytest.fixture
def judged(make_event: Callable[..., Event]) -> Callable[..., list[str]]:
    """Make the verdict of test metrics given by name: ``aam`` is the model."""

    def judge(
        task: str = "regression",
        split: dict[str, Any] = RANDOM,
        num_samples: int | None = None,
        **scores: dict[str, float | None],
    ) -> list[str]:
        test = dict(scores.pop("aam"))
        for name, of in scores.items():
            test |= {f"baseline_{name}_{metric}": value for metric, value in of.items()}
        event = make_event("on_test_end", metrics={"train": {}, "val": {}, "test": test})
        return verdict(event, {"task": task, "split": split}, "finetune", num_samples)

    return judge


def test_a_model_that_loses_is_told_so(judged: Callable[..., list[str]]) -> None:
    lines = judged(
        num_samples=132,
        aam={"mae": 104.4, "rmse": 139.16, "r2": 0.6712, "target_loss": 0.2},
        mean={"mae": 210.0, "rmse": 262.0, "r2": -0.01},
        random_forest={"mae": 98.31, "rmse": 130.2, "r2": 0.71},
        knn_unifrac={"mae": None, "rmse": None, "r2": None},
    )
    assert lines == [
        "Test set (132 samples)    MAE   RMSE      R²",
        "  random forest          98.3  130.2   0.710",
        "> aam (finetune)        104.4  139.2   0.671",
        "  training mean         210.0  262.0  -0.010",
        "  k-NN on UniFrac           -      -       -",
        "The random forest is better than the model by 6.1 in MAE (6 %).",
        SPREAD,
    ]


def test_a_model_that_wins_is_compared_with_the_best(judged: Callable[..., list[str]]) -> None:
    lines = judged(aam={"mae": 0.5}, mean={"mae": 1.0}, linear_clr={"mae": 0.625})
    assert [line.split()[0] for line in lines[1:4]] == [">", "linear", "training"]
    best = "linear model on CLR (best baseline)"
    assert lines[4] == f"The model is better than the {best} by 0.1250 in MAE (20 %)."


def test_of_scores_the_larger_is_better(judged: Callable[..., list[str]]) -> None:
    lines = judged(
        task="classification",
        split=KFOLD,
        aam={"auroc": 0.801, "f1": 0.5, "accuracy": 0.6, "balanced_accuracy": 0.55},
        majority={"auroc": 0.5, "f1": 0.3, "accuracy": 0.9, "balanced_accuracy": 0.5},
        random_forest={"auroc": 0.813, "f1": 0.4, "accuracy": 0.5, "balanced_accuracy": 0.4},
    )
    assert lines[0].split() == ["Test", "set", "AUROC", "Accuracy", "Balanced", "accuracy", "F1"]
    assert [line.split()[0] for line in lines[1:4]] == ["random", ">", "majority"]
    assert lines[4:] == [
        "The random forest is better than the model by 0.012 in AUROC.",
        "This is one fold of 10: aam-facts cv of them all tells whether that is beyond their "
        "spread.",
    ]


def test_a_model_worse_than_guessing(judged: Callable[..., list[str]]) -> None:
    lines = judged(aam={"mae": 3.0}, mean={"mae": 2.0}, random_forest={"mae": 1.0})
    assert lines[4:6] == [
        "The random forest is better than the model by 2.000 in MAE (200 %).",
        "The model does not even beat the training mean.",
    ]


def test_equal_to_the_last_shown_digit_is_equal(judged: Callable[..., list[str]]) -> None:
    lines = judged(aam={"mae": 50.0}, random_forest={"mae": 50.001})
    assert lines[3] == "The model and the random forest (best baseline) are equally good in MAE."


def test_what_cannot_be_compared_is_said(judged: Callable[..., list[str]]) -> None:
    one_class = judged(
        task="classification",
        aam={"auroc": None, "accuracy": 0.75},
        majority={"auroc": None, "accuracy": 1.0},
    )
    assert one_class[3] == "The majority class is better than the model by 0.250 in Accuracy."
    assert "No baseline stands beside the model" in judged(aam={"mae": 1.0})[2]
    broken = judged(aam={"mae": None, "rmse": None}, mean={"mae": 1.0, "rmse": 1.0})
    assert "no finite MAE" in broken[3]
    assert judged(aam={"total_loss": 1.0}) == []


def test_table_helpers() -> None:
    assert [num_decimals("mae", value) for value in (92.1, 0.0123, 12345.0, None, 0.0)] == [
        2, 5, 0, 3, 3,
    ]  # fmt: skip
    assert aligned([["a", "b"], ["long", "1.25"]]) == ["a        b", "long  1.25"]
