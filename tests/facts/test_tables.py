import math
from pathlib import Path

import numpy as np
import pytest

from aam.errors import UserError
from aam.facts.tables import numbers, read_tsv, write_tsv


def test_a_table_comes_back_with_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "predictions" / "val_unifrac.tsv"
    true = np.array([1 / 3, 2.5e-17, np.nan])
    write_tsv(
        path,
        {
            "sample_a": ["s1", "0010", 'odd\t"\r\nname'],
            "true": true,
            "predicted": [np.float32(0.1), 2, None],
        },
    )
    assert path.read_bytes().startswith(b"sample_a\ttrue\tpredicted\ns1\t0.333")
    table = read_tsv(path)
    assert table["sample_a"] == ["s1", "0010", 'odd\t"\r\nname']
    np.testing.assert_array_equal(numbers(table["true"]), true)
    assert numbers(table["predicted"])[:2] == [float(np.float32(0.1)), 2.0]
    assert math.isnan(numbers(table["predicted"])[2])


def test_columns_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        write_tsv(tmp_path / "t.tsv", {"a": [1, 2], "b": [1]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header"),
        (b"a\ta\n1\t2\n", "has no header of differing column names"),
        (b"a\tb\n1\t2\n3\n", "row 3 has 1 cells where the header has 2"),
        (b"a\n\xff\n", "is no tab-separated text in UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_tsv(path)
    assert str(path) in str(caught.value)


def test_a_cell_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match="could not convert string to float: 'high'"):
        numbers(["1", "", "high"])


def test_an_absent_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.tsv does not exist"):
        read_tsv(tmp_path / "gone.tsv")
