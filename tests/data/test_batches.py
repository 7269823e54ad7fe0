"""Batches: exact draws, each distinct ASV once, nothing lost and nothing made up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from scipy.stats import hypergeom

from aam.config import DataConfig
from aam.data.batches import Batch, BatchMaker, rarefy, shuffled
from aam.data.sequences import tokenize
from aam.data.study import Study, load_study
from aam.errors import UserError

TABLES = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(0, 12)
)


def make_study(counts: np.ndarray) -> Study:
    """A study of these counts, its sequences in sorted order as ``load_study`` has them."""
    num_samples, num_asvs = counts.shape
    sequences = tuple("".join("ACGT"[i // 4**k % 4] for k in (2, 1, 0)) for i in range(num_asvs))
    return Study(
        sample_ids=tuple(f"s{i}" for i in range(num_samples)),
        counts=sparse.csr_matrix(counts),
        sequences=sequences,
        tokens=tokenize(sequences),
        tree=None,
        metadata=None,
        files={},
    )


def make_maker(counts: np.ndarray, **options: object) -> BatchMaker:
    defaults = {"rarefaction_depth": None, "token_limit": None, "random_tokens": False}
    return BatchMaker(make_study(counts), **defaults | options)


def as_counts(batch: Batch, study: Study) -> np.ndarray:
    """The table [B, A] that the tensors of a batch stand for."""
    dense = np.zeros((len(batch.sample_ids), len(study.sequences)), np.int64)
    for sample, slot in batch.mask.nonzero().tolist():
        row = int(batch.asv_index[sample, slot])
        dense[sample, int(batch.columns[row])] += int(batch.counts[sample, slot])
    return dense


@settings(deadline=None)
@given(counts=TABLES, depth=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_rarefying_draws_exactly_the_depth(counts: np.ndarray, depth: int, seed: int) -> None:
    rows = sparse.csr_matrix(counts)
    drawn = rarefy(rows, depth, np.random.default_rng(seed))
    again = rarefy(rows, depth, np.random.default_rng(seed))
    assert np.array_equal(rows.toarray(), counts)  # the caller's table is left alone
    assert np.array_equal(drawn.toarray(), again.toarray())
    assert (drawn.toarray() <= counts).all()  # without replacement
    assert drawn.sum(1).A1.tolist() == np.minimum(counts.sum(1), depth).tolist()
    assert drawn.data.all()
    assert drawn.has_canonical_format


def test_rarefying_more_than_can_be_drawn_from_is_refused() -> None:
    with pytest.raises(UserError, match=r"depth=5 cannot be drawn from a sample of 1000000000 r"):
        rarefy(sparse.csr_matrix([[10**9 - 1, 1]]), 5, np.random.default_rng(0))


def test_rarefying_is_hypergeometric() -> None:
    """Mean and variance of 4,000 draws: with replacement the variance would be three times that."""
    counts, depth = np.array([60, 25, 10, 4, 1]), 67
    rows = sparse.csr_matrix(np.tile(counts, (4000, 1)))
    drawn = rarefy(rows, depth, np.random.default_rng(0)).toarray()
    exact = hypergeom(counts.sum(), counts, depth)
    error = 5 * exact.std() / 4000**0.5
    assert (np.abs(drawn.mean(0) - exact.mean()) < error).all()
    np.testing.assert_allclose(drawn.var(0), exact.var(), rtol=0.12)


@settings(deadline=None)
@given(
    counts=TABLES,
    limit=st.none() | st.integers(1, 10),
    random_tokens=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_a_batch_says_what_the_table_says(
    counts: np.ndarray, limit: int | None, random_tokens: bool, seed: int
) -> None:
    maker = make_maker(counts, token_limit=limit, random_tokens=random_tokens)
    rng = np.random.default_rng(seed)
    samples = rng.permutation(len(counts))
    batch = maker.training(samples, rng)
    study, wanted = maker.study, counts[samples]
    found = as_counts(batch, study)

    assert batch.sample_ids == tuple(f"s{i}" for i in samples)
    assert np.array_equal(batch.rows.toarray(), wanted)  # what targets are made of: not limited
    kept = found > 0
    assert np.array_equal(found[kept], wanted[kept])
    most = len(study.sequences) if limit is None else limit
    assert kept.sum(1).tolist() == np.minimum((wanted > 0).sum(1), most).tolist()
    assert len(set(batch.columns.tolist())) == len(batch.tokens)  # each distinct ASV once
    assert set(batch.columns.tolist()) == set(np.flatnonzero(kept.any(0)).tolist())
    assert np.array_equal(batch.tokens.numpy(), study.tokens[batch.columns.numpy()])
    assert batch.mask.shape[1] == max(1, kept.sum(1).max())
    assert not batch.counts[~batch.mask].any()
    assert batch.asv_index.max() < max(1, len(batch.tokens))
    if limit is not None and not random_tokens:
        for row, chosen in zip(wanted, kept, strict=True):
            held = [i for i in np.lexsort((np.arange(len(row)), -row)) if row[i]]
            assert set(np.flatnonzero(chosen)) == set(held[:limit])


@settings(deadline=None)
@given(counts=TABLES, depth=st.integers(1, 40), data=st.data())
def test_a_judged_sample_is_the_same_whatever_stands_beside_it(
    counts: np.ndarray, depth: int, data: st.DataObject
) -> None:
    maker = make_maker(counts, rarefaction_depth=depth)
    order = np.array(data.draw(st.permutations(range(len(counts)))))
    alone = np.concatenate(
        [
            as_counts(batch, maker.study)
            for batch in maker.fixed_batches(np.arange(len(counts)), 1, 3)
        ]
    )
    batches = maker.fixed_batches(order, data.draw(st.integers(1, 7)), 3)
    together = [(batch.sample_ids, as_counts(batch, maker.study)) for batch in batches]
    assert [name for names, _ in together for name in names] == [f"s{i}" for i in order]
    assert np.array_equal(np.concatenate([found for _, found in together]), alone[order])
    assert alone.sum(1).tolist() == np.minimum(counts.sum(1), depth).tolist()


@settings(deadline=None)
@given(counts=TABLES, limit=st.none() | st.integers(1, 10), data=st.data())
def test_parts_of_a_batch_are_batches_of_their_samples(
    counts: np.ndarray, limit: int | None, data: st.DataObject
) -> None:
    maker = make_maker(counts, token_limit=limit)
    samples = np.arange(len(counts))
    whole = maker.fixed(maker.study.counts, samples)
    start = data.draw(st.integers(0, len(counts)))
    own = slice(start, data.draw(st.integers(start, len(counts))))
    part, alone = whole.part(own), maker.fixed(maker.study.counts[own], samples[own])

    for name in ("tokens", "columns"):
        assert torch.equal(getattr(part, name), getattr(alone, name))
    assert np.array_equal(as_counts(part, maker.study), as_counts(alone, maker.study))
    assert np.array_equal(part.rows.toarray(), alone.rows.toarray())
    assert part.sample_ids == alone.sample_ids
    filled = whole.counts[whole.mask][whole.slots(own)]
    assert torch.equal(filled, part.counts[part.mask])


def test_ties_go_by_sequence_whatever_the_file_s_order(tmp_path: Path) -> None:
    counts = {"TTT": 4, "ACG": 2, "GGG": 2, "CCC": 2, "AAA": 1}
    kept = set()
    for number, order in enumerate((sorted(counts), sorted(counts, reverse=True))):
        table, tree = tmp_path / f"{number}.tsv", tmp_path / f"{number}.nwk"
        lines = [f"{name}\t{counts[name]}\t{counts[name]}" for name in order]
        table.write_text("\n".join(["#OTU ID\ta\tb", *lines]) + "\n")
        tree.write_text(f"({','.join(f'{name}:1' for name in order)});")
        study = load_study(DataConfig(name="biom", table=str(table), tree=str(tree)))
        maker = BatchMaker(study, rarefaction_depth=None, token_limit=3, random_tokens=False)
        batch = maker.fixed(study.counts, np.arange(2))
        kept.add(tuple(study.sequences[column] for column in batch.columns))
    assert kept == {("ACG", "CCC", "TTT")}


def test_random_tokens_go_by_abundance() -> None:
    maker = make_maker(np.tile([80, 15, 5], (3000, 1)), token_limit=1, random_tokens=True)
    batch = maker.training(np.arange(3000), np.random.default_rng(0))
    share = (as_counts(batch, maker.study) > 0).mean(0)
    np.testing.assert_allclose(share, [0.8, 0.15, 0.05], atol=5 * (0.25 / 3000) ** 0.5)
    limited = maker.fixed(maker.study.counts, np.arange(3000))  # validation draws nothing
    assert as_counts(limited, maker.study)[:, 0].all()


def test_training_draws_afresh_and_targets_are_of_the_drawn() -> None:
    counts = np.full((4, 30), 5)
    maker = make_maker(counts, rarefaction_depth=40)
    one, two = (maker.training(np.arange(4), np.random.default_rng(seed)) for seed in (0, 1))
    assert np.array_equal(as_counts(one, maker.study), one.rows.toarray())
    assert one.rows.sum(1).A1.tolist() == [40] * 4
    assert not np.array_equal(one.rows.toarray(), two.rows.toarray())


@settings(deadline=None)
@given(num_samples=st.integers(1, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_an_epoch_takes_whole_batches_and_no_sample_twice(
    num_samples: int, batch_size: int, seed: int
) -> None:
    samples = 3 * np.arange(num_samples)
    batches = shuffled(samples, batch_size, np.random.default_rng(seed))
    size = min(batch_size, num_samples)
    assert [len(batch) for batch in batches] == [size] * (num_samples // size)
    taken = np.concatenate(batches)
    assert len(set(taken.tolist())) == len(taken)
    assert set(taken.tolist()) <= set(samples.tolist())


def test_who_is_left_out_changes_from_epoch_to_epoch() -> None:
    epochs = [
        np.concatenate(shuffled(np.arange(10), 4, np.random.default_rng([0, e]))) for e in range(12)
    ]
    assert set(np.concatenate(epochs).tolist()) == set(range(10))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 12


def test_real_table_in_batches(real_data: Path) -> None:
    folder = real_data / "cfs"
    paths = {"table": str(folder / "table.biom"), "tree": str(folder / "tree.nwk")}
    study = load_study(DataConfig(name="biom", **paths))
    maker = BatchMaker(study, rarefaction_depth=2000, token_limit=80, random_tokens=False)
    samples = np.arange(0, 80, 10)
    batch = maker.training(samples, np.random.default_rng(0))
    assert batch.mask.sum(1).max() == 80
    dense = as_counts(batch, study)
    assert (dense <= study.counts[samples].toarray()).all()
    assert len(batch.tokens) < int(batch.mask.sum())  # samples share ASVs
    for sample, row in enumerate(batch.rows.toarray()):
        least = dense[sample][dense[sample] > 0].min()
        assert (row[dense[sample] == 0] <= least).all()  # the abundant ones were kept
