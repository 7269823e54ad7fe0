"""The sequences of ASVs: where they come from, what is one, and as tokens.

Shapes: A ASVs, L positions (the length of the longest sequence).
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aam.errors import UserError, shown
from aam.inputs import SUSPECT_BYTES, SUSPECT_RATIO, decode_text, read_bytes, repeated, short
from aam.qza import ZIP_MAGIC, read_member

PAD, START, MASK, OTHER = 0, 5, 6, 7
A, C, G, T = 1, 2, 3, 4
VOCAB_SIZE = 8

_INVALID = 255
_AMBIGUOUS = "RYSWKMBDHVN"
_IUPAC = re.compile(rf"[ACGTU{_AMBIGUOUS}]+", re.IGNORECASE)
_MD5 = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


def _lookup_table() -> NDArray[np.uint8]:
    table = np.full(256, _INVALID, dtype=np.uint8)
    for letters, token in (("A", A), ("C", C), ("G", G), ("TU", T), (_AMBIGUOUS, OTHER)):
        for letter in letters + letters.lower():
            table[ord(letter)] = token
    return table


_TOKEN_OF_BYTE = _lookup_table()


def is_dna(name: str) -> bool:
    """Whether all letters are IUPAC nucleotide codes, of either case."""
    return _IUPAC.fullmatch(name) is not None


def tokenize(sequences: Sequence[str]) -> NDArray[np.uint8]:
    """Tokens ``uint8 [A, 1 + L]``: START, then the bases, then PAD up to the longest sequence.

    A, C, G, T are 1 to 4 in either case, U is read as T, and the other IUPAC letters are OTHER.

    Raises
    ------
    UserError
        Some sequences are empty or hold something else, such as the gaps of an alignment; or one
        is so long that the others would be mostly padding.
    """
    text = "".join(sequences).encode("ascii", errors="replace")  # "?" is no IUPAC letter
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    bases = _TOKEN_OF_BYTE[np.frombuffer(text, dtype=np.uint8)]
    if (lengths == 0).any() or (bases == _INVALID).any():
        wrong = [sequence for sequence in sequences if not is_dna(sequence)]
        letters = sorted(
            {letter for sequence in wrong for letter in sequence if not is_dna(letter)}
        )
        raise UserError(
            f"{len(wrong)} of {len(sequences)} sequences are not DNA: they are empty or hold"
            f" {shown(map(repr, letters))} ({shown(short(wrong))}); give unaligned sequences of"
            " IUPAC letters"
        )
    longest = int(lengths.max(initial=0))
    if len(sequences) * longest > max(SUSPECT_BYTES, SUSPECT_RATIO * len(text)):
        raise UserError(
            f"the longest of {len(sequences)} sequences has {longest} bases, far more than the"
            f" others ({int(np.median(lengths))} in the middle); remove what is no amplicon"
        )
    tokens = np.full((len(sequences), 1 + longest), PAD, dtype=np.uint8)
    tokens[:, 0] = START
    tokens[:, 1:][np.arange(longest) < lengths[:, None]] = bases
    return tokens


def canonical(sequence: str) -> str:
    """The one spelling of a sequence: upper case, T for U."""
    return sequence.upper().replace("U", "T")


def read_rep_seqs(path: Path) -> dict[str, str]:
    """Read representative sequences by id, from FASTA or a ``FeatureData[Sequence]`` artifact.

    An id is the first word of a ``>`` line; a sequence may run over several lines.

    Raises
    ------
    UserError
        The file is missing, empty or not FASTA, or an id stands twice or without a sequence.
    """
    content = read_bytes(path, "the file of rep-seqs")
    if content.startswith(ZIP_MAGIC):
        content = read_member(path, "FeatureData[Sequence]", "dna-sequences.fasta")
    text = decode_text(content, "the file of rep-seqs", path)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    before, *records = re.split(r"^>", text, flags=re.MULTILINE)
    if before.strip() or not records:
        raise UserError(
            f"the file of rep-seqs {path} is not FASTA: it does not begin with '>';"
            " give FASTA or .qza"
        )
    ids, sequences = [], []
    for record in records:
        header, _, body = record.partition("\n")
        ids.append((header.split() or [""])[0])
        sequences.append("".join(body.split()))
    twice = repeated(ids)
    if twice:
        raise UserError(
            f"the file of rep-seqs {path} has {len(twice)} ids more than once:"
            f" {shown(short(twice))}; every sequence needs its own id"
        )
    found = dict(zip(ids, sequences, strict=True))
    bare = [name for name, sequence in found.items() if not sequence]
    if bare:
        raise UserError(
            f"the file of rep-seqs {path} has {len(bare)} ids without a sequence:"
            f" {shown(short(bare))}; give each its sequence or remove it"
        )
    return found


def resolve_sequences(
    asv_ids: Sequence[str], rep_seqs: Mapping[str, str] | None
) -> tuple[str, ...]:
    """The sequence of each ASV, ``[A]``: from the rep-seqs where they have its id, else the id.

    Raises
    ------
    UserError
        Some ids have no sequence or, being md5 sums, are not those of their sequences.
    """
    found = rep_seqs or {}
    missing = [name for name in asv_ids if name not in found and not is_dna(name)]
    if missing:
        advice = (
            "set data.rep_seqs= to the FASTA or .qza file that holds their sequences"
            if rep_seqs is None
            else "and are not in data.rep_seqs; give the rep-seqs that were made with this table"
        )
        raise UserError(
            f"{len(missing)} of {len(asv_ids)} ASV ids of the table are not DNA sequences"
            f" ({shown(short(missing))}){';' if rep_seqs is None else ''} {advice}"
        )
    sequences = tuple(found.get(name, name) for name in asv_ids)
    pairs = zip(asv_ids, sequences, strict=True)
    wrong = [
        name for name, sequence in pairs if _MD5.fullmatch(name) and not _is_md5(name, sequence)
    ]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(asv_ids)} ASV ids are not the md5 sums of their sequences in"
            f" data.rep_seqs ({shown(wrong)}); give the rep-seqs that were made with this table"
        )
    return sequences


def _is_md5(name: str, sequence: str) -> bool:
    return name.lower() in {
        hashlib.md5(spelling.encode(), usedforsecurity=False).hexdigest()
        for spelling in (sequence, sequence.upper())
    }
