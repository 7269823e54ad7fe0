"""From files to matched arrays: real sets, and small studies with one thing wrong each."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import biom
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aam.config import DataConfig
from aam.data.study import Study, load_study
from aam.data.table import read_table
from aam.errors import UserError

SEQUENCES = ["TTTTACGTACGT", "ACGTACGTACGT", "GGGGACGTACGTN", "CCCCACGTACG"]
COUNTS = np.array([[5, 0, 1, 0], [0, 2, 7, 0], [2, 3, 0, 9], [1, 1, 1, 0]])  # samples by ASVs
SAMPLES = ["s2", "10", "s1", "9"]


def write_study(folder: Path, counts=COUNTS, samples=SAMPLES, asvs=SEQUENCES) -> DataConfig:
    """A whole study whose tips are named by the sequences."""
    table = biom.Table(np.asarray(counts, dtype=float).T, asvs, samples)
    (folder / "table.tsv").write_text(table.to_tsv())
    first, *others = SEQUENCES
    (folder / "tree.nwk").write_text(
        f"(({first}:1,{','.join(f'{o}:2' for o in others)}):1,other:3);"
    )
    rows = "".join(f"{s}\t{i}\n" for i, s in enumerate(SAMPLES))
    (folder / "metadata.tsv").write_text(f"sample-id\tage\n{rows}unused\t7\n")
    return DataConfig(
        name="biom",
        table=str(folder / "table.tsv"),
        tree=str(folder / "tree.nwk"),
        metadata=str(folder / "metadata.tsv"),
    )


def md5_study(folder: Path, tips: list[str] | None = None) -> DataConfig:
    """The same study with md5 ids; the tips of its tree are named by these unless given."""
    ids = [hashlib.md5(s.encode()).hexdigest() for s in SEQUENCES]
    data = write_study(folder, asvs=ids)
    tips = ids if tips is None else tips
    (folder / "tree.nwk").write_text(f"({','.join(f'{tip}:1' for tip in tips)});")
    fasta = "".join(f">{i} x\n{s.lower()}\n" for i, s in zip(ids, SEQUENCES, strict=True))
    (folder / "rep.fasta").write_text(fasta)
    return replace(data, rep_seqs=str(folder / "rep.fasta"))


UNUSED = "1 of {} samples of the metadata {} are absent from the table and were dropped: unused"


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def as_dict(study: Study) -> dict[tuple[str, str], int]:
    entries = study.counts.tocoo()
    return {
        (study.sample_ids[row], study.sequences[column]): int(count)
        for row, column, count in zip(entries.row, entries.col, entries.data, strict=True)
    }


def test_everything_is_matched_and_sorted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write_study(tmp_path)
    study = load_study(data)
    assert warnings_in(caplog) == [UNUSED.format(5, data.metadata)]
    assert study.sample_ids == ("10", "9", "s1", "s2")
    assert study.sequences == tuple(sorted(SEQUENCES))
    assert as_dict(study) == {
        (s, a): COUNTS[i, j]
        for i, s in enumerate(SAMPLES)
        for j, a in enumerate(SEQUENCES)
        if COUNTS[i, j]
    }
    assert study.tokens.shape == (4, 14)
    assert study.tokens[0].tolist() == [5, *[1, 2, 3, 4] * 3, 0]
    assert study.metadata is not None
    assert study.metadata.sample_ids == study.sample_ids
    assert study.metadata.column("age").numeric().tolist() == [1, 3, 2, 0]
    assert study.tree is not None
    assert sorted(study.tree.tip_order) == [0, 1, 2, 3]
    assert study.tree.tip_order[study.sequences.index(SEQUENCES[0])] == 0


@given(st.permutations(range(4)), st.permutations(range(4)))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_the_file_never_matters(
    tmp_path: Path, rows: list[int], columns: list[int]
) -> None:
    expected = load_study(write_study(tmp_path))
    permuted = load_study(
        write_study(
            tmp_path,
            COUNTS[np.ix_(rows, columns)],
            [SAMPLES[r] for r in rows],
            [SEQUENCES[c] for c in columns],
        )
    )
    assert permuted.sample_ids == expected.sample_ids
    assert permuted.sequences == expected.sequences
    assert permuted.counts.toarray().tolist() == expected.counts.toarray().tolist()
    assert permuted.tokens.tolist() == expected.tokens.tolist()
    assert permuted.metadata == expected.metadata


@pytest.mark.parametrize("name", ["cfs", "moving-pictures", "cheese-ph"])
def test_real_sets_load_whole(name: str, real_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = real_data / name
    data = DataConfig(
        name="biom",
        table=str(folder / "table.biom"),
        tree=str(folder / "tree.nwk"),
        metadata=str(folder / "metadata.tsv"),
    )
    study, table = load_study(data), read_table(folder / "table.biom")
    assert warnings_in(caplog) == []
    assert study.sample_ids == tuple(sorted(table.sample_ids))
    assert study.sequences == tuple(sorted(table.asv_ids))
    assert study.counts.sum() == table.counts.sum()
    row, column = 3, 5
    assert (
        study.counts[row, column]
        == table.counts[
            table.sample_ids.index(study.sample_ids[row]),
            table.asv_ids.index(study.sequences[column]),
        ]
    )


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAM_CACHE", str(tmp_path))
    study = load_study(DataConfig())
    assert study.tree is not None
    assert study.metadata is not None
    assert {"age", "body_site", "subject"} <= set(study.metadata.columns)
    with pytest.raises(UserError, match=r"data\.table, data\.tree is set; add data=biom"):
        load_study(DataConfig(table="t", tree="n"))


def test_md5_ids(tmp_path: Path) -> None:
    """Tips may be named by the table's ids or by the sequences; all else is as with sequences."""
    plain = load_study(write_study(tmp_path))
    for data in (md5_study(tmp_path), md5_study(tmp_path, tips=SEQUENCES)):
        study = load_study(data)
        assert study.sequences == plain.sequences
        assert as_dict(study) == as_dict(plain)
    with pytest.raises(UserError, match=r"4 of 4 ASV ids .*; set data\.rep_seqs= to"):
        load_study(replace(data, rep_seqs=None))


