import pytest

from aam.losses import metrics
from aam.monitoring import scores

METRICS = {
    "mae": 2.0,
    "accuracy": 0.7,
    "balanced_accuracy": 0.6,
    "baseline_knn_unifrac_accuracy": 0.5,
    "baseline_knn_unifrac_balanced_accuracy": 0.4,
    "baseline_mean_mae": 3.0,
    "baseline_mean_mae_x_mae": 4.0,
}


def test_baselines_are_told_apart_by_the_models_metrics() -> None:
    assert scores.of_model(METRICS) == {"mae": 2.0, "accuracy": 0.7, "balanced_accuracy": 0.6}
    known = ["mae", "accuracy", "balanced_accuracy", "mae_x_mae"]
    assert scores.of_baselines(METRICS, known) == {
        "knn_unifrac": {"accuracy": 0.5, "balanced_accuracy": 0.4},
        "mean": {"mae": 3.0, "mae_x_mae": 4.0},
    }
    assert scores.of_baselines(METRICS, ["f1"]) == {}


@pytest.mark.parametrize(
    ("metric", "order"), [("mae", ["b", "a", "c", "d"]), ("auroc", ["c", "a", "b", "d"])]
)
def test_best_is_smallest_of_errors_and_largest_of_scores(metric: str, order: list[str]) -> None:
    values = {"a": 0.5, "d": None, "c": 0.9, "b": 0.1}
    assert scores.ranked(values, metric) == order
    assert scores.best_of(values, metric) == order[0]
    assert scores.best_of({"d": None, "e": float("nan")}, metric) is None


def test_the_ranking_metric_is_that_of_the_losses() -> None:
    assert scores.PRIMARY == metrics.PRIMARY
