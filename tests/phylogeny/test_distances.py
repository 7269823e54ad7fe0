import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from aam.errors import UserError
from aam.phylogeny.distances import read_distances

IDS = ("s1", "10", "s 3", "é4")
MATRIX = np.array(
    [[0, 0.25, 0.5, 1], [0.25, 0, 0.125, 0.75], [0.5, 0.125, 0, 1 / 3], [1, 0.75, 1 / 3, 0]]
)


def lsmat(matrix: NDArray[np.float64] = MATRIX, ids: tuple[str, ...] = IDS) -> str:
    lines = ["\t".join(["", *ids])]
    lines += ["\t".join([name, *map(repr, row.tolist())]) for name, row in zip(ids, matrix)]  # noqa: B905
    return "\n".join(lines) + "\n"


def write_lsmat(folder: Path) -> Path:
    path = folder / "d.tsv"
    path.write_text("# made by hand\n\n" + lsmat(), encoding="utf-8")
    return path


def write_windows_lsmat(folder: Path) -> Path:
    path = folder / "d.tsv"
    path.write_bytes(lsmat().replace("\n", "\r\n").encode("utf-8-sig"))
    return path


def write_npy(folder: Path) -> Path:
    np.save(folder / "d.v1.npy", MATRIX)
    (folder / "d.v1.ids.txt").write_text("\n".join(IDS) + "\n", encoding="utf-8")
    return folder / "d.v1.npy"


def write_hdf5(folder: Path, dtype: str = "f8") -> Path:
    with h5py.File(folder / "d.h5", "w") as file:
        file["matrix"] = MATRIX.astype(dtype)
        file["order"] = [name.encode() for name in IDS]
    return folder / "d.h5"


def write_qza(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "d.qza", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("u/metadata.yaml", "uuid: u\ntype: DistanceMatrix\nformat: X\n")
        archive.writestr("u/data/distance-matrix.tsv", lsmat())
    return folder / "d.qza"


@pytest.mark.parametrize(
    "write", [write_lsmat, write_windows_lsmat, write_npy, write_hdf5, write_qza]
)
def test_formats_are_matched_by_id(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    distances = read_distances(write(tmp_path))
    assert distances.sample_ids == IDS
    picked = distances.for_samples(["é4", "s1", "10"])
    assert picked.dtype == np.float64
    assert np.array_equal(picked, MATRIX[np.ix_([3, 0, 1], [3, 0, 1])])
    with pytest.raises(UserError, match=r"2 of 3 samples are not in the distance matrix .* s2, s9"):
        distances.for_samples(["s1", "s2", "s9"])


def test_single_precision(tmp_path: Path) -> None:
    picked = read_distances(write_hdf5(tmp_path, "f4")).for_samples(["s 3", "é4"])
    assert picked.dtype == np.float64
    np.testing.assert_allclose(picked, [[0, 1 / 3], [1 / 3, 0]], rtol=1e-7)


def test_what_scikit_bio_writes_is_read_the_same(tmp_path: Path) -> None:
    from skbio import DistanceMatrix

    path = tmp_path / "d.lsmat"
    DistanceMatrix(MATRIX, IDS).write(str(path))
    assert np.array_equal(read_distances(path).for_samples(IDS), MATRIX)


def changed(row: int, column: int, value: float) -> NDArray[np.float64]:
    matrix = MATRIX.copy()
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (lsmat(changed(1, 2, 0.2)), r"asymmetric in 2 of its 16 cells \(10 to s 3, s 3 to 10"),
        (lsmat(changed(1, 1, 0.2)), "not 0 on the diagonal for 1 samples: 10"),
        (lsmat(1 - MATRIX), "not 0 on the diagonal for 4 samples: s1, 10, s 3 and 1 more"),
        (lsmat(-MATRIX), "negative in 12 of its 16 cells"),
        (lsmat(changed(3, 2, np.nan)), r"NaN or infinite in 1 of its 16 cells \(é4 to s 3"),
        (lsmat(changed(3, 2, np.inf)), "NaN or infinite"),
        (lsmat(ids=("s1", "10", "s1", "é4")), "1 sample ids stand more than once .*: s1"),
        (lsmat().replace("10\t0.25", "s9\t0.25"), "line 3 .* is sample s9 where .* sample 10"),
        (lsmat() + "s5\t0\t0\t0\t0\n", "line 6 .* is sample s5 where .* no more rows"),
        (lsmat().replace("\t0.125", "", 1), "line 3 .* has 3 distances for 4 samples"),
        (lsmat().replace("0.125", "", 1), "line 3 .* holds a cell that is not a number"),
        (lsmat().replace("0.125", "1_0", 1), "line 3 .* holds a cell that is not a number"),
        ("\n".join(lsmat().split("\n")[:4]), "ends after 3 of 4 rows"),
        ("# made by hand\n", "ends after 0 of any rows"),
        (lsmat(ids=tuple(map(str, range(10**5)))), "has 100000 samples in its header but only"),
        ("", r"is empty \(0 bytes\)"),
        ("sample-id\tage\ns1\t4\n", "not in a known format"),
        ("{}", "not in a known format"),
    ],
)
def test_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "d.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as caught:
        read_distances(path)
    assert str(path) in str(caught.value)


def test_rounding_is_no_asymmetry(tmp_path: Path) -> None:
    path = tmp_path / "d.tsv"
    path.write_text(lsmat(changed(2, 3, 0.3333333)), encoding="utf-8")
    read_distances(path)


def test_bad_npy(tmp_path: Path) -> None:
    path = write_npy(tmp_path)
    np.save(path, np.array([["x", None]], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="Python objects in dtype"):
        read_distances(path)
    np.save(path, MATRIX)
    for found, put in (
        (b"(4, 4)", b"(9**9, )"),
        (b"(4, 4)", b"(99999, 99999)"),
        (b"(4, 4)", b"(" + b"9" * 30 + b", 4)"),
        (b"'<f8'", b"(((((((("),
        (b"'<f8'", b"'<f99'"),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole.replace(found, put))
        with pytest.raises(UserError, match=r"d\.v1\.npy with ids .* cannot be read"):
            read_distances(path)
        path.write_bytes(whole)
    np.save(path, MATRIX[:3])
    with pytest.raises(UserError, match=r"float64 of shape \(3, 4\); give a square matrix"):
        read_distances(path)
    np.save(path, MATRIX[:3, :3])
    with pytest.raises(UserError, match="has 3 rows but 4 ids"):
        read_distances(path)
    (tmp_path / "d.v1.ids.txt").unlink()
    with pytest.raises(UserError, match=r"has no id list; write .*d.v1.ids.txt"):
        read_distances(path)


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file["matrix"] = MATRIX
    with pytest.raises(UserError, match="has no dataset order"):
        read_distances(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="cannot be read"):
        read_distances(path)
    with pytest.raises(UserError, match=r"the distance matrix .*absent\.tsv does not exist"):
        read_distances(tmp_path / "absent.tsv")
    for content, sentence in (
        (gzip.compress(lsmat().encode()), "gzip-compressed; decompress it first"),
        (lsmat().encode("latin-1").replace(b"\t0.25", b"\t\xff", 1), "byte 0xe9 in line 1"),
        (lsmat(ids=("s1", "s2", "s3", "s4")).encode() + b"\xff", "byte 0xff in line 6"),
        (lsmat().encode("utf-16"), "is UTF-16 text"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            read_distances(path)
