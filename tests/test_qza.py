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
