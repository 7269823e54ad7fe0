"""Whole studies: table, tree, metadata and rep-seqs, one or more of them broken in a likely way."""

import hashlib
import random
from pathlib import Path

from fuzzing.mutations import mutated_text
from fuzzing.texts import ASVS, FASTA, METADATA, SAMPLES, TABLE, TREE
from fuzzing.worker import Reader

FILES = {"table": TABLE, "tree": TREE, "metadata": METADATA, "rep_seqs": FASTA}
_TOKENS = (*ASVS, *SAMPLES, "U", "N", "-", "acgtacgtac", hashlib.md5(b"ACGT").hexdigest())


def write(folder: Path, texts: dict[str, bytes]) -> None:
    for name, content in texts.items():
        (folder / name).write_bytes(content)


def write_broken(rng: random.Random, folder: Path) -> None:
    texts = {name: text.encode() for name, text in FILES.items()}
    for name in rng.sample(list(FILES), rng.choice((1, 1, 1, 2))):
        texts[name] = mutated_text(rng, FILES[name], _TOKENS)
        if rng.random() < 0.02:  # one sequence, or one id, far longer than all others
            long = "ACGT" * rng.choice((10**3, 10**5))
            texts[name] = texts[name].replace(rng.choice(ASVS).encode(), long.encode())
    write(folder, texts)


def read(folder: Path) -> None:
    """Load it and make a batch."""
    import numpy as np

    from aam.config import DataConfig
    from aam.data.batches import BatchMaker
    from aam.data.study import load_study
    from aam.phylogeny.unifrac import UniFrac

    study = load_study(
        DataConfig(name="biom", **{name: str(folder / name) for name in FILES}), needs_tree=True
    )
    maker = BatchMaker(study, rarefaction_depth=2, token_limit=3, random_tokens=False)
    list(maker.fixed_batches(np.arange(len(study.sample_ids)), 64, seed=0))
    assert study.tree is not None
    assert np.isfinite(UniFrac(study.tree).distances(study.counts)).all()


def readers() -> tuple[Reader, ...]:
    """The one."""
    whole = {name: text.encode() for name, text in FILES.items()}
    return (Reader("study", write_broken, lambda folder: write(folder, whole), read),)
