"""Intervals, class sets and novelty: exact by hand, and their coverage on exchangeable samples."""

import numpy as np
import pytest
import torch

from aam.prediction.calibration import (
    Calibration,
    calibrate,
    conformal_quantile,
    load_calibration,
    save_calibration,
)


def far(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Distances of vectors of one number."""
    return (left - right.T).abs()


def on_a_line(*places: float) -> torch.Tensor:
    return torch.tensor(places).unsqueeze(1)


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (10, 10), (19, 18), (29, 27), (99, 90)])
def test_quantile_is_that_rank(n, rank):
    misses = np.random.default_rng(n).permutation(n) + 1.0
    assert conformal_quantile(misses[:, None]).tolist() == [rank]


def test_too_few_samples_have_no_interval():
    assert conformal_quantile(np.ones((8, 1))) is None
    few = Calibration(None, np.zeros(8), on_a_line(0))
    assert few.interval(np.ones((2, 1))) is None
    assert few.class_sets(np.ones((2, 1)), ["a"]) is None


def test_each_column_has_its_own_interval():
    true = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    outputs = true + np.stack([np.arange(10.0), -np.arange(10.0) / 2], axis=1)
    made = calibrate(true, outputs, on_a_line(0), on_a_line(*range(10)), far)
    low, high = made.interval(np.array([[100.0, 1.0]]))
    assert (low.tolist(), high.tolist()) == ([[91, -3.5]], [[109, 5.5]])


def test_class_sets():
    # 1 - p(true class) is 0.0, 0.1 … 0.9: the tenth of ten is 0.9, the ninth would be 0.8.
    p = 1 - np.arange(10) / 10
    outputs = np.stack([p, 1 - p], axis=1)
    made = calibrate(np.zeros(10, np.int64), outputs, on_a_line(0), on_a_line(*range(10)), far)
    assert made.reach == pytest.approx([0.9])
    new = np.array([[0.95, 0.05], [0.5, 0.5], [0.2, 0.8]])
    assert made.class_sets(new, ["a", "b"]) == [("a",), ("a", "b"), ("a", "b")]
    strict = Calibration(np.array([0.3]), made.nearest_n, made.train_NK)
    assert strict.class_sets(np.array([[0.5, 0.3, 0.2]]), ["a", "b", "c"]) == [("a",)]


def test_intervals_cover_as_promised():
    """30 and 1 exchangeable samples, 8,000 times: 28 of 31 are covered (Lei et al. 2018)."""
    errors = np.abs(np.random.default_rng(0).standard_t(3, (31, 8000)))
    covered = errors[30] <= conformal_quantile(errors[:30])
    assert covered.mean() == pytest.approx(28 / 31, abs=3 * (0.09 / 8000) ** 0.5)


def test_class_sets_cover_though_the_model_is_overconfident():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(9000, 4))
    true = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    sharp = np.exp(3 * logits)
    sharp /= sharp.sum(axis=1, keepdims=True)
    val, new = slice(0, 1000), slice(1000, None)
    lines = on_a_line(0), on_a_line(*range(1000))
    sets = calibrate(true[val], sharp[val], *lines, far).class_sets(sharp[new], "abcd")
    covered = np.mean(["abcd"[k] in held for k, held in zip(true[new], sets, strict=True)])
    assert covered == pytest.approx(0.9, abs=0.03)
    assert np.mean(sharp[new].argmax(axis=1) == true[new]) < 0.7  # so it is no matter of course


def test_novelty_is_a_rank_among_the_validation_samples():
    train, val = on_a_line(0, 100), on_a_line(*range(1, 20))
    made = calibrate(np.zeros((19, 1)), np.zeros((19, 1)), train, val, far)
    nearest, p = made.novelty(on_a_line(0, 101, 19, -50), far)
    assert nearest.tolist() == [0, 1, 19, 50]
    assert p.tolist() == [1, 1, 2 / 20, 1 / 20]
    assert (
        calibrate(np.zeros((18, 1)), np.zeros((18, 1)), train, val[1:], far).novelty(train, far)[1]
        is None
    )


def test_kept_for_the_model_of_its_epoch(tmp_path):
    assert load_calibration(tmp_path, 4) is None
    save_calibration(tmp_path, Calibration(np.ones(1), np.arange(3.0), on_a_line(1, 2)), 4)
    kept = load_calibration(tmp_path, 4)
    assert kept.reach.tolist() == [1]
    assert kept.nearest_n.tolist() == [0, 1, 2]
    assert kept.train_NK.tolist() == [[1], [2]]
    assert load_calibration(tmp_path, 5) is None
