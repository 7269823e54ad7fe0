import tracemalloc
import zipfile
from pathlib import Path

import pytest

from aam import qza
from aam.errors import UserError

METADATA = ("u/metadata.yaml", "uuid: u\ntype: Phylogeny[Rooted]\nformat: NewickDirectoryFormat\n")
TREE = ("u/data/tree.nwk", "(a:1,b:2);")


def write(folder: Path, *members: tuple[str, str]) -> Path:
    path = folder / "tree.qza"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def read(path: Path) -> bytes:
    return qza.read_member(path, "Phylogeny[Rooted]", "tree.nwk")


def test_member_is_read(tmp_path: Path) -> None:
    inner = ("u/provenance/metadata.yaml", "type: Other\n")
    assert read(write(tmp_path, ("u/data/", ""), inner, METADATA, TREE)) == b"(a:1,b:2);"
    properties = (METADATA[0], "type: Phylogeny[Rooted] % Properties('x')\n")
    assert read(write(tmp_path, properties, TREE)) == b"(a:1,b:2);"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([METADATA, TREE, ("u/../../evil", "")], "unsafe path 'u/../../evil'"),
        ([METADATA, TREE, ("/etc/evil", "")], "unsafe path '/etc/evil'"),
        ([METADATA, TREE, ("u\\..\\evil", "")], "unsafe path"),
        ([METADATA, TREE, ("v/data/tree.nwk", "")], "twice; it was refused"),
        ([METADATA, TREE, ("v/data/x", "")], "no one top folder"),
        ([TREE], "no metadata.yaml"),
        ([("u/metadata.yaml", "uuid: u\n"), TREE], "no metadata.yaml with a type"),
        ([METADATA], "holds no data/tree.nwk"),
        (
            [("u/metadata.yaml", "type: FeatureTable[Frequency]\n"), TREE],
            r"of type FeatureTable\[Frequency\], not Phylogeny\[Rooted\]",
        ),
        ([METADATA, ("u/data/tree.nwk", " " * 10**6)], "from 9.. to 1000000 bytes; it was refused"),
    ],
)
def test_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: list[tuple[str, str]],
    sentence: str,
) -> None:
    monkeypatch.setattr(qza, "SUSPECT_BYTES", 10**5)
    path = write(tmp_path, *members)
    with pytest.raises(UserError, match=sentence) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_cannot_be_limited(tmp_path: Path, packing: int) -> None:
    path = tmp_path / "tree.qza"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in (METADATA, TREE):
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"packs 'u/metadata.yaml' in an uncommon way"):
        read(path)


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    """No more than it says is ever unpacked."""
    path = write(tmp_path, METADATA, (TREE[0], " " * 2**26))
    content = bytearray(path.read_bytes())
    for start in (content.rindex(b"PK\x01\x02") + 24, content.rindex(b"PK\x03\x04") + 22):
        content[start : start + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UserError, match="Bad CRC-32"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_a_member_that_says_it_is_packed_less_than_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, METADATA, (TREE[0], " " * 2**25))
    content = bytearray(path.read_bytes())
    start = content.rindex(b"PK\x01\x02") + 20
    content[start : start + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"from {len(content)} to {2**25} bytes; it was refused"):
        read(path)


def test_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, METADATA, TREE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(UserError, match="is damaged or unreadable"):
        read(path)
    path.write_bytes(
        write(tmp_path, METADATA, TREE, ("u/é", "")).read_bytes().replace(b"u/\xc3", b"u/\xff")
    )
    with pytest.raises(UserError, match=r"is damaged or unreadable \('utf-8' codec"):
        read(path)
    start = whole.index(b"tree.nwk") + len(b"tree.nwk")
    path.write_bytes(whole[:start] + b"\xff\xff\xff" + whole[start + 3 :])
    with pytest.raises(UserError, match="is damaged or unreadable"):
        read(path)
