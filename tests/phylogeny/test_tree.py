import gzip
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from aam.errors import UserError
from aam.phylogeny.tree import Tree, read_tree
from aam.phylogeny.unifrac import UniFrac


def write(folder: Path, newick: str) -> Path:
    path = folder / "tree.nwk"
    path.write_text(newick, encoding="utf-8")
    return path


def faith_pd_of_each(tree: Tree) -> list[float]:
    """Each column alone: its distance from the root."""
    num_columns = len(tree.tip_order)
    identity = csr_matrix(np.eye(num_columns, dtype=np.int64))
    return [float(value) for value in UniFrac(tree).faith_pd(identity)]


@pytest.mark.parametrize(
    ("newick", "depths"),
    [
        ("((a:1,b:2)0.95:4,c:8);", [5, 6, 8]),
        ("((a:1,b:2)'0.95:x;y':4,c:8)root:16;", [21, 22, 24]),
        ("(a:1,b:2,c:8);", [1, 2, 8]),
        ("(('b':2,a:1e0):4.0,'c':8);\n", [5, 6, 8]),
        ("[&R] ((a:1[90],\n  b:2):4[a (b, c:3);],c:8);", [5, 6, 8]),
        ("\ufeff((a:1,b:2):4,(((c:1):2):4):1);", [5, 6, 8]),
        ("((a,b:0):4,c);", [4, 4, 0]),
        ("(((x:9,a:1):0.5,(y:1,z:1):7,b:1.5):4,(c:3,w:1):5);", [5.5, 5.5, 8]),
    ],
    ids=[
        "support",
        "root length, quoted support",
        "trifurcating root",
        "quoted tips",
        "comments",
        "byte order mark, one child",
        "missing and zero lengths",
        "tips to prune",
    ],
)
def test_distances_from_the_root_are_kept(tmp_path: Path, newick: str, depths: list[float]) -> None:
    tree = read_tree(write(tmp_path, newick), ["a", "b", "c"])
    assert faith_pd_of_each(tree) == depths


def test_single_tip(tmp_path: Path) -> None:
    assert faith_pd_of_each(read_tree(write(tmp_path, "a:2;"), ["a"])) == [2]
    assert faith_pd_of_each(read_tree(write(tmp_path, "((a:2):3,b:1):4;"), ["a"])) == [9]


def test_edges_are_merged_and_pruned(tmp_path: Path) -> None:
    newick = "(((x:9,a:1):0.5,(y:1,z:1):7,b:1.5):4,w:3):2;"
    tree = read_tree(write(tmp_path, newick), ["b", "a"])
    assert tree.tip_order.tolist() == [1, 0]
    edges = sorted(zip(tree.start.tolist(), tree.stop.tolist(), tree.length.tolist(), strict=True))
    assert edges == [(0, 1, 1.5), (0, 2, 6.0), (1, 2, 1.5)]


def test_deep_and_wide_trees(tmp_path: Path) -> None:
    size = 100_000
    names = [f"t{k}" for k in range(size)]
    deep = "(" * (size - 1) + "t0:1" + "".join(f",{name}:1):1" for name in names[1:]) + ";"
    tree = read_tree(write(tmp_path, deep), names)
    first, last = np.zeros((2, size), dtype=np.int64)
    first[0], last[-1] = 1, 1
    counts = csr_matrix(np.stack([first, last]))
    assert UniFrac(tree).faith_pd(counts).tolist() == [size, 2]
    assert UniFrac(tree).distances(counts)[0, 1] == size / (size + 1)

    wide = read_tree(write(tmp_path, f"({':1,'.join(names)}:1);"), names)
    assert len(wide.length) == size + 1


def test_underscores_and_spaces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "((s_1:1,'s 2':2):4,(s_3:1,'s 3':2):1);")
    assert faith_pd_of_each(read_tree(path, ["s_1", "s 2", "s_3", "s 3"])) == [5, 6, 2, 3]
    assert not caplog.records
    assert faith_pd_of_each(read_tree(path, ["s 1", "s_2"])) == [5, 6]
    assert "2 ASVs were matched" in caplog.text
    # One tip never serves two ASVs.
    with pytest.raises(UserError, match="1 of 2 ASVs are not tips"):
        read_tree(path, ["s_1", "s 1"])


