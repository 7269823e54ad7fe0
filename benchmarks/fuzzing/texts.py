"""Files of text: tables, metadata, FASTA, Newick, distances, splits, what a run writes."""

import random
from collections.abc import Callable
from pathlib import Path

from fuzzing.mutations import mutated_text
from fuzzing.worker import Reader

ASVS = ("ACGTACGTAC", "ACGTACGTAG", "ACGTACTTTT", "GGCCTTAACN", "TTTTTTTTTT")
SAMPLES = ("s1", "10", "é3", "s 4")
TABLE = (
    "# Constructed from biom file\n#OTU ID\ts1\t10\té3\ts 4\ttaxonomy\n"
    "ACGTACGTAC\t5\t0\t1.0\t2\tk__Bacteria; p__x\nACGTACGTAG\t0\t0\t7\t1\tk__Bacteria\n"
    "ACGTACTTTT\t2\t3\t0\t1\t\nGGCCTTAACN\t0\t9\t4\t0\tUnassigned\nTTTTTTTTTT\t1\t1\t0\t0\t\n"
)
METADATA = (
    "# by hand\nsample-id\tage\tsite\tplate\n#q2:types\tnumeric\tcategorical\t\n"
    '#q2:missing\tblank\tINSDC:missing\t\ns1\t1.5\tgut\t1\n10\t\t"to\tngue"\t2\n\n'
    "é3\t3e1\tskin\t1\ns 4\t4\tnot collected\t\n"
)
FASTA = "".join(f">{name} a note\n{name[:5]}\n{name[5:]}\n" for name in ASVS)
TREE = (
    "(('ACGTACGTAC':0.1,ACGTACGTAG:0.25)0.9:1e-2,[note](ACGTACTTTT:1,(GGCCTTAACN:.5,"
    "'it''s':2)x:0.5):0.1,TTTTTTTTTT:3)root:0.0;\n"
)
SPLIT = "sample-id\tpart\ns1\ttrain\n10\tval\né3\ttest\ns 4\ttrain\n"
LSMAT = (
    "# by hand\n\ts1\t10\té3\ts 4\ns1\t0\t0.25\t0.5\t1\n10\t0.25\t0\t0.125\t0.75\n"
    "é3\t0.5\t0.125\t0\t0.3333333333\ns 4\t1\t0.75\t0.3333333333\t0\n"
)
PREDICTIONS = (
    "sample-id\ttrue\tpredicted\tprobability_gut\ns1\t1.5\t1.25\t0.5\n"
    '10\t2.0\t\t\n"é\t3"\t-1e-05\t3\t1.0\n'
)
SCALARS = (
    "epoch,split,step,train_loss,val_loss,lr,epoch_time_s,throughput,max_memory_mib,metric_mae\n"
    "0,train,10,1.0,1.1,0.0001,1.5,20.0,512.0,0.5\n0,val,10,1.0,1.1,0.0001,1.5,20.0,512.0,0.6\n"
)


def text_reader(
    name: str,
    file: str,
    whole: str,
    read: Callable[[Path], object],
    tokens: tuple[str, ...] = (),
    wide: Callable[[random.Random], str] | None = None,
) -> Reader:
    """A reader of one text file; ``wide`` makes one that asks for much more memory than it has."""

    def write(rng: random.Random, folder: Path) -> None:
        text = wide(rng) if wide and rng.random() < 0.02 else whole
        (folder / file).write_bytes(mutated_text(rng, text, tokens))

    def write_whole(folder: Path) -> None:
        (folder / file).write_text(whole, encoding="utf-8")

    return Reader(name, write, write_whole, lambda folder: read(folder / file))


def _wide_metadata(rng: random.Random) -> str:
    """Many columns in the header, and many rows that are short of them."""
    columns = [f"c{k}" for k in range(rng.choice((100, 10**3, 10**5)))]
    rows = [f"s{k}" for k in range(rng.choice((10, 10**3, 10**5)))]
    return "\n".join(["\t".join(["id", *columns]), *rows]) + "\n"


