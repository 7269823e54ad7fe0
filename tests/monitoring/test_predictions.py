"""The families that draw predictions of a target, on recorded runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.facts.tables import read_tsv, write_tsv
from aam.monitoring import style
from aam.monitoring.drawing import draw_all
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.families.confusion_matrix import MAX_CLASSES, count, merged
from aam.monitoring.families.pred_vs_actual import linear_fit
from aam.monitoring.families.predictions import best_baseline, read_classified, read_columns
from aam.monitoring.families.roc_pr import curves

MakeRun = Callable[..., Path]
OF_EPOCHS = ("losses", "metrics", "training_curves")
SMALL = LoggingConfig(
    plots="full",
    families={name: FamilyConfig(dpi=30, enabled=name not in OF_EPOCHS) for name in FAMILIES},
)
TRUE = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
NEAR = np.array([[1.5], [1.5], [3.5], [4.0], [5.0]])
FAR = np.full((5, 1), 3.0)
CLASSES = ("sick", "well")
PROBABLE = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])


def facts_of(run_dir: Path, moment: str = "on_test_end") -> RunFacts:
    return RunFacts.read(run_dir, moment, DiagnosticsConfig())


def drawn(family: str, run_dir: Path, moment: str = "on_test_end") -> Any:
    with style.applied():
        figure = FAMILIES[family].draw(facts_of(run_dir, moment))
        figure.draw_without_rendering()
    return figure


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("moment", ["on_validation_improved", "on_test_end"])
def test_pred_vs_actual_shows_model_and_best_baseline(supervised_run: MakeRun, moment: str) -> None:
    run_dir = supervised_run(TRUE, NEAR, {"mean": FAR, "random_forest": TRUE + 1})
    assert best_baseline(facts_of(run_dir, moment)) == "random_forest"
    axes, side = drawn("pred_vs_actual", run_dir, moment).axes
    points = [np.asarray(one.get_offsets()) for one in axes.collections]
    np.testing.assert_array_equal(points[0], np.hstack([TRUE, NEAR]))
    np.testing.assert_array_equal(points[1], np.hstack([TRUE, TRUE + 1]))
    assert axes.get_xlabel() == "true age_days"
    # MAE (0.5 + 0.5 + 0.5) / 5, R² 1 - 0.75 / 10; each baseline has the same 0.5 above.
    assert texts(side)[1:3] == ["0.300", "in age_days"]
    assert texts(side)[4::2] == ["0.925", "5"]
    assert "best baseline:\nrandom forest\nMAE 1.00   R² 0.500" in legend_of(side)
    one_to_one = next(line for line in axes.lines if line.get_linestyle() == "--")
    assert one_to_one.get_color() == style.GREY
    np.testing.assert_array_equal(one_to_one.get_xdata(), one_to_one.get_ydata())


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=3, max_size=20).filter(
        lambda pairs: np.ptp([x for x, _ in pairs]) > 1e-2
    )
)
def test_linear_fit_is_that_of_least_squares(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    expected = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), y, rcond=None)[0]
    np.testing.assert_allclose(linear_fit(x, y), expected, rtol=1e-4, atol=1e-4)


def test_linear_fit_needs_two_different_values() -> None:
    assert linear_fit(np.ones(4), np.arange(4.0)) is None
    assert linear_fit(np.ones(1), np.ones(1)) is None


def test_each_target_column_has_a_panel(supervised_run: MakeRun) -> None:
    true = np.hstack([TRUE, 10 * TRUE])
    run_dir = supervised_run(
        true,
        true + np.array([0.5, 1.0]),
        {"mean": np.tile([3.0, 30.0], (5, 1))},
        columns=("pH", "salt"),
    )
    *panels, _ = drawn("pred_vs_actual", run_dir).axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["pH\nMAE 0.500   R² 0.875", "salt\nMAE 1.00   R² 0.995"]
    *panels, below = drawn("residuals", run_dir).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["pH", "salt"]
    assert legend_of(below) == ["a sample", "no error; above: predicted too high"]


def test_residuals_by_group_are_sorted_by_median_and_show_the_largest(
    supervised_run: MakeRun,
) -> None:
    sizes = {f"g{i:02d}": 2 + (i < 25) for i in range(28)}
    groups = [name for name, size in sizes.items() for _ in range(size)]
    true = np.arange(len(groups), dtype=float)[:, None]
    off = np.array([[-int(name[1:])] for name in groups])
    run_dir = supervised_run(true, true + off, groups=groups, group_column="subject")
    axes, _ = drawn("residuals", run_dir).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"g{i:02d} (n=3)" for i in reversed(range(25))]
    assert axes.get_title(loc="left") == "the 25 largest of 28 groups\n"
    assert axes.get_xlim()[0] == -axes.get_xlim()[1]


def test_samples_without_a_finite_number_are_left_out(supervised_run: MakeRun) -> None:
    run_dir = supervised_run(TRUE, NEAR, {"mean": FAR})
    table: dict[str, Any] = dict(read_tsv(run_dir / "predictions" / "test.tsv"))
    table["predicted"] = ["", "inf", *table["predicted"][2:]]
    write_tsv(run_dir / "predictions" / "test.tsv", table)
    (column,) = read_columns(facts_of(run_dir))
    np.testing.assert_array_equal(column.true_N, [3, 4, 5])
    assert column.num_dropped == 2
    assert "2 without a finite number" in texts(drawn("pred_vs_actual", run_dir).axes[1])


def test_a_wild_prediction_does_not_flatten_the_others(supervised_run: MakeRun) -> None:
    run_dir = supervised_run(TRUE, np.array([[1.0], [2.0], [3.0], [4.0], [1e9]]))
    axes, side = drawn("pred_vs_actual", run_dir).axes
    assert axes.get_ylim()[1] < 11
    assert "1 off the axes" in texts(side)


def test_confusion_matrix_counts_as_sklearn_does(supervised_run: MakeRun) -> None:
    true = np.array([0, 1, 1, 0])
    baseline = {"majority": np.tile([0.5, 0.5], (4, 1)), "random_forest": PROBABLE}
    run_dir = supervised_run(true, PROBABLE, baseline, columns=("status",), classes=CLASSES)
    classified = read_classified(facts_of(run_dir))
    assert classified is not None
    expected = sk.confusion_matrix(true, PROBABLE.argmax(axis=1))
    np.testing.assert_array_equal(count(classified), expected)
    axes, side = drawn("confusion_matrix", run_dir).axes
    assert texts(axes) == ["1", "50 %", "1", "50 %"] * 2
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLASSES)
    shown = texts(side)
    assert shown[:2] == ["accuracy", "0.500"]
    assert shown[shown.index("always the largest class") + 1] == "0.500"
    assert shown[4] == "random forest"


def test_many_classes_are_merged_without_losing_a_sample() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (30, 30))
    names, smaller = merged([f"c{i}" for i in range(30)], counts)
    assert len(names) == len(smaller) == MAX_CLASSES
    assert names[-1] == "(11 other classes)"
    assert smaller.sum() == counts.sum()
    kept = [int(name[1:]) for name in names[:-1]]
    np.testing.assert_array_equal(smaller[:-1, :-1], counts[np.ix_(kept, kept)])
    assert counts[kept].sum(axis=1).min() >= np.delete(counts, kept, axis=0).sum(axis=1).max()


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2
    ).filter(lambda pairs: len({positive for positive, _ in pairs}) == 2)
)
def test_curves_are_those_of_sklearn(pairs: list[tuple[bool, float]]) -> None:
    positive, score = (np.array(one) for one in zip(*pairs, strict=True))
    curve = curves(positive, score)
    assert curve is not None
    false_positive, true_positive, _ = sk.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_K, false_positive, atol=1e-15)
    np.testing.assert_allclose(curve.true_positive_K, true_positive, atol=1e-15)
    precision, recall, _ = sk.precision_recall_curve(positive, score)
    np.testing.assert_allclose(curve.precision_K, precision[::-1], atol=1e-15)
    np.testing.assert_allclose(curve.true_positive_K, recall[::-1], atol=1e-15)
    assert curve.roc_area == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    expected = sk.average_precision_score(positive, score)
    assert curve.average_precision == pytest.approx(expected, abs=1e-12)


def test_roc_pr_of_two_classes_is_of_the_second(supervised_run: MakeRun) -> None:
    true = np.array([0, 1, 1, 0])
    run_dir = supervised_run(
        true, PROBABLE, {"knn_unifrac": 1 - PROBABLE}, columns=("status",), classes=CLASSES
    )
    roc, _, side = drawn("roc_pr", run_dir).axes
    assert texts(side) == ["Area under the curves;\npositive: well"]
    area = sk.roc_auc_score(true, PROBABLE[:, 1])
    labels = legend_of(side)
    assert labels[0].startswith(f"model\nROC {area:.3f}")
    assert labels[1].startswith(f"best baseline (thin):\nk-NN on UniFrac\nROC {1 - area:.3f}")
    assert labels[2] == "chance"
    assert roc.get_xlabel() == "false positive rate"


def test_roc_pr_has_a_curve_for_each_of_more_classes(supervised_run: MakeRun) -> None:
    rng = np.random.default_rng(1)
    true = np.arange(30) % 3
    outputs = rng.dirichlet(np.ones(3), 30)
    run_dir = supervised_run(true, outputs, columns=("site",), classes=("gut", "palm", "tongue"))
    _, _, side = drawn("roc_pr", run_dir).axes
    for index, (name, label) in enumerate(
        zip(("gut", "palm", "tongue"), legend_of(side)[:3], strict=True)
    ):
        area = sk.roc_auc_score(true == index, outputs[:, index])
        average = sk.average_precision_score(true == index, outputs[:, index])
        assert label == f"{name}\nROC {area:.3f}   PR {average:.3f}"


REGRESSION = ["pred_vs_actual_best", "pred_vs_actual_test", "residuals_best", "residuals_test"]
CLASSIFICATION = ["confusion_matrix_best", "confusion_matrix_test", "roc_pr_best", "roc_pr_test"]


@pytest.mark.parametrize(
    ("figures", "arguments"),
    [
        (REGRESSION, {"true": TRUE[:3] * 0 + 7, "outputs": NEAR[:3]}),
        (REGRESSION, {"true": TRUE[:1] * 0, "outputs": TRUE[:1] * 0}),
        (REGRESSION, {"true": TRUE, "outputs": TRUE * np.nan}),
        (REGRESSION, {"true": TRUE, "outputs": NEAR, "groups": [""] * 5, "group_column": "who"}),
        (CLASSIFICATION, {"true": [0] * 3, "outputs": PROBABLE[:3], "classes": CLASSES}),
        (CLASSIFICATION, {"true": [1, 0, 1], "outputs": PROBABLE[:3], "classes": CLASSES}),
    ],
    ids=["equal", "one-sample", "not-finite", "no-groups", "one-class", "three-samples"],
)
def test_odd_runs_are_drawn_too(
    supervised_run: MakeRun, figures: list[str], arguments: dict[str, Any]
) -> None:
    run_dir = supervised_run(**arguments)
    found = draw_all(run_dir, SMALL)
    assert sorted(path.stem for path in found.written) == figures
    assert found.failed == {}


def test_families_of_another_kind_of_run_say_what_they_lack(
    supervised_run: MakeRun, healthy_run: Path
) -> None:
    lacks = FAMILIES["roc_pr"].missing(facts_of(supervised_run(TRUE, NEAR)))
    assert lacks == "the run has no target of classification"
    unsupervised = facts_of(healthy_run, "on_validation_improved")
    assert FAMILIES["residuals"].missing(unsupervised) == "the run has no target of regression"


def test_best_baseline_is_a_line_in_the_panel_of_its_metric(supervised_run: MakeRun) -> None:
    run_dir = supervised_run(TRUE, NEAR, {"mean": FAR, "random_forest": TRUE + 1})
    panels = {
        axes.get_title(loc="left"): axes for axes in drawn("metrics", run_dir, "on_epoch_end").axes
    }
    assert set(panels) == {"MAE", "RMSE", "R²", "Learning rate"}
    assert texts(panels["MAE"]) == ["random forest 1.00"]
    assert texts(panels["R²"]) == ["random forest 0.500"]
    line = next(line for line in panels["MAE"].lines if list(line.get_ydata()) == [1.0, 1.0])
    assert line.is_dashed()
    low, high = panels["MAE"].get_ylim()
    assert low < 0.3
    assert high > 1.0