def test_notices(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    read_tree(write(tmp_path, "(a:1,b,(c:1,d));"), ["a", "b", "c"])
    assert "3 of the 5 branches" in caplog.text
    assert "has 3 children" in caplog.text
    assert "1 of the 4 tips" in caplog.text
    assert "not in the table and were pruned: d" in caplog.text


@pytest.mark.parametrize(
    ("newick", "sentence"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("((a:1,b:2):4,c:8)", "is it truncated"),
        ("((a:1,b:2):4,c:", "inside 1 open parentheses before the closing ';'"),
        ("((a:1,b:2):4,c:8;", "a ';' inside 1 open parentheses"),
        ("(a:1,b:2):4,c:8);", "a ',' outside of all parentheses"),
        ("a:1);", "a '\\)' that closes nothing"),
        ("(a:1,b:x,c:8);", "'x' for a branch length \\(at character 8\\)"),
        ("(a:1,b:nan,c:8);", "'nan' for a branch length"),
        ("(a:1,b:1_0,c:8);", "'1_0' for a branch length"),
        ("(a:1,b:,c:8);", "no branch length between ':' and ','"),
        ("(a:1,b:2:3,c:8);", "two branch lengths"),
        ("(a:1,b b:2,c:8);", "quote labels with spaces"),
        ("(a:1,b(c:8));", "a '\\(' where"),
        ("(a:1,'b:2,c:8);", "opens a quote and never closes it"),
        ("(a:1,[b:2,c:8);", "opens a comment and never closes it"),
        ("(a:1,b]:2,c:8);", "a ']' that closes nothing"),
        ("(a:1,b:2,c:8);(a,b);", "more than one tree"),
        ("#NEXUS\nbegin trees;", "quote labels with spaces"),
        ("(a:1,b:1e308,(c:1e308,d:1):1);", r"a branch of length 1e\+308, too long to be added up"),
        ("(a:1,b:-2,(c:8,d:1):-1);", "2 branch lengths .* negative, at or above the tips b, c"),
        ("(a:1,b:2,c:8,(b:1,a:3));", "2 names stand at more than one tip .* a, b"),
        ("(A:1,b:2);", "2 of 3 ASVs are not tips .* a, c .*named like A, b"),
        ("((d:1,b:2)a:1,c:1);", "1 of 3 ASVs are not tips .* a "),
        ("(a,(b,c));", "no branch length above 0 between its root and the 3 ASVs of the table"),
        ("(a:0,b:0.0,(c,d:1));", "no branch length above 0 between its root and the 3 ASVs"),
    ],
)
def test_refused(tmp_path: Path, newick: str, sentence: str) -> None:
    path = write(tmp_path, newick)
    with pytest.raises(UserError, match=sentence) as caught:
        read_tree(path, ["a", "b", "c"])
    assert str(path) in str(caught.value)


LONG = "ACGTA" * 30


@pytest.mark.parametrize(
    "newick",
    ["(a:1,b:2);", f"({LONG}:1,{LONG}:2);", f"({LONG}:-1,b:2);", f"({LONG}:{LONG},b:2);", LONG * 2],
    ids=["missing", "repeated", "negative", "length", "no tree"],
)
def test_sequences_are_cut_in_sentences(tmp_path: Path, newick: str) -> None:
    with pytest.raises(UserError) as caught:
        read_tree(write(tmp_path, newick), [LONG, "b"])
    assert LONG[:40] not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "absent.nwk"
    with pytest.raises(UserError, match=r"the tree .*absent\.nwk does not exist"):
        read_tree(path, ["a"])
    with pytest.raises(UserError, match="is a directory"):
        read_tree(tmp_path, ["a"])
    for content, sentence in (
        (bytes(range(256)), "is not UTF-8 text"),
        (gzip.compress(b"(a:1,b:2);"), r"gzip-compressed; decompress it first \(gunzip\)"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            read_tree(path, ["a"])


def test_qiime_artifact(tmp_path: Path) -> None:
    path = tmp_path / "tree.qza"

    def write_artifact(semantic_type: str) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("u/metadata.yaml", f"uuid: u\ntype: {semantic_type}\nformat: X\n")
            archive.writestr("u/data/tree.nwk", "(a:1,b:2);")

    write_artifact("Phylogeny[Rooted]")
    assert faith_pd_of_each(read_tree(path, ["b", "a"])) == [2, 1]
    write_artifact("Phylogeny[Unrooted]")
    with pytest.raises(UserError, match=r"of type Phylogeny\[Unrooted\], not Phylogeny\[Rooted\]"):
        read_tree(path, ["b", "a"])
