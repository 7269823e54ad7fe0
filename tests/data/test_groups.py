"""Columns that look like groups: those of the real studies, and none that only sounds like one."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from aam.data.groups import group_like_columns
from aam.data.metadata import Column, Metadata, read_metadata
from aam.data.study import Study


def study_of(metadata: Metadata | None, number: int = 0) -> Study:
    sample_ids = metadata.sample_ids if metadata else tuple(f"s{k}" for k in range(number))
    counts = sparse.csr_matrix(np.ones((len(sample_ids), 1), dtype=np.int64))
    return Study(sample_ids, counts, ("A",), np.zeros((1, 2), np.uint8), None, metadata, {})


def study_with(*columns: Column) -> Study:
    names = tuple(f"s{k}" for k in range(len(columns[0].values)))
    return study_of(Metadata(names, {column.name: column for column in columns}))


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        ("american-gut", ["subject"]),
        ("cfs", []),
        ("cheese-ph", []),
        ("ecam", ["subject"]),
        ("ibd-crohns", ["host_subject_id"]),  # not index_or_family
        ("moving-pictures", ["subject"]),
    ],
)
def test_real_studies(real_data: Path, folder, named):
    assert group_like_columns(study_of(read_metadata(real_data / folder / "metadata.tsv"))) == named


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("subject", True),
        ("HostSubjectID", True),
        ("host subjectid", True),
        ("Cage No.", True),
        ("familyId", True),
        ("study_name", True),
        ("subject_2", True),
        ("host_age", False),
        ("host_taxid", False),
        ("family_history", False),
        ("num_household", False),
        ("is_donor", False),
        ("day_of_study", False),
        ("hostel", False),
        ("id", False),
    ],
)
def test_the_name_tells(name, is_one):
    column = Column(name, "numeric", ("1", "1", "2", None))
    assert group_like_columns(study_with(column)) == [name] * is_one


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", ("1.5", "1.5", "2")),
        ("categorical", ("a", "b", "c")),
        ("categorical", ("a", "a", "a")),
        ("categorical", ("Yes", "Yes", "No")),
        ("categorical", (None, None, None)),
    ],
)
def test_values_that_cannot_be_ids_are_not_named(kind, values):
    assert group_like_columns(study_with(Column("subject", kind, values))) == []


def test_many_repeated_categories_are_ids_whatever_the_name():
    def found(number: int, name: str = "who", kind: str = "categorical") -> list[str]:
        word = "p" if kind == "categorical" else ""
        values = tuple(f"{word}{k % number}" for k in range(240))
        return group_like_columns(study_with(Column(name, kind, values)))

    assert found(13) == found(120) == ["who"]
    assert found(12) == []  # a twentieth
    assert found(121) == []  # fewer than two samples each
    assert found(30, kind="numeric") == []
    assert found(30, "collection_date") == []


def test_the_target_is_no_candidate_and_no_metadata_no_error():
    columns = [Column(name, "categorical", ("a", "a", "b")) for name in ("subject", "host")]
    assert group_like_columns(study_with(*columns)) == ["subject", "host"]
    assert group_like_columns(study_with(*columns), exclude=["subject"]) == ["host"]
    assert group_like_columns(study_of(None, 3)) == []
