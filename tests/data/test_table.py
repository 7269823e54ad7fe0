"""Tables of every kind, written by biom-format or by hand, read back exactly or refused."""

import gzip
import json
import os
import re
from pathlib import Path

import biom
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from aam.data.table import read_table
from aam.data.table_text import parse_table
from aam.errors import UserError

COUNTS = np.array([[5, 0, 1], [0, 0, 7], [2, 3, 0], [0, 9, 4]])  # ASVs by samples
ASVS, SAMPLES = ["ACGT", "ACGA", "TTTT", "CCNA"], ["10", "S2", "007"]


def table(counts=COUNTS, asvs=ASVS, samples=SAMPLES) -> biom.Table:
    return biom.Table(np.asarray(counts, dtype=float), asvs, samples)


def write_hdf5(path: Path, content: biom.Table) -> Path:
    with h5py.File(path, "w") as file:
        content.to_hdf5(file, "test")
    return path


def write_kind(kind: str, path: Path) -> Path:
    content = table()
    if kind == "hdf5":
        return write_hdf5(path, content)
    if kind == "json":
        path.write_text(content.to_json("test"))
    elif kind == "dense json":
        document = json.loads(content.to_json("test"))
        document |= {"matrix_type": "dense", "data": COUNTS.tolist()}
        path.write_text(json.dumps(document))
    elif kind == "tsv":
        path.write_text(content.to_tsv())
    elif kind == "tsv with taxonomy":
        lineage = {asv: {"taxonomy": ["k__Bacteria", "p__x"]} for asv in ASVS}
        content.add_metadata(lineage, axis="observation")
        path.write_text(
            content.to_tsv(
                header_key="taxonomy", header_value="taxonomy", metadata_formatter="; ".join
            )
        )
    else:
        path.write_bytes(b"\xef\xbb\xbf" + content.to_tsv().replace("\n", "\r\n").encode())
    return path


KINDS = ["hdf5", "json", "dense json", "tsv", "tsv with taxonomy", "tsv from windows"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_table(kind: str, tmp_path: Path) -> None:
    # The ending says nothing: the content decides.
    read = read_table(write_kind(kind, tmp_path / "table.dat"))
    assert read.sample_ids == tuple(SAMPLES)
    assert read.asv_ids == tuple(ASVS)
    assert read.counts.dtype == np.int64
    assert isinstance(read.counts, sparse.csr_matrix)
    assert read.counts.toarray().tolist() == COUNTS.T.tolist()
    assert read.counts.nnz == np.count_nonzero(COUNTS)
    assert read.counts.has_sorted_indices


def test_a_real_table_is_what_biom_reads(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "ecam" / "table.biom"
    truth = biom.load_table(str(path))
    (tmp_path / "table.tsv").write_text(truth.to_tsv())
    for read in (read_table(path), read_table(tmp_path / "table.tsv")):
        assert read.sample_ids == tuple(truth.ids())
        assert read.asv_ids == tuple(truth.ids(axis="observation"))
        assert (read.counts != truth.matrix_data.T.tocsr()).nnz == 0


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_tsv_round_trip(num_asvs: int, num_samples: int, data: st.DataObject) -> None:
    cells = st.lists(st.integers(0, 3), min_size=num_samples, max_size=num_samples)
    counts = np.array(data.draw(st.lists(cells, min_size=num_asvs, max_size=num_asvs)))
    text = table(counts, [f"a{i}" for i in range(num_asvs)], range(num_samples)).to_tsv()
    values, _, sample_ids = parse_table(text, "the table")
    assert values.toarray().tolist() == counts.tolist()
    assert sample_ids == [str(i) for i in range(num_samples)]


def test_explicit_zeros_are_dropped(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "t.biom", table())
    with h5py.File(path, "r+") as file:
        file["sample/matrix/data"][0] = 0
    read = read_table(path)
    assert read.counts.nnz == np.count_nonzero(COUNTS) - 1
    assert read.counts.data.all()


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_table(path)
    sentence = str(error.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            -3,
            "1 values below zero (of 7 that are not zero), the first -3 for sample 10 and ASV ACGT",
        ),
        (
            0.5,
            "1 values that are fractional (of 7 that are not zero), the first 0.5 for sample 10",
        ),
        (float("nan"), "has 1 values that are not finite numbers"),
        (float("inf"), "has 1 values that are not finite numbers"),
        (1e18, "above 2^53"),
    ],
)
@pytest.mark.parametrize("kind", ["hdf5", "json", "tsv"])
def test_values_that_are_no_counts(kind: str, value: float, sentence: str, tmp_path: Path) -> None:
    counts = COUNTS.astype(float)
    counts[0, 0] = value
    content, path = table(counts), tmp_path / "t"
    if kind == "hdf5":
        write_hdf5(path, content)
    elif kind == "json":
        document = json.loads(table().to_json("test")) | {"matrix_element_type": "float"}
        document["data"][0][2] = value
        path.write_text(json.dumps(document))
    else:
        path.write_text(content.to_tsv())
    assert sentence in refused(path)


