"""What is predicted: which samples have it, as numbers or classes, and there and back again."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aam.config import DataConfig
from aam.data.demo import write_demo
from aam.data.metadata import Column, Metadata
from aam.data.recipe import Recipe
from aam.data.study import Study, load_study
from aam.data.targets import Target, Transform, read_target
from aam.errors import UserError


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    files = write_demo(tmp_path_factory.mktemp("demo") / "seed0", 0)
    paths = {key: str(getattr(files, key)) for key in ("table", "tree", "metadata")}
    return load_study(DataConfig(name="biom", **paths))


def with_column(study: Study, kind: str, values: Sequence[str | None]) -> Study:
    """The first samples of the study, with one more column, ``it``."""
    few = study.take(np.arange(len(values)))
    column = Column("it", kind, tuple(values))  # type: ignore[arg-type]
    return replace(few, metadata=Metadata(few.sample_ids, {"it": column}))


def test_numbers_are_regression_and_samples_without_them_go(study, caplog):
    assert study.metadata is not None
    bmi = study.metadata.columns["bmi"].numeric()
    with caplog.at_level(logging.WARNING):
        kept, target = read_target(study, ("bmi",), None)
    np.testing.assert_array_equal(target.values[:, 0], bmi[~np.isnan(bmi)])
    assert (target.task, target.num_outputs, target.classes) == ("regression", 1, ())
    missing = [name for name, v in zip(study.sample_ids, bmi, strict=True) if np.isnan(v)]
    assert not set(missing) & set(kept.sample_ids)
    assert kept.counts.shape == (160 - len(missing), study.counts.shape[1])
    row = study.sample_ids.index(kept.sample_ids[-1])
    np.testing.assert_array_equal(kept.counts[-1].toarray(), study.counts[row].toarray())
    assert kept.metadata is not None
    assert kept.metadata.sample_ids == kept.sample_ids
    assert "bmi: numbers, so task=regression" in caplog.text
    assert f"{len(missing)} of 160 samples have no value of bmi and were dropped" in caplog.text
    assert missing[0] in caplog.text


def test_words_are_classes(study):
    kept, target = read_target(study, ("body_site",), None)
    assert target.classes == ("gut", "skin", "tongue")
    assert (target.task, target.num_outputs) == ("classification", 3)
    assert study.metadata is not None
    said = [target.classes[int(k)] for k in target.values]
    assert tuple(said) == study.metadata.columns["body_site"].values
    assert kept.sample_ids == study.sample_ids


def test_several_columns(study):
    kept, target = read_target(study, ("age", "bmi"), None)
    assert target.values.shape == (len(kept.sample_ids), 2)
    assert np.isfinite(target.values).all()


@pytest.mark.parametrize(
    ("kind", "values", "task", "said"),
    [
        (
            "categorical",
            ["a", "b", "a", "b"],
            "regression",
            "the metadata column it is categorical",
        ),
        ("categorical", ["a", "a", "a", None], None, "all 3 samples have it=a"),
        ("categorical", ["a", "a", "b", "b", "c"], None, r"1 of 3 classes of it have one sample"),
        ("numeric", ["1", "1", "2"], "classification", "1 of 2 classes.*for numbers set task="),
        ("numeric", ["5", "5", None], None, "all 2 samples have it=5: there is nothing to predict"),
        ("numeric", [None, None], None, "no sample has a value of it"),
    ],
)
def test_targets_that_cannot_be(study, kind, values, task, said):
    with pytest.raises(UserError, match=said):
        read_target(with_column(study, kind, values), ("it",), task)


def test_several_columns_are_no_classes(study):
    with pytest.raises(UserError, match=r"names 2 columns \(age, body_site\)"):
        read_target(study, ("age", "body_site"), "classification")
    with pytest.raises(UserError, match="body_site is categorical"):
        read_target(study, ("age", "body_site"), None)
    with pytest.raises(UserError, match="no column 'agee'"):
        read_target(study, ("agee",), None)


KINDS = ("none", "zscore", "minmax", "log_zscore", "log_minmax")
VALUES = arrays(np.float64, (7, 2), elements=st.floats(0, 1e6))


@given(VALUES, st.sampled_from(KINDS))
def test_a_transform_is_undone(values, kind):
    transform = Transform.fit(kind, values)
    back = transform.inverse(transform.forward(values))
    np.testing.assert_allclose(back, values, rtol=1e-9, atol=1e-6)


def test_transforms_are_those_they_are_called():
    values = np.array([[1.0], [2.0], [6.0]])
    np.testing.assert_allclose(Transform.fit("zscore", values).forward(values).std(), 1)
    np.testing.assert_allclose(
        Transform.fit("zscore", values).forward(values).mean(), 0, atol=1e-12
    )
    scaled = Transform.fit("minmax", values).forward(values)
    np.testing.assert_allclose(scaled[:, 0], [0, 0.2, 1])
    logs = np.log1p(values)
    np.testing.assert_allclose(
        Transform.fit("log_minmax", values).forward(values),
        (logs - logs.min()) / (logs.max() - logs.min()),
    )
    with pytest.raises(UserError, match=r"log_zscore takes log.*down to -3"):
        Transform.fit("log_zscore", np.array([[-3.0], [1.0]]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_survives_the_checkpoint(kind, study):
    target = Target(("x",), np.array([[1.0], [2.0], [5.0]]))
    recipe = Recipe.fit(target, kind, np.array([0, 2]))
    again = Recipe.from_plain(recipe.as_plain())
    raw = np.array([[0.3], [-1.0]])
    np.testing.assert_array_equal(again.finish(raw), recipe.finish(raw))
    broken = recipe.as_plain()
    broken["transform"]["shift"] = [[[]]]
    with pytest.raises(ValueError, match="not that of its columns"):
        Recipe.from_plain(broken)
    classes = Recipe.fit(Target(("x",), np.array([0, 1]), ("a", "b")), kind, np.array([0, 1]))
    probability = Recipe.from_plain(classes.as_plain()).finish(
        np.array([[1000.0, 0.0], [0.0, 0.0]])
    )
    np.testing.assert_allclose(probability, [[1, 0], [0.5, 0.5]])


def test_the_transform_is_of_the_training_part_alone():
    target = Target(("x",), np.array([[1.0], [3.0], [1000.0]]))
    recipe = Recipe.fit(target, "zscore", np.array([0, 1]))
    assert recipe.transform is not None
    assert recipe.transform.shift == pytest.approx([2.0])


def test_real_columns(real_data: Path):
    for name, column, task in (
        ("ecam", "age_days", "regression"),
        ("cfs", "group", "classification"),
    ):
        paths = {
            k: str(real_data / name / v)
            for k, v in (("table", "table.biom"), ("metadata", "metadata.tsv"))
        }
        study = load_study(DataConfig(name="biom", **paths), needs_tree=False)
        assert study.tree is None
        assert read_target(study, (column,), None)[1].task == task
