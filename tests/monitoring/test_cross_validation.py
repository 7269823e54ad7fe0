"""Means, intervals and comparisons of folds, and which runs belong together."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from aam.errors import UserError
from aam.losses import metrics
from aam.monitoring import style
from aam.monitoring.folds.figure import draw
from aam.monitoring.folds.groups import cross_validations
from aam.monitoring.folds.numbers import (
    CrossValidation,
    out_of_fold_columns,
    summary_columns,
)
from aam.monitoring.folds.report import report, verdict
from aam.monitoring.folds.runs import METRICS, MODEL, FoldRun
from aam.monitoring.spread import Mean, corrected_interval

IDENTITY = {
    "loop": "finetune",
    "data.target": ["age"],
    "task": "regression",
    "classes": [],
    "data.group_column": None,
    "split.kind": "kfold",
    "split.folds": 5,
    "split.repeats": 1,
    "split.seed": 0,
    "data.table": "ab" * 32,
    "data.metadata": None,
}
MODEL_MAE = [10.0, 12.0, 11.0, 15.0, 9.0]
FOREST_MAE = [14.0, 17.0, 17.0, 19.0, 13.0]


def make_run(
    fold: int, scores: dict[str, dict[str, float]] | None = None, **changes: Any
) -> FoldRun:
    identity = changes.pop("identity", {})
    fields: dict[str, Any] = {
        "folder": Path(f"job{fold}"),
        "fold": fold,
        "num_folds": 5,
        "repeat": fold // 5,
        "train_test": (80, 20),
        "identity": IDENTITY | identity,
        "settings": {"loop.head": "mlp", "pretrained": "null"},
        "scores": scores
        or {
            MODEL: {"mae": MODEL_MAE[fold % 5]},
            "random_forest": {"mae": FOREST_MAE[fold % 5]},
            "mean": {"mae": 40.0},
        },
        "predictions": {"sample-id": [f"s{fold % 5}"], "true": ["1"], "predicted": ["2"]},
        "baseline_predictions": {},
    }
    return FoldRun(**fields | changes)


@pytest.fixture
def five() -> CrossValidation:
    (one,) = cross_validations([make_run(fold) for fold in (3, 0, 4, 1, 2)])
    return one


def test_metrics_are_those_of_the_losses():
    assert set(METRICS["regression"]) == set(metrics.REGRESSION_METRICS)
    assert set(METRICS["classification"]) == set(metrics.CLASSIFICATION_METRICS)
    assert {task: names[0] for task, names in METRICS.items()} == metrics.PRIMARY


def test_means_are_over_folds_with_n_minus_1(five):
    assert five.folds == [0, 1, 2, 3, 4]
    assert five.predictors("mae") == [MODEL, "random_forest", "mean"]
    mean = Mean.of(five.scores(MODEL, "mae").values())
    assert (mean.mean, mean.number) == (np.mean(MODEL_MAE), 5)
    assert mean.sd == pytest.approx(np.std(MODEL_MAE, ddof=1), rel=1e-14)
    assert Mean.of([3.0]) == Mean(3.0, None, 1)
    assert Mean.of([]) is None


def test_the_interval_by_hand():
    """Differences -4, -5, -6 and a test part of half the training part."""
    low, high = corrected_interval(Mean(-5.0, 1.0, 3), 0.5)
    t = 0.95 * (2 / (1 - 0.95**2)) ** 0.5  # 4.303: with two degrees of freedom in closed form
    half = t * (1 / 3 + 1 / 2) ** 0.5
    assert (low, high) == pytest.approx((-5 - half, -5 + half), rel=1e-12)


def test_without_a_shared_training_part_the_interval_is_the_plain_one():
    values = np.subtract(MODEL_MAE, FOREST_MAE)
    plain = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert corrected_interval(Mean.of(values.tolist()), 0.0) == pytest.approx(plain, rel=1e-12)


def test_the_model_against_the_best_baseline(five):
    difference = five.difference("mae")
    values = np.subtract(MODEL_MAE, FOREST_MAE)
    assert difference.baseline == "random_forest"
    assert list(difference.by_fold.values()) == values.tolist()
    assert difference.mean.mean == pytest.approx(values.mean())
    assert difference.interval == corrected_interval(difference.mean, 20 / 80)
    assert (difference.is_better, difference.num_better, difference.is_beyond) == (True, 5, True)
    assert verdict(five) == (
        "aam (finetune) is better than the random forest by 4.60 (29 %) in MAE, beyond the spread "
        "of the folds (sd of the difference 0.89, better in 5 of 5; 95 % interval of model minus "
        "baseline, corrected for shared training samples: -6.27 to -2.93)"
    )


def test_a_correction_that_turns_the_verdict():
    """The same differences are beyond the spread by the plain t-test, but not by the corrected."""
    ours, theirs = [10.0, 11.0, 12.0, 10.0, 11.0], [11.0, 13.0, 12.5, 13.0, 11.5]
    runs = [
        make_run(fold, {MODEL: {"mae": a}, "mean": {"mae": b}})
        for fold, (a, b) in enumerate(zip(ours, theirs, strict=True))
    ]
    (one,) = cross_validations(runs)
    difference = one.difference("mae")
    assert corrected_interval(difference.mean, 0.0)[1] < 0
    assert not difference.is_beyond
    assert "within the spread of the folds" in verdict(one)


def test_an_area_is_better_when_larger_and_counted_where_defined():
    task = {"identity": {"task": "classification", "classes": ["no", "yes"]}}
    scores = [
        {MODEL: {"auroc": 0.7}, "knn_unifrac": {"auroc": 0.8}, "majority": {"auroc": 0.5}},
        {MODEL: {"accuracy": 0.9}, "knn_unifrac": {}, "majority": {}},
        {MODEL: {"auroc": 0.6}, "knn_unifrac": {"auroc": 0.8}, "linear_clr": {"auroc": 0.9}},
    ]
    (one,) = cross_validations([make_run(k, s, num_folds=3, **task) for k, s in enumerate(scores)])
    assert one.metrics == ["auroc", "accuracy"]
    assert one.predictors("auroc") == ["linear_clr", "knn_unifrac", MODEL, "majority"]
    assert one.difference("auroc").baseline == "knn_unifrac"  # linear_clr lacks a fold of ours
    assert verdict(one).startswith("aam (finetune) is worse than the k-NN on UniFrac by 0.150 in")
    assert "0.650 ± 0.071 (n=2)" in report([one])
    summary = summary_columns([one])
    row = summary["predictor"].index(MODEL)
    assert [summary[name][row] for name in ("num_folds", "fold_0", "fold_1", "fold_2")] == [
        2, 0.7, None, 0.6,
    ]  # fmt: skip
    assert summary.keys().isdisjoint({"setting"})


def test_verdicts_where_there_is_little_to_say():
    (alone,) = cross_validations([make_run(0, {MODEL: {"mae": 1.0}})])
    assert verdict(alone).startswith("no baseline was tested on the same folds")
    (single,) = cross_validations([make_run(0)])
    assert single.difference("mae").interval is None
    assert verdict(single) == (
        "aam (finetune) is better than the random forest by 4.00 (29 %) in MAE; "
        "a single fold says nothing of the spread"
    )
    scores = {MODEL: {"mae": 0.25}, "random_forest": {"mae": 0.25}}
    (equal,) = cross_validations([make_run(fold, scores) for fold in range(5)])
    assert verdict(equal) == "aam (finetune) is exactly as good as the random forest in MAE"
    assert equal.predictors("mae")[0] == MODEL


def test_pooled_r2_is_that_of_all_predictions_together():
    noise = np.random.default_rng(0)
    true, ours, theirs = noise.normal(size=(3, 5, 7))
    runs = [
        make_run(
            fold,
            {MODEL: {"mae": 1.0, "r2": 0.5}, "mean": {"mae": 1.0, "r2": 0.5}, "knn": {"r2": 0.1}},
            predictions={
                "sample-id": [f"{fold}-{k}" for k in range(7)],
                "true": [repr(float(v)) for v in true[fold]],
                "predicted": [repr(float(v)) for v in ours[fold]],
            },
            baseline_predictions={
                "baseline": ["mean"] * 7,
                "true": [repr(float(v)) for v in true[fold]],
                "predicted": [repr(float(v)) for v in theirs[fold]],
            },
        )
        for fold in range(5)
    ]
    (one,) = cross_validations(runs)
    assert one.pooled_r2(MODEL) == pytest.approx(r2_score(true.ravel(), ours.ravel()), rel=1e-12)
    assert one.pooled_r2("mean") == pytest.approx(r2_score(true.ravel(), theirs.ravel()), rel=1e-12)
    assert one.pooled_r2("knn") is None
    summary = summary_columns([one])
    pooled = dict(
        zip(
            zip(summary["predictor"], summary["metric"], strict=True),
            summary["pooled"],
            strict=True,
        )
    )
    assert pooled[MODEL, "r2"] == one.pooled_r2(MODEL)
    assert pooled[MODEL, "mae"] is None


def test_repeats_are_told_apart():
    runs = [make_run(fold, num_folds=10, identity={"split.repeats": 2}) for fold in range(10)]
    (one,) = cross_validations(runs)
    columns = out_of_fold_columns([one])
    assert list(columns) == ["sample-id", "repeat", "fold", "true", "predicted"]
    assert columns["sample-id"] == [f"s{k}" for k in range(5)] * 2
    assert columns["repeat"] == [0] * 5 + [1] * 5
    assert columns["fold"] == list(range(10))


def test_settings_are_compared_on_the_folds_that_all_have():
    runs = [make_run(fold) for fold in range(5)]
    runs += [
        make_run(
            fold,
            {MODEL: {"mae": MODEL_MAE[fold] + 0.5}, "random_forest": {"mae": FOREST_MAE[fold]}},
            settings={"loop.head": "linear", "pretrained": "null", "loop.hidden": "3"},
        )
        for fold in range(4)
    ]
    parts = cross_validations(runs)
    assert [one.setting for one in parts] == [
        {"loop.head": "linear", "loop.hidden": "3"},
        {"loop.head": "mlp", "loop.hidden": "null"},
    ]
    lines = report(parts).splitlines()
    assert lines[-4:] == [
        "Settings on the 4 folds that all have:",
        "                                            MAE",
        "  loop.head=mlp, loop.hidden=null  12.00 ± 2.16",
        "  loop.head=linear, loop.hidden=3  12.50 ± 2.16",
    ]
    assert sum("Verdict: aam (finetune) is better" in line for line in lines) == 2
    summary = summary_columns(parts)
    assert next(iter(summary)) == "setting"
    assert list(summary)[-5:] == [f"fold_{fold}" for fold in range(5)]
    assert list(out_of_fold_columns(parts))[:2] == ["setting", "sample-id"]


def test_an_encoder_for_each_fold_is_one_setting_and_said_aloud(caplog):
    runs = [make_run(k, settings={"pretrained": f"run{k}"}) for k in range(5)]
    (one,) = cross_validations(runs)
    assert one.setting == {}
    assert "the folds have 5 different pretrained= and count as one setting" in caplog.text


def test_encoders_on_the_same_folds_are_settings():
    runs = [make_run(k, settings={"pretrained": name}) for k in range(5) for name in "ab"]
    assert [one.label for one in cross_validations(runs)] == ["pretrained=a", "pretrained=b"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"identity": {"loop": "mlp"}}, "it has loop=mlp, not finetune"),
        ({"identity": {"data.target": ["age", "ph"]}}, "it has data.target=age, ph, not age"),
        ({"identity": {"task": "classification"}}, "it has task=classification, not regression"),
        ({"identity": {"split.seed": 3}}, "it has split.seed=3, not 0"),
        ({"identity": {"split.folds": 10}}, "it has split.folds=10, not 5"),
        ({"identity": {"data.table": "cd" * 32}}, "its data.table is another file (by SHA-256)"),
        ({"identity": {"data.metadata": "0"}}, "its data.metadata is another file (by SHA-256)"),
        (
            {"fold": 0, "folder": Path("again")},
            "fold 0 is there twice with the same settings, in job0 and again",
        ),
        (
            {"predictions": {"sample-id": ["s0"], "true": ["1"], "predicted": ["2"]}},
            "sample s0 is tested in two folds of one repeat, in job0 and job1",
        ),
        (
            {"predictions": {"sample-id": ["s1"], "true": ["1"]}},
            "the test predictions of job1 have other columns than those of job0",
        ),
        (
            {"settings": {"loop.head": "linear", "trainer.epochs": "3"}},
            "differs from the other runs in loop.head, trainer.epochs and has no fold",
        ),
    ],
)
def test_what_does_not_belong_together(changes, sentence):
    with pytest.raises(UserError) as refused:
        cross_validations([make_run(0), make_run(**({"fold": 1} | changes))])
    assert sentence in str(refused.value)


def test_runs_without_a_defined_metric():
    with pytest.raises(UserError, match="job0 and the folds beside it have no test metric"):
        cross_validations([make_run(0, {MODEL: {}})])


@pytest.mark.parametrize(
    ("num_folds", "said"),
    [
        (6, "3 of 6 folds are missing and not in the means: split.fold=1,3,5"),
        (None, "2 of 5 folds are missing and not in the means: split.fold=1,3"),
    ],
)
def test_missing_folds_are_named(caplog, num_folds, said):
    with caplog.at_level(logging.WARNING):
        (one,) = cross_validations([make_run(k, num_folds=num_folds) for k in (0, 2, 4)])
    assert caplog.messages == [said]
    assert Mean.of(one.scores(MODEL, "mae").values()).mean == pytest.approx(10.0)


def test_the_figure_shows_every_fold_and_mean(five):
    with style.applied():
        figure = draw([five])
    (axes,) = figure.axes
    points = [np.asarray(one.get_offsets()) for one in axes.collections]
    means = [line.get_xdata()[0] for line in axes.lines]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["training mean", "random forest", "aam (finetune)"]  # from below
    assert [part[:, 0].tolist() for part in points] == [[40.0] * 5, FOREST_MAE, MODEL_MAE]
    assert [int(part[0, 1]) for part in points] == [0, 1, 2]
    assert means == [np.mean(part[:, 0]) for part in points]
    assert [text.get_text() for text in axes.texts][-2:] == ["11.40 ± 2.30", "mean ± sd"]


def test_settings_share_the_rows_of_equal_baselines():
    runs = [make_run(k, settings={"loop.head": head}) for k in range(5) for head in ("a", "b")]
    runs[0].scores["mean"]["mae"] = 39.0
    with style.applied():
        figure = draw(cross_validations(runs))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()][::-1]
    assert names == [
        "aam (finetune)\nloop.head=a",
        "aam (finetune)\nloop.head=b",
        "random forest",
        "training mean\nloop.head=a",
        "training mean\nloop.head=b",
    ]
