"""Integrated gradients: complete, of each sample by itself, and gathered by ASV."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aam.prediction.attributions import STEPS, attribute, attribute_batch, explained, own_rows
from aam.prediction.predictor import batches_of
from aam.prediction.samples import read_samples
from aam.prediction.trained import Trained, load_trained

from .runs import CLASSIFICATION, REGRESSION, Table, save_run


@pytest.fixture
def table(table: Table) -> Table:
    """Five samples will do."""
    few = table.take(range(5))
    held = few.counts.any(axis=0).nonzero()[0]
    return Table(few.counts[:, held], few.sample_ids, [few.asv_ids[k] for k in held])


def loaded(tmp_path, recipe, table: Table):
    trained = load_trained(str(save_run(tmp_path / "run", recipe)))
    path = table.write(tmp_path / "table.tsv")
    return trained, read_samples(trained.data, recipe, table=str(path))


def sums(trained: Trained, batch, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """By sample: the attributions' sum, and what it must be."""
    model, recipe = trained.model, trained.recipe
    asv_UD = model.encoder.nucleotides(batch.tokens)
    given_T = attribute_batch(model, recipe, asv_UD, batch, None, num_steps)
    rows_T = batch.mask.nonzero()[:, 0]
    sum_B = torch.zeros(len(batch.mask)).index_add(0, rows_T, given_T)
    raw_BO = model.outputs(model.encode(asv_UD, batch), batch, None)
    apart = own_rows(batch)
    nothing_TD = model.neutral.expand(len(given_T), -1)
    base_BO = model.outputs(model.encode(nothing_TD, apart), apart, None)
    chosen_B = raw_BO.argmax(dim=1)
    wanted_B = explained(raw_BO, chosen_B, recipe) - explained(base_BO, chosen_B, recipe)
    return sum_B.numpy(), wanted_B.numpy()


@pytest.mark.parametrize("recipe", [REGRESSION, CLASSIFICATION], ids=["numbers", "classes"])
def test_they_sum_to_what_the_output_moved(tmp_path, table, recipe):
    trained, samples = loaded(tmp_path, recipe, table)
    (batch,) = batches_of(trained, samples, 12)
    got_B, wanted_B = sums(trained, batch, STEPS)
    size = np.abs(wanted_B).mean()
    assert size > 0.05
    assert np.abs(got_B - wanted_B).max() < 0.01 * size
    rough_B, _ = sums(trained, batch, 8)
    assert np.abs(rough_B - wanted_B).max() > np.abs(got_B - wanted_B).max()


def test_samples_do_not_share_theirs(tmp_path, table):
    """Alone and beside others, padded or not, a sample's ASVs are given the same."""
    trained, samples = loaded(tmp_path, REGRESSION, table)
    (whole,) = batches_of(trained, samples, 12)
    asv_UD = trained.model.encoder.nucleotides(whole.tokens)
    together_T = attribute_batch(trained.model, REGRESSION, asv_UD, whole, None, 4)
    alone = [
        attribute_batch(
            trained.model, REGRESSION, trained.model.encoder.nucleotides(one.tokens), one, None, 4
        )
        for one in batches_of(trained, samples, 1)
    ]
    torch.testing.assert_close(together_T, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_gathered_by_asv(tmp_path, table):
    trained, samples = loaded(tmp_path, REGRESSION, table)
    columns = attribute(trained, samples)
    prevalence = dict(zip(table.asv_ids, (table.counts > 0).sum(axis=0).tolist(), strict=True))
    assert dict(zip(columns["asv"], columns["num_samples"], strict=True)) == prevalence
    absolute = np.array(columns["mean_absolute_attribution"])
    assert (np.diff(absolute) <= 0).all()
    assert (np.abs(columns["mean_attribution"]) <= absolute + 1e-9).all()
    (batch,) = batches_of(trained, samples, 12)
    total = float(np.dot(columns["mean_attribution"], columns["num_samples"]))
    assert total == pytest.approx(float(sums(trained, batch, STEPS)[0].sum()), rel=1e-3)


def test_a_unit_of_its_own(tmp_path, table):
    """Years in place of months: twelve times less."""
    trained, samples = loaded(tmp_path, REGRESSION, table)
    (batch,) = batches_of(trained, samples, 12)
    asv_UD = trained.model.encoder.nucleotides(batch.tokens)
    scaled = replace(REGRESSION.transform, scale=REGRESSION.transform.scale / 12)
    given = [
        attribute_batch(trained.model, recipe, asv_UD, batch, None, 2)
        for recipe in (REGRESSION, replace(REGRESSION, transform=scaled))
    ]
    torch.testing.assert_close(given[0], 12 * given[1])
