"""Metadata by the rules of QIIME 2; scikit-bio's port of QIIME 2's reader is the judge."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from aam.data.metadata import Metadata, read_metadata
from aam.errors import UserError


def read(text: str | bytes, folder: Path) -> Metadata:
    path = folder / "metadata.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_metadata(path)


ACCEPTED = {
    "plain": "sample-id\tage\tsite\ns1\t1\tgut\ns2\t2.5\tskin\n",
    "qiime 1": "#SampleID\tage\n#a comment\ns1\t1\n",
    "qiita": "sample_name\tage\n007\t1\n0070\t2\n",
    "case of the id header": "Feature ID\ta\nx\t1\n",
    "comments, empty rows": "# one\n\n\t\t\nid\tage\n#c\n\ns1\t1\n \t \n#d\ts\ns2\t2\n",
    "whitespace": " id \t age \n s1 \t 1 \n\u00a0s 2\t x y \n",
    "quoting": 'id\t"a ""b"""\ns1\t"1\t2"\n"s2"\t"two\nlines"\n',
    "short rows": "id\ta\tb\ns1\ns2\t1\ns3\t1\t2\n",
    "long empty rows": "id\ta\t\t\ns1\t1\t\t\t\t\n",
    "directives": "id\ta\tb\tc\n#q2:types\tcategorical\tNUMERIC\t\ns1\t1\t2\t3\ns2\t2\t\t\n",
    "no ids but text": "id\tn\n1.0\tNA\n1.10\tnan\n",
    "insdc": (
        "id\ta\tb\tc\n#q2:missing\tINSDC:missing\tblank\tno-missing\n#q2:types\tnumeric\n"
        "s1\tnot collected\tnot collected\tx\ns2\t3\t\ty\n"
    ),
    "numbers": "id\ta\tb\tc\td\te\tf\n1\t1e3\t.5\t5.\t+1\t-2E-4\t0x1\n2\t1\t1\t1\t1\t1\t1\n",
    "no columns": "id\ns1\ns2\n",
    "carriage returns": "id\ta\r\ns1\tx\r\n",
    "one number among words": "id\tage\ns1\t1\ns2\tunknown\n",
    "spaces inside numbers": "id\ta\tb\ns1\t1 2\t1,5\ns2\t3\t4\n",
}

REFUSED = {
    "unknown id header": ("name\tage\ns1\t1\n", "first column 'name', which is no id header"),
    "case of exact headers": ("#sampleid\tage\ns1\t1\n", "first column 's1'"),
    "comma-separated": ("sample-id,age\ns1,1\n", "looks comma-separated"),
    "semicolon-separated": ("sample-id;age\ns1;1\n", "looks semicolon-separated"),
    "only comments": ("# a\n# b\n", "no header, only comments or empty lines"),
    "no samples": ("id\tage\n#x\n", "no samples below it"),
    "too many cells": ("id\tage\ns1\t1\t2\n", "3 cells in line 2 but 2 in its header"),
    "repeated ids": ("id\ta\ns1\t1\ns2\t2\ns1\t3\n", "1 sample ids more than once: s1"),
    "repeated columns": ("id\ta\ta\ns1\t1\t2\n", "1 column names more than once: a"),
    "unnamed column": ("id\ta\t\tb\ns1\t1\t2\t3\n", "1 columns without a name"),
    "id column twice": ("id\tSampleID\ns1\tx\n", "named as ids: SampleID"),
    "header as id": ("id\ta\nsample-id\t1\n", "sample id 'sample-id' in line 2, a name kept"),
    "row without id": ("id\ta\n\t1\n", "1 rows without a sample id"),
    "directive above header": ("#q2:types\tnumeric\nid\ta\n", "in line 1 above its header"),
    "directive below data": ("id\ta\ns1\t1\n#q2:types\tnumeric\n", "in line 3; directives stand"),
    "directive twice": ("id\ta\n#q2:types\n#q2:types\ns1\t1\n", "#q2:types more than once"),
    "unknown directive": ("id\ta\n#q2:colour\tred\ns1\t1\n", "directive '#q2:colour'"),
    "unknown type": ("id\ta\n#q2:types\tinteger\ns1\t1\n", "one of categorical, numeric"),
    "unknown scheme": ("id\ta\n#q2:missing\tnone\ns1\t1\n", "one of blank, no-missing, INSDC"),
    "not numeric": ("id\ta\n#q2:types\tnumeric\ns1\tx\ns2\t1\n", "1 values in column a .*'x'"),
    "missing in no-missing": (
        "id\ta\n#q2:missing\tno-missing\ns1\t\n",
        "1 empty cells in column a",
    ),
    "open quote": ('id\ta\ns1\t"x\n', "broken row in line 2"),
}


