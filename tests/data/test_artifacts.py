"""QIIME 2 artifacts as tables and rep-seqs; unsafe and damaged ones are tests/test_qza.py's."""

import io
import zipfile
from pathlib import Path

import biom
import h5py
import numpy as np
import pytest

from aam.data.sequences import read_rep_seqs
from aam.data.table import read_table
from aam.errors import UserError


def write_qza(path: Path, semantic_type: str, name: str, content: bytes) -> Path:
    """An artifact laid out as QIIME 2 lays it out."""
    top = "0f1a3c5e-0000-4000-8000-000000000000"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{top}/VERSION", "QIIME 2\narchive: 5\nframework: 2024.2.0\n")
        archive.writestr(f"{top}/metadata.yaml", f"uuid: {top}\ntype: {semantic_type}\nformat: x\n")
        archive.writestr(f"{top}/data/{name}", content)
    return path


def biom_bytes() -> bytes:
    table = biom.Table(np.array([[1.0, 0.0], [2.0, 3.0]]), ["ACGT", "GGTA"], ["s1", "s2"])
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        table.to_hdf5(file, "test")
    return buffer.getvalue()


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "table.qza"
    write_qza(path, "FeatureTable[Frequency]", "feature-table.biom", biom_bytes())
    table = read_table(path)
    assert (table.sample_ids, table.asv_ids) == (("s1", "s2"), ("ACGT", "GGTA"))
    assert table.counts.toarray().tolist() == [[1, 2], [0, 3]]
    write_qza(path, "FeatureTable[RelativeFrequency]", "feature-table.biom", biom_bytes())
    with pytest.raises(
        UserError, match=r"FeatureTable\[RelativeFrequency\], not FeatureTable\[Freq"
    ):
        read_table(path)
    write_qza(path, "FeatureTable[Frequency]", "feature-table.biom", biom_bytes()[:3000])
    with pytest.raises(UserError, match=r"table\.qza cannot be read as BIOM 2\.1"):
        read_table(path)


def test_rep_seqs(tmp_path: Path) -> None:
    path = tmp_path / "rep-seqs.qza"
    write_qza(path, "FeatureData[Sequence]", "dna-sequences.fasta", b">ab\nACGT\n")
    assert read_rep_seqs(path) == {"ab": "ACGT"}
    with pytest.raises(UserError, match=r"FeatureData\[Sequence\], not FeatureTable\[Frequency\]"):
        read_table(path)