def _wide_distances(rng: random.Random) -> str:
    """Many samples in the header, and few rows."""
    names = [f"s{k}" for k in range(rng.choice((100, 10**4, 10**5)))]
    return "\t".join(["", *names]) + "\ns0\t0\n"


def _long_fasta(rng: random.Random) -> str:
    """Many short sequences and one that is very long."""
    short = "".join(f">a{k}\nA\n" for k in range(rng.choice((10, 10**4, 10**5))))
    return short + ">x\n" + "ACGT" * rng.choice((10, 10**4, 10**5)) + "\n"


def read_table(path: Path) -> None:
    from aam.data.table import read_table

    table = read_table(path)
    assert table.counts.shape == (len(table.sample_ids), len(table.asv_ids))
    assert table.counts.dtype == "int64"
    assert table.counts.data.min() > 0
    assert table.counts.has_sorted_indices
    "\n".join((*table.sample_ids, *table.asv_ids)).encode()


def read_metadata(path: Path) -> None:
    from aam.data.metadata import read_metadata

    metadata = read_metadata(path)
    for column in metadata.columns.values():
        assert len(column.values) == len(metadata.sample_ids)
        if column.kind == "numeric":
            assert not any(map(is_infinite, column.numeric()))


def is_infinite(value: float) -> bool:
    return value in (float("inf"), float("-inf"))


def read_fasta(path: Path) -> None:
    from aam.data.sequences import read_rep_seqs, resolve_sequences, tokenize

    found = read_rep_seqs(path)
    names = tuple(found)
    assert tokenize(resolve_sequences(names, found)).shape[0] == len(names)


def read_tree(path: Path) -> None:
    import numpy as np
    from scipy import sparse

    from aam.phylogeny.tree import read_tree
    from aam.phylogeny.unifrac import UniFrac

    tree = read_tree(path, ASVS)
    counts = sparse.csr_matrix(np.array([[5, 0, 1, 2, 0], [0, 1, 1, 0, 9]]))
    distances = UniFrac(tree).distances(counts)
    assert np.isfinite(distances).all()
    assert distances.min() >= -1e-9
    assert distances.max() <= 1 + 1e-9


def read_split(path: Path) -> None:
    from aam.data.splits import read_split

    split = read_split(path, SAMPLES)
    assert len(split.train) + len(split.val) + len(split.test) == len(SAMPLES)


def read_distances(path: Path) -> None:
    import numpy as np

    from aam.phylogeny.distances import read_distances

    given = read_distances(path)
    distances = given.for_samples(given.sample_ids[:3])
    assert np.isfinite(distances).all()
    assert distances.min(initial=0) >= 0


def read_predictions(path: Path) -> None:
    from aam.facts.tables import numbers, read_tsv

    table = read_tsv(path)
    for name, column in table.items():
        if name != "sample-id":
            numbers(column)


def read_scalars(path: Path) -> None:
    from aam.facts.scalars import Scalars

    Scalars(path, ["mae"]).check_header()


def readers() -> tuple[Reader, ...]:
    """All of them."""
    return (
        text_reader("table TSV", "table.tsv", TABLE, read_table),
        text_reader("metadata", "metadata.tsv", METADATA, read_metadata, wide=_wide_metadata),
        text_reader(
            "FASTA", "rep-seqs.fasta", FASTA, read_fasta, (">", "-", "U", *ASVS), _long_fasta
        ),
        text_reader("Newick", "tree.nwk", TREE, read_tree, (*"()[]':;,", "''", ":-1", *ASVS)),
        text_reader(
            "distances TSV", "distances.tsv", LSMAT, read_distances, SAMPLES, _wide_distances
        ),
        text_reader("split", "split.tsv", SPLIT, read_split, ("train", "val", "test", *SAMPLES)),
        text_reader("predictions", "test.tsv", PREDICTIONS, read_predictions),
        text_reader("scalars.csv", "scalars.csv", SCALARS, read_scalars, (",", "metric_mae")),
    )
