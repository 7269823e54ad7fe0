"""Sequences: tokens of known strings, rep-seqs, and ids that are sequences or md5 sums."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aam.data.sequences import read_rep_seqs, resolve_sequences, tokenize
from aam.errors import UserError


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def test_tokens_of_known_sequences() -> None:
    assert tokenize(["ACGT", "nu", "RYSWKMBDHVN"]).tolist() == [
        [5, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0],
        [5, 7, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    ]
    assert tokenize(["A"]).dtype == "uint8"
    assert tokenize([]).shape == (0, 1)


def test_a_genome_among_amplicons() -> None:
    """As one array they would be 10^5 times 10^6 letters."""
    with pytest.raises(
        UserError, match=r"longest of 100001 sequences has 1000000 bases, .*\(4 in the middle\)"
    ):
        tokenize(["ACGT"] * 10**5 + ["A" * 10**6])
    assert tokenize(["A", "C" * 10**6]).shape == (2, 10**6 + 1)


@given(st.lists(st.text("ACGTacgtUuNRy", min_size=1, max_size=9), min_size=1, max_size=8))
def test_tokens_are_case_blind_and_reversible(sequences: list[str]) -> None:
    tokens = tokenize(sequences)
    assert (tokens == tokenize([s.swapcase() for s in sequences])).all()
    assert tokens.shape == (len(sequences), 1 + max(map(len, sequences)))
    for row, sequence in zip(tokens, sequences, strict=True):
        spelled = "".join("-ACGT?!N"[token] for token in row[1:]).rstrip("-")
        expected = sequence.upper().replace("U", "T")
        assert spelled == expected.replace("R", "N").replace("Y", "N")


@pytest.mark.parametrize("wrong", ["AC-GT", "", "ACG T", "ACGÄ", "OTU1", "ACGT\n", "AC.G"])
def test_what_is_not_dna(wrong: str) -> None:
    with pytest.raises(UserError, match="1 of 3 sequences are not DNA"):
        tokenize(["ACGT", wrong, "GGG"])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_fasta_over_several_lines(line_end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rep.fasta"
    path.write_bytes(b">a some words\nACG\nTT\n\n>b\nggg\n".replace(b"\n", line_end))
    assert read_rep_seqs(path) == {"a": "ACGTT", "b": "ggg"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ACGT\n", "is not FASTA"),
        ("a\tACGT\n>x\nA\n", "is not FASTA"),
        (">a\nAC\n>b\nA\n>a\nGT\n", "has 1 ids more than once: a"),
        (">a x\n>b\nA\n>c\n\n", "has 2 ids without a sequence: a, c; give each its sequence"),
        ("", "is empty"),
    ],
)
def test_files_that_are_no_rep_seqs(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rep.fasta"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_rep_seqs(path)


def test_ids_that_are_sequences_stand_for_themselves() -> None:
    assert resolve_sequences(["ACGT", "ggtn"], None) == ("ACGT", "ggtn")
    assert resolve_sequences(["ACGT", "x1"], {"x1": "TTT"}) == ("ACGT", "TTT")


def test_md5_ids_are_checked_in_either_case() -> None:
    rep_seqs = {md5("acgt"): "acgt", md5("TTGA"): "ttga", md5("GGG").upper(): "GGG"}
    assert resolve_sequences(list(rep_seqs), rep_seqs) == ("acgt", "ttga", "GGG")
    shifted = dict(zip(rep_seqs, ["ttga", "acgt", "GGG"], strict=True))
    with pytest.raises(UserError, match="2 of 3 ASV ids are not the md5 sums") as error:
        resolve_sequences(list(shifted), shifted)
    assert md5("acgt") in str(error.value)


def test_ids_without_a_sequence_are_counted_and_named() -> None:
    with pytest.raises(UserError, match=r"2 of 3 ASV ids .* \(OTU1, OTU2\); set data.rep_seqs= to"):
        resolve_sequences(["OTU1", "ACGT", "OTU2"], None)
    with pytest.raises(UserError, match=r"1 of 2 ASV ids .* \(OTU2\) and are not in data.rep_seqs"):
        resolve_sequences(["OTU1", "OTU2"], {"OTU1": "ACGT"})
