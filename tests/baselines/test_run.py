"""All baselines together: what must not matter, and what may go wrong."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from aam.baselines import given as given_module
from aam.baselines.forest import RandomForest
from aam.baselines.given import Given
from aam.baselines.run import baseline_names, fit_baselines
from aam.baselines.simple import Mean
from aam.config import DataConfig
from aam.data.batches import rarefy_by_id
from aam.data.splits import Split
from aam.data.study import load_study
from aam.data.targets import read_target

from .studies import KINDS, mixed, random_given, reordered, with_counts


def outputs_of(given: Given) -> dict[str, dict[str, NDArray[np.float64]]]:
    return {fitted.name: dict(fitted.outputs) for fitted in fit_baselines(given)}


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", KINDS[1::2])
def test_test_rows_have_no_influence(kind: dict[str, int]) -> None:
    """Whatever the test samples hold, and whatever the labels that are not trained on."""
    given = random_given(**kind, groups=mixed(), batches=mixed())
    counts = given.study.counts.toarray()
    counts[np.concatenate([given.train, given.split.val]), 5] = 0
    before = with_counts(given, counts)
    random = np.random.default_rng(1)
    counts = counts.copy()
    counts[given.split.test] = random.poisson(3, (len(given.split.test), counts.shape[1])) * 9 + 1
    values = given.target.values.copy()
    others = np.concatenate([given.split.val, given.split.test])
    values[others] = values[others][::-1] if given.is_classification else -1e9
    after = with_counts(replace(given, target=replace(given.target, values=values)), counts)
    first, second = outputs_of(before), outputs_of(after)
    assert tuple(first) == baseline_names(given.target.task, batch=True, tree=True)
    for name in first:
        np.testing.assert_allclose(second[name]["val"], first[name]["val"], rtol=1e-8, err_msg=name)


@pytest.mark.parametrize("kind", KINDS[1::2])
def test_the_order_of_the_study_is_no_matter(kind: dict[str, int]) -> None:
    given = random_given(**kind, groups=mixed(), batches=mixed())
    counts = given.study.counts.toarray()
    counts[:, 8:] = 0  # few ASVs, so that many distances are equal
    given = with_counts(given, counts)
    moved = reordered(given, np.random.default_rng(2).permutation(60))
    first, second = outputs_of(given), outputs_of(moved)
    assert tuple(first) == tuple(second) == baseline_names(given.target.task, True, True)
    for name, parts in first.items():
        for part, outputs in parts.items():
            np.testing.assert_allclose(second[name][part], outputs, rtol=1e-8, err_msg=name)


@pytest.mark.parametrize("kind", KINDS[1::2])
def test_one_group_alone_leaves_nothing_to_choose_by(kind: dict[str, int]) -> None:
    given = random_given(**kind, groups=("a",) * 60)
    fitted = outputs_of(given)
    assert tuple(fitted) == baseline_names(given.target.task, batch=False, tree=True)
    constant, *others = (np.ptp(outputs["test"], axis=0).max() for outputs in fitted.values())
    assert constant == 0
    assert min(others) > 0.1


def test_a_class_that_is_not_trained_on_has_probability_0() -> None:
    given = random_given(num_classes=4)
    split = given.split
    train = split.train[given.classes[split.train] != 1]
    alone = split.train[given.classes[split.train] == 3][1:]  # one sample of the last class
    given = replace(given, split=Split(np.setdiff1d(train, alone), split.val, split.test[:0]))
    fitted = outputs_of(given)
    assert tuple(fitted) == baseline_names("classification", batch=False, tree=True)
    for name, outputs in fitted.items():
        assert outputs["test"].shape == (0, 4)
        probabilities = outputs["val"]
        assert probabilities.min() >= 0
        assert np.all(probabilities[:, 1] == 0), name
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12, err_msg=name)


def test_what_cannot_be_fitted_is_left_out_and_says_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = random_given(num_classes=2)
    split = given.split
    one_class = replace(
        given, split=replace(split, train=split.train[given.classes[split.train] == 1])
    )
    assert list(outputs_of(one_class)) == [
        "majority", "random_forest", "knn_bray_curtis", "knn_unifrac",
    ]  # fmt: skip
    why = "is left out: the training part has one class only"
    names = ("read_depth", "kernel_bray_curtis", "kernel_unifrac", "linear_clr")
    assert warnings_in(caplog) == [f"the baseline {name} {why}" for name in names]

    caplog.clear()
    given = random_given()
    one_sample = replace(given, split=replace(given.split, train=given.split.train[:1]))
    fitted = outputs_of(one_sample)
    assert list(fitted) == [
        "mean", "read_depth", "random_forest", "knn_bray_curtis", "knn_unifrac",
    ]  # fmt: skip
    for outputs in fitted.values():
        np.testing.assert_allclose(outputs["val"], given.values[one_sample.split.train[0], 0])
    assert warnings_in(caplog)[-1].endswith("left out: no ASV is in 3 training samples")

    caplog.clear()
    monkeypatch.setattr(given_module, "MAX_SAMPLES_OF_DISTANCES", 59)
    given = replace(given, study=replace(given.study, tree=None))
    assert list(outputs_of(given)) == ["mean", "read_depth", "random_forest", "linear_clr"]
    said = warnings_in(caplog)
    assert said[0] == "no tree was given (data.tree): the baselines on UniFrac are left out"
    assert len(said) == 3
    assert "between 59 samples at most, and there are 60" in said[1]


def test_a_failure_is_no_exception(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RandomForest, "fit", lambda self, rows: 1 / 0)
    monkeypatch.setattr(Mean, "predict", lambda self, rows: np.full((len(rows), 1), np.nan))
    assert "linear_clr" in outputs_of(random_given())
    assert warnings_in(caplog) == [
        "the baseline mean is left out: some of its outputs are not finite",
        "the baseline random_forest failed and is left out: ZeroDivisionError: division by zero",
    ]


def test_names() -> None:
    regression = baseline_names("regression", batch=False, tree=False)
    assert regression == (
        "mean", "read_depth", "random_forest", "knn_bray_curtis", "kernel_bray_curtis",
        "linear_clr",
    )  # fmt: skip
    assert baseline_names("classification", batch=True, tree=True)[:2] == (
        "majority", "batch_majority",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "column", "batch"), [("cfs", "group", "sex"), ("cheese-ph", "pH", "cheese")]
)
def test_real_sets(
    real_data: Path, caplog: pytest.LogCaptureFixture, name: str, column: str, batch: str
) -> None:
    """All are fitted without a warning, and the best one has learned something."""
    folder = real_data / name
    paths = {
        "table": str(folder / "table.biom"),
        "tree": str(folder / "tree.nwk"),
        "metadata": str(folder / "metadata.tsv"),
    }
    study, target = read_target(load_study(DataConfig(name="biom", **paths)), (column,), None)
    caplog.clear()
    rows = np.random.default_rng(0).permutation(len(study.sample_ids))
    split = Split(np.sort(rows[20:]), np.sort(rows[:10]), np.sort(rows[10:20]))
    batches = study.column("data.batch_column", batch).values
    fitted = fit_baselines(Given(study, target, split, None, batches, 10, 0))
    assert warnings_in(caplog) == []
    assert tuple(f.name for f in fitted) == baseline_names(target.task, batch=True, tree=True)
    held = np.concatenate([split.val, split.test])
    truth = np.eye(2)[target.values[held]] if target.classes else target.values[held]
    errors = [
        np.abs(np.concatenate([f.outputs["val"], f.outputs["test"]]) - truth).mean() for f in fitted
    ]
    assert min(errors[2:]) < 0.85 * errors[0]


def test_depth_alone_tells_apart_what_was_sequenced_apart() -> None:
    """Ten times the reads of one class: read depth sees it, and not once rarefied."""
    given = random_given(num_classes=2)
    counts = given.study.counts.multiply(10 ** given.classes[:, None]).tocsr()
    even = rarefy_by_id(counts, given.study.sample_ids, int(counts.sum(axis=1).min()), 0)
    truth = given.classes[given.split.test]
    for each, area in ((counts, 1.0), (even, 0.5)):
        one = replace(given, study=replace(given.study, counts=each))
        probability = outputs_of(one)["read_depth"]["test"][:, 1]
        assert roc_auc_score(truth, probability) == pytest.approx(area)