def test_lower_case_ids(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, asvs=[s.lower() for s in SEQUENCES]))
    assert as_dict(study) == as_dict(load_study(write_study(tmp_path)))


def test_what_is_dropped_is_counted_named_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = np.vstack([COUNTS, [0, 0, 0, 0], [1, 0, 0, 0], [0, 4, 0, 0]])
    data = write_study(tmp_path, counts, [*SAMPLES, "empty", "shallow", "stranger"])
    with Path(data.metadata or "").open("a") as file:
        file.write("empty\t1\nshallow\t1\n")
    study = load_study(replace(data, min_sample_depth=2, min_prevalence=2, rarefaction_depth=5))
    assert warnings_in(caplog) == [
        f"1 of 7 samples are absent from the metadata {data.metadata} and were dropped: stranger",
        UNUSED.format(7, data.metadata),
        "1 of 6 samples are empty (0 reads) and were dropped: empty",
        "1 of 5 samples have fewer reads than data.min_sample_depth=2 and were dropped: shallow",
        "1 of 4 ASVs are in fewer samples than data.min_prevalence=2 and were dropped: CCCCACGTACG",
        "1 of 4 samples have fewer reads than data.rarefaction_depth=5 and were dropped: 9",
    ]
    assert study.sample_ids == ("10", "s1", "s2")
    assert study.counts.toarray().tolist() == [[2, 7, 0], [3, 0, 2], [0, 1, 5]]


def test_asvs_of_no_sample_need_no_tip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counts = np.hstack([COUNTS, np.zeros((4, 1))])
    data = write_study(tmp_path, counts, asvs=[*SEQUENCES, "AAAAAAAAAAAA"])
    study = load_study(replace(data, metadata=None))
    assert study.sequences == tuple(sorted(SEQUENCES))
    assert warnings_in(caplog) == [
        "1 of 5 ASVs are in none of the samples used and were dropped: AAAAAAAAAAAA"
    ]


