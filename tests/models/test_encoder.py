"""What the encoder gives must depend on the samples alone, never on how they were laid out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aam.data.batches import Batch
from aam.data.sequences import OTHER, START
from aam.data.study import Study
from aam.errors import UserError
from aam.losses.nucleotides import mask_bases
from aam.models.encoder import Encoder
from aam.models.pretrain import PretrainModel

from .studies import SAMPLES, SHAPE, lively_encoder, whole_batch


def clades(encoder: Encoder, batch: Batch) -> Tensor:
    with torch.no_grad():
        return encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask).clades_BK


def permuted_asvs(batch: Batch) -> Batch:
    """Other rows for the distinct ASVs, and another order of slots in every sample."""
    order = torch.randperm(len(batch.tokens))
    row = torch.empty_like(order)
    row[order] = torch.arange(len(order))
    slots = torch.argsort(torch.rand(batch.mask.shape), dim=1)
    return replace(
        batch,
        tokens=batch.tokens[order],
        asv_index=row[batch.asv_index].gather(1, slots),
        counts=batch.counts.gather(1, slots),
        mask=batch.mask.gather(1, slots),
    )


def more_slots(batch: Batch) -> Batch:
    """Empty slots, and in the padding the index of an ASV that is none of the sample's."""
    index = F.pad(batch.asv_index, (0, 9)).masked_fill(~F.pad(batch.mask, (0, 9)), 2)
    return replace(
        batch, asv_index=index, counts=F.pad(batch.counts, (0, 9)), mask=F.pad(batch.mask, (0, 9))
    )


@pytest.mark.parametrize("num_learned", [0, 1, 7, None])
def test_some_asvs_alone_are_learned_through(study: Study, num_learned: int | None) -> None:
    """The same distances, and the gradient that the others' embeddings as given numbers leave."""
    encoder, batch = lively_encoder(), whole_batch(study)
    learned_U = torch.rand(len(batch.tokens)).argsort() < (num_learned or len(batch.tokens))
    learned_U &= num_learned != 0
    rest = batch.asv_index, batch.counts, batch.mask
    encoded = encoder(batch.tokens, *rest, learned_U)
    encoder.unifrac.distances(encoded.clades_BK).sum().backward()
    learning = [one for one in encoder.parameters() if one.grad is not None]
    assert all(one.grad is not None for one in encoder.nucleotides.parameters())
    found = [one.grad.clone() for one in learning]
    encoder.zero_grad()

    whole_UD = encoder.nucleotides(batch.tokens)
    asv_UD = torch.where(learned_U[:, None], whole_UD, whole_UD.detach())
    expected = encoder.from_asvs(asv_UD, *rest)
    torch.testing.assert_close(encoded.clades_BK, expected.clades_BK)
    encoder.unifrac.distances(expected.clades_BK).sum().backward()
    torch.testing.assert_close(found, [one.grad for one in learning], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("patch_size", [1, 5])
def test_predictions_depend_on_the_samples_alone(study: Study, patch_size: int) -> None:
    encoder = lively_encoder(patch_size=patch_size).eval()
    batch = whole_batch(study)
    expected = clades(encoder, batch)
    distances = encoder.unifrac.distances(expected)
    assert expected.std(0).max() > 0.05
    assert distances.max() > 0.005  # or all of what follows would hold of anything

    order = np.random.default_rng(0).permutation(len(SAMPLES))
    single = [whole_batch(study, SAMPLES[i : i + 1]) for i in range(len(SAMPLES))]
    ways = {
        "ASV order": clades(encoder, permuted_asvs(batch)),
        "sample order": clades(encoder, whole_batch(study, SAMPLES[order]))[np.argsort(order)],
        "batch size": torch.cat([clades(encoder, one) for one in single]),
        "slots": clades(encoder, more_slots(batch)),
        "token padding": clades(encoder, replace(batch, tokens=F.pad(batch.tokens, (0, 7)))),
        "chunks": clades(lively_encoder(patch_size=patch_size, asv_chunk_size=37).eval(), batch),
    }
    for way, found in ways.items():
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5, msg=way)
        again = encoder.unifrac.distances(found)
        torch.testing.assert_close(again, distances, atol=1e-5, rtol=0, msg=way)


def test_what_matters_is_seen(demo: Study) -> None:
    """The other side of the invariances: a base, a count or another ASV changes the prediction."""
    encoder, batch = lively_encoder().eval(), whole_batch(demo)
    expected = clades(encoder, batch)
    tokens, counts, index = batch.tokens.clone(), batch.counts.clone(), batch.asv_index.clone()
    tokens[:, 75] = tokens[:, 75] % 4 + 1
    counts[:, 0] *= 50
    index[:, 0] = (index[:, 0] + 1) % len(tokens)
    for change in ({"tokens": tokens}, {"counts": counts}, {"asv_index": index}):
        assert (clades(encoder, replace(batch, **change)) - expected).abs().max() > 1e-3


def plain(batch: Batch) -> Batch:
    """Every filled slot with tokens of its own: what encoding each ASV once stands for."""
    index = torch.zeros_like(batch.asv_index)
    index[batch.mask] = torch.arange(int(batch.mask.sum()))
    return replace(batch, tokens=batch.tokens[batch.asv_index[batch.mask]], asv_index=index)


