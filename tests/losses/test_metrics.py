"""Figures of predictions, against scikit-learn; losses, against their definitions."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from aam.config import FinetuneConfig
from aam.data.targets import Target
from aam.losses.metrics import classification_metrics, judge, metric_names, regression_metrics
from aam.losses.supervised import balanced_weights, classification_loss, regression_loss


def test_regression():
    rng = np.random.default_rng(0)
    true, predicted = rng.normal(size=(2, 40, 2)) * [1.0, 50.0]
    found = regression_metrics(true, predicted, ("a", "b"))
    for k, name in enumerate("ab"):
        one = (true[:, k], predicted[:, k])
        assert found[f"mae_{name}"] == pytest.approx(metrics.mean_absolute_error(*one))
        assert found[f"rmse_{name}"] == pytest.approx(metrics.mean_squared_error(*one) ** 0.5)
        assert found[f"r2_{name}"] == pytest.approx(metrics.r2_score(*one))
    assert found["r2"] == pytest.approx(metrics.r2_score(true, predicted))
    assert set(regression_metrics(true[:, :1], predicted[:, :1])) == {"mae", "rmse", "r2"}
    assert np.isnan(regression_metrics(np.ones((3, 1)), np.zeros((3, 1)))["r2"])


@pytest.mark.parametrize("num_classes", [2, 4])
def test_classification(num_classes):
    rng = np.random.default_rng(1)
    true = rng.integers(num_classes, size=60)
    probability = rng.dirichlet(np.ones(num_classes) * 0.5, 60)
    probability[np.arange(60), true] += 0.3
    probability /= probability.sum(1, keepdims=True)
    found = classification_metrics(true, probability)
    guess = probability.argmax(1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, guess))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, guess))
    assert found["f1"] == pytest.approx(metrics.f1_score(true, guess, average="macro"))
    binary = probability[:, 1] if num_classes == 2 else probability
    area = metrics.roc_auc_score(true, binary, multi_class="ovr")
    assert found["auroc"] == pytest.approx(area)


def test_one_class_only_has_no_area():
    found = classification_metrics(np.zeros(3, dtype=np.int64), np.full((3, 2), 0.5))
    assert np.isnan(found["auroc"])
    assert found["accuracy"] == 1


def test_names_are_what_is_given():
    rows = np.arange(4)
    several = Target(("a", "b"), np.arange(8.0).reshape(4, 2))
    assert set(metric_names(several)) == judge(several, rows, np.zeros((4, 2))).keys()
    classes = Target(("a",), np.array([0, 1, 1, 0]), ("x", "y"))
    assert set(metric_names(classes)) == judge(classes, rows, np.full((4, 2), 0.5)).keys()


def test_losses_are_those_they_are_called():
    true, predicted = torch.tensor([[0.0], [0.0]]), torch.tensor([[0.5], [-3.0]])
    expected = {"mse": (0.25 + 9) / 2, "mae": 3.5 / 2, "huber": (0.125 + 2.5) / 2}
    for loss, value in expected.items():
        assert float(regression_loss(FinetuneConfig(loss=loss), predicted, true)) == pytest.approx(
            value
        )
    pinball = regression_loss(FinetuneConfig(loss="quantile", quantile=0.9), predicted, true)
    assert float(pinball) == pytest.approx((0.1 * 0.5 + 0.9 * 3.0) / 2)


def test_balanced_weights_count_every_class_alike():
    classes = torch.tensor([0, 0, 0, 1])
    weights = balanced_weights(classes, 3)
    assert weights.tolist() == pytest.approx([4 / 9, 4 / 3, 1])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    each = torch.nn.functional.cross_entropy(logits, classes, reduction="none")
    expected = (each[:3].mean() + each[3]) / 2
    assert classification_loss(FinetuneConfig(), logits, classes, weights) == pytest.approx(
        expected
    )
