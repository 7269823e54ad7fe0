"""Which samples and ASVs of a table are used: matched to the metadata, deep enough, not too rare.

Shapes: N samples, A ASVs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aam.config import DataConfig
from aam.data.metadata import Metadata
from aam.data.sequences import is_dna
from aam.data.table import FeatureTable
from aam.errors import UserError, shown
from aam.inputs import short

_LEAST_READ = 10  # letters; a shorter name, such as GUT, may be DNA by chance


@dataclass
class Selection:
    """What is left of a table, rows sorted by sample id, and what was said on the way."""

    counts: sparse.csr_matrix
    sample_ids: tuple[str, ...]
    asv_ids: tuple[str, ...]
    notices: list[str] = field(default_factory=list)
    """One sentence for each drop, in the order in which they were made."""

    def keep_samples(self, keep: NDArray[np.bool_], why: str, advice: str) -> None:
        """Keep some rows ``[N]``, say how many others went and why; refuse to keep none."""
        dropped = [name for name, kept in zip(self.sample_ids, keep, strict=True) if not kept]
        if not dropped:
            return
        if len(dropped) == len(self.sample_ids):
            raise UserError(
                f"all {len(dropped)} samples of the table {why} ({shown(short(dropped))}); {advice}"
            )
        self.notices.append(
            f"{len(dropped)} of {len(self.sample_ids)} samples {why} and were dropped:"
            f" {shown(short(dropped))}"
        )
        self.counts = self.counts[np.flatnonzero(keep)]
        self.sample_ids = tuple(n for n, kept in zip(self.sample_ids, keep, strict=True) if kept)

    def keep_asvs(self, keep: NDArray[np.bool_], why: str, advice: str) -> None:
        """Keep some columns ``[A]``, as ``keep_samples`` does with rows."""
        dropped = [name for name, kept in zip(self.asv_ids, keep, strict=True) if not kept]
        if not dropped:
            return
        if len(dropped) == len(self.asv_ids):
            raise UserError(
                f"all {len(dropped)} ASVs of the table {why} ({shown(short(dropped))}); {advice}"
            )
        self.notices.append(
            f"{len(dropped)} of {len(self.asv_ids)} ASVs {why} and were dropped:"
            f" {shown(short(dropped))}"
        )
        self.counts = self.counts[:, np.flatnonzero(keep)]
        self.asv_ids = tuple(n for n, kept in zip(self.asv_ids, keep, strict=True) if kept)

    def depth(self) -> NDArray[np.int64]:
        """Reads of each sample, ``[N]``."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64).ravel()

    def prevalence(self) -> NDArray[np.int64]:
        """Samples that hold each ASV, ``[A]``."""
        return np.bincount(self.counts.indices, minlength=len(self.asv_ids))


def select(table: FeatureTable, metadata: Metadata | None, data: DataConfig) -> Selection:
    """Apply the filters: metadata, empty samples, sample depth, prevalence, rarefaction depth.

    Prevalence is counted among the samples that passed the filters before it, and the depth to
    rarefy to is compared with the reads that the ASVs left have.

    Raises
    ------
    UserError
        A filter leaves nothing; the sentence names the filter.
    """
    rows = sorted(range(len(table.sample_ids)), key=table.sample_ids.__getitem__)
    kept = Selection(table.counts[rows], tuple(table.sample_ids[r] for r in rows), table.asv_ids)
    if metadata is not None:
        described = frozenset(metadata.sample_ids)
        kept.keep_samples(
            np.array([sample_id in described for sample_id in kept.sample_ids]),
            f"are absent from the metadata {metadata.source}",
            _advice(kept, metadata),
        )
        unread = sorted(described.difference(table.sample_ids))
        if unread:
            kept.notices.append(
                f"{len(unread)} of {len(described)} samples of the metadata {metadata.source} are"
                f" absent from the table and were dropped: {shown(short(unread))}"
            )
    kept.keep_samples(kept.depth() > 0, "are empty (0 reads)", "give a table with reads")
    kept.keep_samples(
        kept.depth() >= data.min_sample_depth,
        f"have fewer reads than data.min_sample_depth={data.min_sample_depth}",
        f"set it to at most {kept.depth().max()}",
    )
    kept.keep_asvs(
        kept.prevalence() >= max(data.min_prevalence, 1),
        f"are in fewer samples than data.min_prevalence={data.min_prevalence}"
        if data.min_prevalence > 1
        else "are in none of the samples used",
        f"set it to at most {kept.prevalence().max()}",
    )
    kept.keep_samples(
        kept.depth() >= max(data.rarefaction_depth or 0, 1),
        f"have fewer reads than data.rarefaction_depth={data.rarefaction_depth}"
        if data.rarefaction_depth
        else "have no reads left",
        f"set it to at most {kept.depth().max()}",
    )
    kept.keep_asvs(kept.prevalence() > 0, "are in none of the samples left", "")
    return kept


def _advice(kept: Selection, metadata: Metadata) -> str:
    """What may be wrong where table and metadata share no sample."""
    like = f"its ids are like {shown(metadata.sample_ids)}"
    folded = {sample_id.casefold() for sample_id in metadata.sample_ids}
    num_near = sum(sample_id.casefold() in folded for sample_id in kept.sample_ids)
    if num_near:
        return (
            f"{like}, and {num_near} would match but for upper and lower case: make them the same"
        )
    return f"{like}; give the metadata of this table"


def refuse_transposed(
    table: FeatureTable, metadata: Metadata | None, rep_seqs: Mapping[str, str] | None
) -> None:
    """Refuse a table that lies on its side, as its ids tell.

    Its ASVs are samples of the metadata, or most of its samples are DNA or have rep-seqs.
    """
    described = frozenset(metadata.sample_ids if metadata else ())
    if not described.isdisjoint(table.sample_ids):
        return
    samples = [name for name in table.asv_ids if name in described]
    reads = _known_asvs(table.sample_ids, rep_seqs)
    if samples:
        evidence = (
            f"{len(samples)} of its {len(table.asv_ids)} ASV ids are sample ids of the metadata"
            f" ({shown(samples)})"
        )
    elif len(reads) * 2 > len(table.sample_ids) and not _known_asvs(table.asv_ids, rep_seqs):
        evidence = (
            f"{len(reads)} of its {len(table.sample_ids)} sample ids are ASVs"
            f" ({shown(short(reads))})"
        )
    else:
        return
    raise UserError(
        f"the table is transposed: {evidence}; exchange its rows and columns, so that in a BIOM or"
        " TSV file each row is an ASV"
    )


def _known_asvs(names: Sequence[str], rep_seqs: Mapping[str, str] | None) -> list[str]:
    known = rep_seqs or {}
    return [n for n in names if n in known or (len(n) >= _LEAST_READ and is_dna(n))]