def refused(data: DataConfig) -> str:
    with pytest.raises(UserError) as error:
        load_study(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_files_that_are_not_named(tmp_path: Path) -> None:
    data = write_study(tmp_path)
    assert "set data.table=" in refused(replace(data, table=None))
    assert "set data.tree=" in refused(replace(data, tree=None))
    assert load_study(replace(data, tree=None, distances="matrix.tsv")).tree is None
    assert load_study(replace(data, metadata=None)).metadata is None
    assert "nowhere.tsv does not exist" in refused(replace(data, metadata="nowhere.tsv"))


def test_a_transposed_table(tmp_path: Path) -> None:
    data = write_study(tmp_path, COUNTS.T, SEQUENCES, SAMPLES)
    said = refused(data)
    assert "transposed: 4 of its 4 ASV ids are sample ids of the metadata (s2, 10, s1 and 1" in said
    said = refused(replace(data, metadata=None))
    assert "transposed: 4 of its 4 sample ids are ASVs (TTTTACGTACGT, ACGT" in said
    data = md5_study(tmp_path)
    ids = read_table(tmp_path / "table.tsv").asv_ids
    write_study(tmp_path, COUNTS.T, ids, SAMPLES)
    assert "4 of its 4 sample ids are ASVs" in refused(replace(data, metadata=None))


def test_no_common_samples(tmp_path: Path) -> None:
    data = write_study(tmp_path, samples=["x1", "x2", "x3", "x4"])
    assert refused(data) == (
        f"all 4 samples of the table are absent from the metadata {data.metadata} (x1, x2, x3 and 1"
        " more); its ids are like s2, 10, s1 and 2 more; give the metadata of this table"
    )
    data = write_study(tmp_path, samples=["S1", "S2", "x3", "x4"])
    assert "2 would match but for upper and lower case" in refused(data)


def test_filters_that_leave_nothing(tmp_path: Path) -> None:
    data = write_study(tmp_path)
    for key, value, most in (
        ("min_sample_depth", 100, 14),
        ("min_prevalence", 5, 3),
        ("rarefaction_depth", 15, 14),
    ):
        said = refused(replace(data, **{key: value}))
        assert f"data.{key}={value}" in said
        assert said.endswith(f"set it to at most {most}")
    rows = np.vstack([COUNTS * 0, [1, 1, 1, 1]])
    data = write_study(tmp_path, rows, [*SAMPLES, "stranger"])
    assert "all 4 samples of the table are empty" in refused(data)
    assert "but no reads: it is empty" in refused(write_study(tmp_path, COUNTS * 0))


def test_identical_sequences(tmp_path: Path) -> None:
    asvs = [*SEQUENCES[:3], SEQUENCES[0].lower().replace("t", "u")]
    said = refused(write_study(tmp_path, asvs=asvs))
    assert "1 ASVs of the table have the same sequence as another" in said
    assert "TTTTACGTACGT = uuuuacguacgu" in said


def test_tips_missing_from_the_tree(tmp_path: Path) -> None:
    data = write_study(tmp_path)
    (tmp_path / "tree.nwk").write_text(f"({SEQUENCES[0]}:1,({SEQUENCES[1]}:1,x:2):1);")
    said = refused(data)
    assert said.startswith("2 of 4 ASVs")
    assert SEQUENCES[2] in said
    assert "tree.nwk" in said


@pytest.mark.parametrize("named_by_sequence", [False, True])
def test_a_tree_without_lengths(tmp_path: Path, named_by_sequence: bool) -> None:
    data = md5_study(tmp_path, tips=SEQUENCES if named_by_sequence else None)
    tree = tmp_path / "tree.nwk"
    tree.write_text(tree.read_text().replace(":1", ""))
    assert "no branch length above 0" in refused(data)


def test_tips_that_are_missing_are_those_of_the_nearer_names(tmp_path: Path) -> None:
    """Ids are md5 sums, tips are sequences, and one is missing: not all of them by their ids."""
    data = md5_study(tmp_path, tips=[*SEQUENCES[:3], "ACGTACGTACGTTTTT"])
    assert "1 of 4 ASVs are not tips of the tree" in refused(data)


def test_ids_that_lie_beside_a_matrix_are_an_input_too(tmp_path: Path) -> None:
    data = replace(write_study(tmp_path), distances=str(tmp_path / "d.npy"))
    np.save(tmp_path / "d.npy", np.zeros((2, 2)))
    assert load_study(data).files["distances_ids"] == tmp_path / "d.ids.txt"


def test_ids_that_are_no_sequences(tmp_path: Path) -> None:
    assert (
        "1 of 4 ASV ids of the table are not DNA sequences (OTU_7); set data.rep_seqs="
        in refused(write_study(tmp_path, asvs=[*SEQUENCES[:3], "OTU_7"]))
    )


def test_a_large_table_is_never_dense(tmp_path: Path) -> None:
    """8,000 x 8,000 counts would take 512 MB in the dense; loading must stay far below."""
    import tracemalloc

    rng = np.random.default_rng(0)
    num = 8_000
    letters = rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), (num, 20))
    columns = rng.integers(0, num, num * 5)
    from scipy import sparse

    matrix = sparse.csr_matrix(
        (np.ones(num * 5), (np.repeat(np.arange(num), 5), columns)), shape=(num, num)
    )
    table = biom.Table(
        matrix, [bytes(row).decode() for row in letters], [f"s{i}" for i in range(num)]
    )
    with h5py.File(tmp_path / "table.biom", "w") as file:
        table.to_hdf5(file, "test")
    tracemalloc.start()
    study = load_study(
        DataConfig(name="biom", table=str(tmp_path / "table.biom"), distances="matrix.tsv")
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert study.counts.sum() == num * 5
    assert peak < 32 * 2**20
