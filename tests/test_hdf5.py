"""HDF5 files that lie, lead elsewhere, or bring the library to its knees."""

import os
import signal
import zlib
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import pytest

from aam import hdf5
from aam.errors import UserError
from aam.hdf5 import Hdf5, read_hdf5

VALUES = np.arange(12.0).reshape(3, 4)
NAMES = ["s1", "é", "10"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["a/values"] = VALUES
        file.create_dataset("a/packed", data=VALUES, compression="gzip", shuffle=True)
        file["names"] = NAMES
        file["fixed"] = np.array([name.encode() for name in NAMES])
    return tmp_path / "t.h5"


def add(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "r+") as file:
        file[name] = value


def array(path: Path, name: str) -> Any:
    return read_hdf5(path, lambda file: file.array(name))


def refusal(path: Path, name: str) -> str:
    with pytest.raises(hdf5.DAMAGE) as caught:
        array(path, name)
    return str(caught.value)


def test_what_a_file_holds(path: Path) -> None:
    def read(file: Hdf5) -> Any:
        assert file.lacking("names", "a/values", "a/none", "names/x", "a") == ["a/none", "names/x"]
        return file.array("a/values"), file.array("a/packed"), file.texts("names")

    for source in (path, path.read_bytes()):
        plain, packed, names = read_hdf5(source, read)
        assert plain.tolist() == packed.tolist() == VALUES.tolist()
        assert names == NAMES
    assert read_hdf5(path, lambda file: file.texts("fixed")) == NAMES


def test_the_callers_own_refusal_comes_through(path: Path) -> None:
    def refuse(_: Hdf5) -> NoReturn:
        raise UserError("not this file")

    with pytest.raises(UserError, match=r"^not this file$"):
        read_hdf5(path, refuse)


def test_links_are_not_followed(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = VALUES
    for name, link in (
        ("soft", h5py.SoftLink("/a/values")),
        ("self", h5py.SoftLink("/self")),
        ("outside", h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")),
        ("endless", h5py.ExternalLink("/dev/zero", "/x")),
    ):
        add(path, name, link)
        assert read_hdf5(path, lambda file, name=name: file.lacking(name)) == [name]
        assert refusal(path, name) == f"{name} is no dataset"


def test_values_of_other_files_are_not_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(800))
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="f8")
    layout[:] = h5py.VirtualSource(str(path), "a/values", shape=(3, 4))
    with h5py.File(path, "r+") as file:
        file.create_dataset("raw", (9,), "f8", external=[(str(tmp_path / "raw"), 0, 800)])
        file.create_virtual_dataset("virtual", layout)
    assert refusal(path, "raw") == "raw lies in another file"
    assert refusal(path, "virtual") == "virtual lies in another file"


def test_a_size_that_the_file_does_not_explain(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.create_dataset("huge", shape=(2**20, 2**20), dtype="f8", chunks=(9, 9))
        file.create_dataset("names_too", shape=(2**40,), dtype=h5py.string_dtype(), chunks=(9,))
    assert refusal(path, "huge") == f"huge says that it has {2**43} bytes"
    with pytest.raises(ValueError, match="names_too says that it has"):
        read_hdf5(path, lambda file: file.texts("names_too"))


def test_a_chunk_that_unpacks_without_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_SPARE_BYTES", 2**27)
    packer = zlib.compressobj(9)
    zeros, times = bytes(2**20), 2**9
    first, more = (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    checksum = zlib.adler32(zeros * times).to_bytes(4, "big")
    bomb = first + more * (times - 1) + b"\x03\x00" + checksum
    assert zlib.decompressobj().decompress(bomb, 9) == bytes(9)
    with h5py.File(path, "r+") as file:
        packed = file.create_dataset("bomb", (9,), "f8", chunks=(9,), compression="gzip")
        packed.id.write_direct_chunk((0,), bomb)
    assert refusal(path, "bomb")


@pytest.mark.parametrize("name", ["names", "fixed", "a/values", "a"])
def test_texts_are_lists_of_texts(path: Path, name: str) -> None:
    if name in ("names", "fixed"):
        add(path, "x", np.array([[b"a", b"b"]]) if name == "fixed" else np.array([b"\xff"]))
        name = "x"
    with pytest.raises(hdf5.DAMAGE):
        read_hdf5(path, lambda file: file.texts(name))


def test_many_texts_that_are_one_in_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "SUSPECT_BYTES", 10)
    monkeypatch.setattr(hdf5, "SUSPECT_RATIO", 0)
    with pytest.raises(ValueError, match="names says that it has 24 bytes"):
        read_hdf5(path, lambda file: file.texts("names"))
    monkeypatch.setattr(hdf5, "SUSPECT_BYTES", 100)
    add(path, "long", ["x" * 99, "y" * 99])
    with pytest.raises(ValueError, match="long would be more than 198 letters"):
        read_hdf5(path, lambda file: file.texts("long"))


def test_a_library_that_hangs_or_crashes_is_survived(path: Path) -> None:
    """The copy of this process that reads first takes the blow."""
    me = os.getpid()

    def crash(_: Hdf5) -> None:
        assert os.getpid() != me
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(_: Hdf5) -> None:
        assert os.getpid() != me
        while True:
            pass

    with pytest.raises(ValueError, match="the HDF5 library crashes over it, with signal 11"):
        read_hdf5(path, crash)
    with pytest.raises(ValueError, match="the HDF5 library does not come to an end with it"):
        read_hdf5(path, hang)


def test_memory_that_the_library_asks_for_is_limited(path: Path) -> None:
    me = os.getpid()

    def waste(_: Hdf5) -> None:
        assert os.getpid() != me
        bytearray(2 * 2**30)

    with pytest.raises(ValueError, match="MemoryError"):
        read_hdf5(path, waste)
