"""Which epoch is the best, and when patience ends."""

import pytest

from aam.training.early_stopping import EarlyStopping


def walk(metric: str, patience: int | None, values: list[float]) -> tuple[list[bool], list[bool]]:
    stopping = EarlyStopping(metric=metric, patience=patience)
    improved = [stopping.improved(epoch, value) for epoch, value in enumerate(values)]
    again = EarlyStopping(metric=metric, patience=patience)
    exhausted = []
    for epoch, value in enumerate(values):
        again.improved(epoch, value)
        exhausted.append(again.exhausted(epoch))
    return improved, exhausted


def test_lower_is_better_for_losses_and_higher_for_figures() -> None:
    values = [3.0, 2.0, 2.0, 2.5, 1.0]
    improved, exhausted = walk("val_loss", 2, values)
    assert improved == [True, True, False, False, True]
    assert exhausted == [False, False, False, True, False]
    higher = ("unifrac_r2", "accuracy", "balanced_accuracy", "unifrac_spearman", "f1", "auroc")
    for metric in (*higher, "recall", "precision", "r2_age", "r2_weight_loss"):
        assert walk(metric, 2, [-v for v in values])[0] == improved
    for metric in ("unifrac_mae", "mae", "mae_x_f1", "rmse_age", "target_loss"):
        assert walk(metric, 2, values)[0] == improved


def test_no_patience_never_ends_and_nan_is_never_best() -> None:
    improved, exhausted = walk("val_loss", None, [1.0] * 50)
    assert sum(improved) == 1
    assert not any(exhausted)
    nan = float("nan")
    improved, exhausted = walk("val_loss", 1, [nan, 2.0, nan, nan])
    assert improved == [False, True, False, False]
    assert exhausted == [False, False, True, True]


def test_a_checkpoint_keeps_the_best() -> None:
    stopping = EarlyStopping(metric="val_loss", patience=2)
    assert stopping.as_fact() is None
    stopping.improved(4, 0.5)
    other = EarlyStopping(metric="val_loss", patience=2)
    other.load_state_dict(stopping.state_dict())
    assert other.as_fact() == {"epoch": 4, "metric": "val_loss", "value": 0.5}
    assert not other.improved(5, 0.6)
    assert other.exhausted(6)


@pytest.mark.parametrize("metric", ["val_loss", "mae", "rmse", "nuc_loss", "grad_norm"])
def test_errors_are_better_low(metric: str) -> None:
    assert not EarlyStopping(metric=metric, patience=None).higher_is_better