def gradients(encoder: Encoder, batch: Batch) -> dict[str, Tensor]:
    """Of a loss that reaches every parameter but the withheld abundance."""
    out = encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask)
    weight = torch.linspace(-1, 1, out.clades_BK.numel()).view_as(out.clades_BK)
    loss = encoder.unifrac.distances(out.clades_BK).square().sum()
    (loss + (weight * out.clades_BK).sum() + out.states.pooled_BD.square().sum()).backward()
    return {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        error = float((found[name] - gradient).norm())
        # A gradient that is zero but for rounding (of a shift before a softmax) has no relative
        # error: what is below 5e-7 of the largest gradient is rounding.
        assert error <= 1e-5 * float(gradient.norm()) + 5e-7 * largest, (name, error)


@pytest.mark.parametrize("metric", ["unweighted", "generalized"])
def test_encoding_each_distinct_asv_once_leaves_gradients_unchanged(
    study: Study, metric: str
) -> None:
    batch = whole_batch(study)
    apart = plain(batch)
    assert len(apart.tokens) > 1.2 * len(batch.tokens)
    options = {"patch_size": 5, "unifrac": metric, "unifrac_alpha": 0.5}
    expected = gradients(lively_encoder(**options), apart)
    assert len(expected) == len(list(lively_encoder().parameters())) - 1
    assert_same_gradients(gradients(lively_encoder(**options), batch), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"activation_checkpointing": "feedforward"},
        {"activation_checkpointing": "layer"},
        {"asv_chunk_size": 50},
    ],
)
def test_ways_to_save_memory_change_nothing(study: Study, change: dict[str, int]) -> None:
    batch, shape = whole_batch(study), {"patch_size": 5, "nucleotide_layers": 2}
    plain, saving = lively_encoder(**shape), lively_encoder(**shape, **change)
    torch.testing.assert_close(clades(saving, batch), clades(plain, batch), atol=1e-5, rtol=0)
    assert_same_gradients(gradients(saving, batch), gradients(plain, batch))


def hostile_batch() -> Batch:
    """An empty sample, one of a single ASV, all-N and empty sequences."""
    tokens = torch.zeros(4, 14, dtype=torch.uint8)
    tokens[:, 0] = START
    tokens[0, 1:] = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1])
    tokens[1, 1:] = OTHER
    tokens[2, 1] = 3  # the last sequence has no base at all
    return Batch(
        tokens=tokens,
        asv_index=torch.tensor([[0, 0, 0], [0, 0, 0], [1, 0, 0], [3, 0, 0], [0, 1, 2]]),
        counts=torch.tensor([[0, 0, 0], [7, 0, 0], [1, 0, 0], [2, 0, 0], [1e6, 1, 1.0]]),
        mask=torch.tensor([[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]]).bool(),
        columns=torch.arange(4),
        rows=None,  # the model does not look at it
        sample_ids=("empty", "one", "N", "no base", "three"),
    )


def alone(batch: Batch, sample: int) -> Batch:
    one = slice(sample, sample + 1)
    parts = {name: getattr(batch, name)[one] for name in ("asv_index", "counts", "mask")}
    return replace(batch, **parts)


@pytest.mark.parametrize("metric", ["unweighted", "weighted", "generalized"])
@pytest.mark.parametrize("patch_size", [1, 5])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_to_read_gives_no_nan(metric: str, patch_size: int, training: bool) -> None:
    torch.manual_seed(0)
    shape = {"unifrac": metric, "unifrac_alpha": 0.0, "patch_size": patch_size}
    encoder = Encoder(**SHAPE | shape | {"sample_dropout": 0.2})
    model = PretrainModel(encoder, dim=SHAPE["dim"]).train(training)
    batch = hostile_batch()
    view = mask_bases(batch.tokens, np.random.default_rng(0), fraction=0.5, spans=False)
    for given in (batch, *(alone(batch, sample) for sample in range(len(batch.mask)))):
        model.zero_grad()
        encoded = encoder(given.tokens, given.asv_index, given.counts, given.mask)
        hidden = torch.ones(int(given.mask.sum()), dtype=torch.bool)
        outputs = {
            "distances": encoder.unifrac.distances(encoded.clades_BK),
            "clades": encoded.clades_BK,
            "pooled": encoded.states.pooled_BD,
            "bases": model.base_logits(view),
            "faith_pd": model.faith_pd(encoded),
            "counts": model.count_head.errors(encoder.samples, encoded.asv_UD, given, hidden),
        }
        for name, output in outputs.items():
            assert output.isfinite().all(), name
        sum(output.square().sum() for output in outputs.values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name


def test_bf16_keeps_the_distances(demo: Study) -> None:
    """Under autocast the transformers run in bf16, the clades and their distances in full."""
    encoder, batch = lively_encoder(patch_size=5).eval(), whole_batch(demo)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask)
        distances = encoder.unifrac.distances(out.clades_BK)
    assert out.asv_UD.dtype == torch.bfloat16
    assert out.clades_BK.dtype == torch.float32
    torch.testing.assert_close(distances, encoder.unifrac.distances(out.clades_BK))
    exact = encoder.unifrac.distances(clades(encoder, batch))
    torch.testing.assert_close(distances, exact, atol=0.02, rtol=0)


def test_too_long_a_sequence_names_the_setting(demo: Study) -> None:
    with pytest.raises(UserError, match=r"150 bases but the model reads 149; set model.max_length"):
        clades(lively_encoder(max_length=149), whole_batch(demo))
