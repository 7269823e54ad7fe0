"""From ``split=`` to a split and its file: every kind, what it needs, and what it refuses."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from aam.config import Config, DataConfig, SplitConfig
from aam.data.folds import kfold_split, leave_one_group_out
from aam.data.metadata import Column, Metadata
from aam.data.splits import PARTS, Split, split_samples, write_split
from aam.data.study import Study
from aam.errors import UserError
from aam.loops.run import Run
from aam.loops.splitting import split_of, warn_of_groups

NAMES = tuple(f"s{k:02d}" for k in range(40))
SUBJECTS = tuple(f"p{k // 4}" for k in range(40))
PARTS_GIVEN = ("train",) * 24 + ("val",) * 8 + ("test",) * 8
COLUMNS = {
    "subject": SUBJECTS,
    "site": tuple("ab"[k % 2] for k in range(40)),
    "body": tuple("abcd"[k % 4] for k in range(40)),
    "part": PARTS_GIVEN,
    "half": ("train",) * 30 + ("val",) * 10,
    "torn": ("train",) * 22 + ("test",) * 18,
    "gaps": (None, "train", None) + ("train",) * 37,
    "words": ("Train", "train") + ("dev",) * 38,
    "untrained": ("val",) * 40,
}


def column(name: str) -> Column:
    return Column(name, "categorical", COLUMNS[name])


@pytest.fixture
def study() -> Study:
    counts = sparse.csr_matrix(np.ones((40, 1), dtype=np.int64))
    metadata = Metadata(NAMES, {name: column(name) for name in COLUMNS})
    return Study(NAMES, counts, ("A",), np.zeros((1, 2), np.uint8), None, metadata, {})


def config(group_column: str | None = None, **split: Any) -> Config:
    return Config(data=DataConfig(group_column=group_column), split=SplitConfig(**split))


def same(one: Split, other: Split) -> bool:
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in PARTS)


def test_each_kind_deals_as_its_function_does(study: Study) -> None:
    def made(group_column: str | None, **split: Any) -> Split:
        return split_of(study, config(group_column, **split), Run(run_dir=None))

    fractions = {"val_fraction": 0.2, "test_fraction": 0.3, "seed": 5}
    random = split_samples(NAMES, **fractions)
    grouped = split_samples(NAMES, groups=SUBJECTS, **fractions)
    assert not same(random, grouped)
    assert same(made(None, **fractions), random)
    assert same(made("subject", **fractions), grouped)
    assert same(made("subject", kind="grouped", **fractions), grouped)
    asked = {"fold": 7, "val_fraction": 0.2, "seed": 5}
    for group_column, groups in ((None, None), ("subject", SUBJECTS)):
        folds = {"folds": 4, "groups": groups}
        found = made(group_column, kind="kfold", folds=4, repeats=2, **asked)
        assert same(found, kfold_split(NAMES, **asked, **folds))
    assert same(
        made("subject", kind="leave_one_group_out", **asked),
        leave_one_group_out(NAMES, groups=SUBJECTS, **asked),
    )


def test_strata_are_those_of_the_data_or_else_of_the_loop(study: Study) -> None:
    run, options = Run(run_dir=None), {"val_fraction": 0.2, "test_fraction": 0.2, "seed": 1}
    by_site, by_body = (split_samples(NAMES, strata=column(k), **options) for k in ("site", "body"))
    assert not same(by_site, by_body)
    asked = config(**options)
    assert same(split_of(study, asked, run, strata=column("site")), by_site)
    asked.data.stratify_column = "body"
    assert same(split_of(study, asked, run, strata=column("site")), by_body)
    fold = split_of(study, config(kind="kfold", folds=10), run, strata=column("body"))
    assert {COLUMNS["body"][row] for row in fold.test} == set("abcd")


def test_a_resumed_run_keeps_to_its_file_and_another_may_be_given_it(
    study: Study, tmp_path: Path
) -> None:
    asked = config("subject", kind="kfold", fold=3)
    split = split_of(study, asked, Run(run_dir=tmp_path))
    path = tmp_path / "split.tsv"
    assert same(
        split_of(study, config("subject", kind="file", file=str(path)), Run(run_dir=None)), split
    )

    swapped = Split(split.test, split.val, split.train)
    write_split(path, NAMES, swapped)
    assert same(split_of(study, asked, Run(run_dir=tmp_path, resume=True)), swapped)
    assert same(split_of(study, asked, Run(run_dir=tmp_path)), split)  # and writes it anew
    assert same(split_of(study, asked, Run(run_dir=tmp_path, resume=True)), split)


def test_a_column_says_the_parts(study: Study) -> None:
    split = split_of(study, config("subject", kind="column", column="part"), Run(run_dir=None))
    assert [list(rows) for rows in (split.train, split.val, split.test)] == [
        list(range(24)),
        list(range(24, 32)),
        list(range(32, 40)),
    ]
    half = split_of(study, config(kind="column", column="half"), Run(run_dir=None))
    assert (len(half.train), len(half.val), len(half.test)) == (30, 10, 0)
    assert half.test.dtype == np.int64


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("gaps", None), r"split\.column=gaps is empty for 2 of 40 samples \(s00, s02\); fill"),
        (
            ("words", None),
            r"split\.column=words has 39 values other .*'Train' of sample s00, 'dev'",
        ),
        (("untrained", None), r"split\.column=untrained puts none of the 40 samples into train"),
        (("torn", "subject"), r"1 of 10 groups of data\.group_column=subject into .*\(p5\)"),
        (("none", None), "has no column 'none'"),
    ],
)
def test_a_wrong_column_is_refused(study: Study, asked: tuple[str, str | None], said: str) -> None:
    with pytest.raises(UserError, match=said):
        split_of(study, config(asked[1], kind="column", column=asked[0]), Run(run_dir=None))


def test_a_file_that_tears_groups_or_is_not_there_is_refused(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "split.tsv"
    asked = config("subject", kind="file", file=str(path))
    with pytest.raises(UserError, match=r"split\.tsv does not exist"):
        split_of(study, asked, Run(run_dir=None))
    write_split(path, NAMES, split_samples(NAMES, val_fraction=0.3, test_fraction=0.3, seed=0))
    with pytest.raises(UserError, match=r"split\.file puts \d+ of 10 groups"):
        split_of(study, asked, Run(run_dir=None))
    asked.data.group_column = None
    split_of(study, asked, Run(run_dir=None))


@pytest.mark.parametrize("kind", ["grouped", "leave_one_group_out"])
def test_a_kind_that_needs_groups_names_a_column(study: Study, kind: str) -> None:
    with pytest.raises(UserError, match=rf"split={kind} .* is not set: .* such as subject$"):
        split_of(study, config(kind=kind), Run(run_dir=None))


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"fold": 1}, "split=random reads no split.fold: .* split=kfold or leave_one_group_out"),
        ({"kind": "kfold", "test_fraction": 0.3}, "split=kfold reads no split.test_fraction"),
        ({"kind": "file", "file": "a", "seed": 2}, "split=file reads no split.seed"),
        ({"kind": "column"}, "split=column needs split.column="),
        ({"kind": "file"}, "split=file needs split.file="),
        ({"kind": "kfold", "folds": 3, "repeats": 2, "fold": 6}, "beyond the last one, 5"),
    ],
)
def test_keys_that_the_kind_does_not_read_or_lacks_are_refused(
    split: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        SplitConfig(**split)


def test_groups_that_may_be_torn_are_named_before_training(study: Study, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_groups(study, DataConfig(group_column="site"))
        warn_of_groups(study, DataConfig(target="subject"))
        assert caplog.text == ""
        warn_of_groups(study, DataConfig(target="site"))
    assert "samples of one subject (10 in 40 samples) may stand on both sides" in caplog.text
    assert "set data.group_column=subject" in caplog.text