@pytest.mark.parametrize("kind", ["hdf5", "json", "tsv"])
@pytest.mark.parametrize(
    ("axis", "name", "said"), [(0, "ACGT", "1 ASV ids"), (1, "10", "1 sample ids")]
)
def test_repeated_ids_are_named(kind: str, axis: int, name: str, said: str, tmp_path: Path) -> None:
    path = write_kind(kind, tmp_path / "t")
    key, old = (("rows", "ACGA"), ("columns", "S2"))[axis]
    if kind == "hdf5":
        with h5py.File(path, "r+") as file:
            file[("observation/ids", "sample/ids")[axis]][1] = name
    elif kind == "json":
        document = json.loads(path.read_text())
        document[key][1]["id"] = name
        path.write_text(json.dumps(document))
    else:
        path.write_text(path.read_text().replace(old, name))
    assert f"has {said} more than once: {name};" in refused(path)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t"
    assert "does not exist" in refused(path)
    assert "is a directory" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for endless in (tmp_path / "pipe", Path("/dev/zero")):
        assert "is a pipe or a device; write it to a file first" in refused(endless)
    for content, said in [
        (b"", "is empty (0 bytes)"),
        (gzip.compress(b"x"), "gzip-compressed"),
        (b"\x00\x01\x02\x03", "binary file"),
        ("#OTU ID\tä\n".encode("latin-1"), "not UTF-8 text (byte 0xe4 in line 1)"),
        ("#OTU ID\ta\n".encode("utf-16"), "is UTF-16"),
        (b"((a:1,b:1):1,c:2);", "first line has no tab; it looks comma-separated"),
        (b">x\nACGT\n", "first line has no tab; give a BIOM"),
        (b"id,S1\nACGT,1\n", "first line has no tab; it looks comma-separated"),
        (b"#OTU ID\tS1\tS2\n", "no line of counts"),
        (b"#OTU ID\tS1\tS2\nACGT\t1\n", "has 2 cells in line 2 but 3 in its header"),
        (b"#OTU ID\tS1\n#note\nACGT\t1\t2\n", "has 3 cells in line 3 but 2 in its header"),
        (b"#OTU ID\tS1\t\tS2\nACGT\t1\t2\t3\n", "a column without a sample id in line 1"),
        (
            b"sample-id\tgroup\ns1\tControl\n",
            "'Control' where a count should stand (line 2, column group)",
        ),
        (b"#OTU ID\tS1\tS2\nACGT\t1\t\n", "'' where a count should stand (line 2, column S2)"),
        (b"#OTU ID\tS1\nACGT\t1_000\n", "'1_000' where a count should stand (line 2, column S1)"),
        (b'{"rows": [', "is not whole JSON"),
        (b'{"rows":' + b"[" * 100_000, "is JSON nested too deeply"),
        (b'{"a": 1}', "is JSON but not BIOM 1.0"),
        (b'{"rows": [{}], "columns": [], "data": []}', "cannot be read as BIOM 1.0"),
    ]:
        path.write_bytes(content)
        assert said in refused(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": [4, 2]}, "its shape is [4, 2], but it has 4 rows and 3 columns"),
        ({"data": [[0, 1, 2], [3, 1, 5], [0, 1, 2]]}, "1 cells more than once (sample and ASV: S2"),
        ({"data": []}, "has 3 samples and 4 ASVs but no reads: it is empty"),
        ({"data": [[0, 1, 0]]}, "has 3 samples and 4 ASVs but no reads: it is empty"),
        ({"data": [[0, 1, "1_0"]]}, "its data are not all numbers"),
        ({"data": [[0, 1, 2], [0, 1]]}, "the lines of its data differ in length"),
        # As an array of texts, every cell would have the room of the longest: 120 GB.
        ({"data": [[0, 1, "x" * 10**6], *[[0, 1, 1]] * 10**4]}, "its data are not all numbers"),
        ({"data": [[0, 1, 10**400]]}, "too large to convert to float"),
        ({"data": [[[0], 1, 2]]}, "its data are not all numbers"),
        ({"data": [0, 1, 2]}, "its data are not lines of numbers"),
        ({"columns": [{"id": ["S1"]}]}, "the id ['S1'] is no text"),
        ({"columns": [{"id": "\ud800"}]}, "surrogates not allowed"),
        ({"data": [[0, 1]]}, "its data are not lines of row, column and value"),
        ({"data": [[0, -1, 2]]}, "cells outside of its 4 rows and 3 columns"),
        ({"data": [[4, 1, 2]]}, "cells outside of its 4 rows and 3 columns"),
        ({"data": [[0.5, 1, 2]]}, "cells outside of its 4 rows and 3 columns"),
        ({"data": [[1, 2]], "matrix_type": "dense"}, "its data are of shape [1, 2], not [4, 3]"),
    ],
)
def test_json_that_contradicts_itself(change: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(json.dumps(json.loads(table().to_json("test")) | change))
    assert said in refused(path)


def test_repeated_cells_of_hdf5(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "t", table())
    with h5py.File(path, "r+") as file:
        file["sample/matrix/indices"][1] = 0
    assert "1 cells more than once (sample and ASV: 10 ACGT)" in refused(path)


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        ("indptr", [0, -1, 4, 7], "indptr does not ascend"),
        ("indptr", [0, 2, 4], "does not fit its 3 samples"),
        ("indptr", [0, 2, 4, 9], "indptr does not ascend"),
        ("indices", [0, 2, 2, 3, 0, 1, 4], "names ASVs beyond its 4"),
        ("indices", [0, 2, 2, 3, 0, 1, -1], "names ASVs beyond its 4"),
        ("indices", [0.0, 2.0, 2.0, 3.0, 0.0, 1.0, 3.0], "are not whole numbers"),
        ("data", [1.0, 2.0], "does not fit its 3 samples"),
        ("data", [b"1"] * 7, "does not hold lists of numbers"),
        ("data", [[1.0]], "does not hold lists of numbers"),
    ],
)
def test_places_beyond_the_matrix(part: str, values: list, said: str, tmp_path: Path) -> None:
    """A matrix that trusts them reads and writes outside of its memory."""
    path = write_hdf5(tmp_path / "t", table())
    with h5py.File(path, "r+") as file:
        del file[f"sample/matrix/{part}"]
        file[f"sample/matrix/{part}"] = np.array(values)
    assert said in refused(path)


@pytest.mark.parametrize("kind", [">f8", "<f4", "u8", ">i2", "i1"])
def test_counts_of_any_number_type(kind: str, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "t", table())
    with h5py.File(path, "r+") as file:
        values = file["sample/matrix/data"][...].astype(kind)
        del file["sample/matrix/data"]
        file["sample/matrix/data"] = values
    assert read_table(path).counts.toarray().tolist() == COUNTS.T.tolist()


def test_damaged_hdf5(tmp_path: Path) -> None:
    whole = write_hdf5(tmp_path / "whole", table()).read_bytes()
    path = tmp_path / "t"
    for size in (20, 600, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:size])
        assert re.search(r"cannot be read as BIOM 2\.1 .*damaged or truncated", refused(path))
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        del file["sample/matrix"]
    assert "not BIOM 2.1: it has no sample/matrix/data, sample/matrix/ind" in refused(path)


def test_a_table_of_nothing(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "t", biom.Table(np.zeros((0, 0)), [], []))
    assert "has 0 samples and 0 ASVs" in refused(path)