def judged(path: Path) -> tuple[list[str], dict[str, tuple[str, list[object]]]]:
    """Ids and columns as scikit-bio's port of QIIME 2 reads them."""
    from skbio.metadata import SampleMetadata

    read = SampleMetadata.load(str(path))
    frame = read.to_dataframe()
    columns = {
        name: (read.columns[name].type, [None if cell != cell else cell for cell in frame[name]])
        for name in read.columns
    }
    return list(read.ids), columns


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_the_same_as_qiime_2(text: str, tmp_path: Path) -> None:
    ours = read(text, tmp_path)
    ids, columns = judged(tmp_path / "metadata.tsv")
    assert list(ours.sample_ids) == ids
    assert {name: column.kind for name, column in ours.columns.items()} == {
        name: kind for name, (kind, _) in columns.items()
    }
    for name, (kind, cells) in columns.items():
        column = ours.column(name)
        if kind == "numeric":
            expected = [math.nan if cell is None else cell for cell in cells]
            np.testing.assert_array_equal(column.numeric(), expected)
        else:
            assert list(column.values) == cells


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_as_by_qiime_2(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as error:
        read(text, tmp_path)
    assert str(tmp_path) in str(error.value)
    from skbio.metadata.io import MetadataFileError

    with pytest.raises((MetadataFileError, csv.Error)):
        judged(tmp_path / "metadata.tsv")


@pytest.mark.parametrize("name", ["cfs", "ecam", "american-gut"])
def test_real_files_are_read_as_by_qiime_2(name: str, real_data: Path) -> None:
    path = real_data / name / "metadata.tsv"
    ours = read_metadata(path)
    ids, columns = judged(path)
    assert list(ours.sample_ids) == ids
    assert {key: column.kind for key, column in ours.columns.items()} == {
        key: kind for key, (kind, _) in columns.items()
    }


def test_a_column_of_nothing_is_not_numeric(tmp_path: Path) -> None:
    # QIIME 2 calls it numeric; here text stays text until numbers prove otherwise.
    column = read("id\ta\ns1\t\ns2\t\n", tmp_path).column("a")
    assert (column.kind, column.values) == ("categorical", (None, None))
    with pytest.raises(UserError, match="a is categorical: it holds no number"):
        column.numeric()


def test_rows_far_shorter_than_the_header(tmp_path: Path) -> None:
    """Filled up, they would have ten thousand million cells."""
    header = "\t".join(["id", *(f"c{k}" for k in range(10**5))])
    rows = "".join(f"s{k}\n" for k in range(10**5))
    with pytest.raises(UserError, match="has 100001 columns in its header, but most of its rows"):
        read(f"{header}\n{rows}", tmp_path)


def test_encodings(tmp_path: Path) -> None:
    text = "id\tplace\ns1\tKöln\n"
    assert read(text.encode("utf-8-sig"), tmp_path) == read(text, tmp_path)
    assert read(text, tmp_path).column("place").values == ("Köln",)
    with pytest.raises(UserError, match=r"not UTF-8 text \(byte 0xf6 in line 2\)"):
        read(text.encode("latin-1"), tmp_path)
    with pytest.raises(UserError, match="UTF-16"):
        read(text.encode("utf-16"), tmp_path)
    with pytest.raises(UserError, match="binary file"):
        read(b"id\ta\ns1\t\0\n", tmp_path)


def test_a_column_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    metadata = read("id\tsite\tbody_site\tage_days\ns1\tx\ty\t1\n", tmp_path)
    with pytest.raises(
        UserError, match=r"has no column 'Age_Day'; it has age_days, site, body_site"
    ):
        metadata.column("Age_Day")


def test_text_where_numbers_are_asked_for(tmp_path: Path) -> None:
    column = read("id\tage\ns1\t1\ns2\tunknown\ns3\tunknown\n", tmp_path).column("age")
    with pytest.raises(UserError, match=r"age is categorical: 2 of its values .* \('unknown'\)"):
        column.numeric()


def test_align(tmp_path: Path) -> None:
    metadata = read("id\ta\tb\ns1\t1\tx\ns2\t2\ty\ns3\t\tz\n", tmp_path)
    aligned = metadata.align(["s3", "s1"])
    assert aligned.sample_ids == ("s3", "s1")
    np.testing.assert_array_equal(aligned.column("a").numeric(), [math.nan, 1.0])
    assert aligned.column("b").values == ("z", "x")
    with pytest.raises(UserError, match=r"2 of 3 samples are not in the metadata .*: s9, S1"):
        metadata.align(["s9", "s1", "S1"])


@pytest.mark.parametrize("word", ["inf", "nan", "1e999", "1_0", "٣"])
def test_words_that_python_takes_for_numbers_stay_text(word: str, tmp_path: Path) -> None:
    assert read(f"id\ta\ns1\t1\ns2\t{word}\n", tmp_path).column("a").kind == "categorical"
