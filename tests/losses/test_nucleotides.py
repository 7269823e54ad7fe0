"""What is hidden, and whether predictions and true bases stand at the same places."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from aam.data.sequences import MASK, OTHER, PAD, START
from aam.losses.nucleotides import MaskedView, mask_bases, nucleotide_loss
from aam.models.encoder import Encoder
from aam.models.pretrain import PretrainModel


def draw_tokens(seed: int, num_asvs: int, longest: int) -> Tensor:
    """ASVs of all lengths from nothing to ``longest``, some letters ambiguous."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 5, (num_asvs, 1 + longest)).astype(np.uint8)
    tokens[rng.random(tokens.shape) < 0.1] = OTHER
    tokens[np.arange(1 + longest) > rng.integers(0, longest + 1, num_asvs)[:, None]] = PAD
    tokens[:, 0] = START
    return torch.from_numpy(tokens)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    num_asvs=st.integers(1, 12),
    longest=st.integers(1, 60),
    fraction=st.floats(0.01, 1.0),
    spans=st.booleans(),
)
def test_only_bases_are_hidden_as_many_as_asked(
    seed: int, num_asvs: int, longest: int, fraction: float, spans: bool
) -> None:
    tokens = draw_tokens(seed, num_asvs, longest)
    given_tokens = tokens.clone()
    view = mask_bases(tokens, np.random.default_rng(seed), fraction=fraction, spans=spans)
    again = mask_bases(tokens, np.random.default_rng(seed), fraction=fraction, spans=spans)
    bases = given_tokens[:, 1:]
    known = (bases >= 1) & (bases <= 4)

    assert torch.equal(tokens, given_tokens)  # the caller's array is left alone
    for name in ("tokens", "positions", "bases"):
        assert torch.equal(getattr(view, name), getattr(again, name))
    assert (view.tokens[:, 0] == START).all()
    assert not (view.positions & ~known).any()
    assert torch.equal(view.tokens[:, 1:][~view.positions], bases[~view.positions])
    assert torch.equal(view.bases, bases[view.positions].long() - 1)
    assert set(view.tokens[:, 1:][view.positions].tolist()) <= {1, 2, 3, 4, MASK}
    hidden, present = view.positions.sum(1), known.sum(1)
    assert ((hidden >= 1) | (present == 0)).all()
    assert ((hidden - fraction * present).abs() <= 0.5 + (hidden == 1)).all()


def test_parts_of_a_view_make_up_the_whole() -> None:
    view = mask_bases(draw_tokens(0, 9, 30), np.random.default_rng(0), fraction=0.2, spans=False)
    parts = [view.part(slice(*ends)) for ends in ((0, 4), (4, 4), (4, 9))]
    assert len(parts[0].bases) > 0
    for part in parts:
        assert len(part.bases) == part.positions.sum()
    none = parts.pop(1)  # a model reads a row all the same
    assert (len(none.tokens), len(none.bases)) == (1, 0)
    for name in ("tokens", "positions", "bases"):
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(view, name))


@pytest.mark.parametrize("spans", [False, True])
def test_eighty_ten_ten_and_evenly_spread(spans: bool) -> None:
    tokens = torch.randint(1, 5, (4000, 101), dtype=torch.uint8)
    tokens[:, 0] = START
    view = mask_bases(tokens, np.random.default_rng(0), fraction=0.15, spans=spans)
    shown = view.tokens[:, 1:][view.positions].long()
    num_hidden = len(shown)
    assert num_hidden == 4000 * 15
    shares = [(shown == MASK).sum(), ((shown == view.bases + 1) & (shown != MASK)).sum()]
    # Of a random base every fourth is the true one; 0.01 is five standard errors.
    for share, expected in zip(shares, (0.8, 0.1 + 0.1 / 4), strict=True):
        assert abs(share / num_hidden - expected) < 0.01
    randomly = torch.bincount(shown[shown != MASK], minlength=5)[1:5] / num_hidden
    assert (randomly - 0.05).abs().max() < 0.006

    at_place = view.positions.float().mean(0)
    assert (at_place - 0.15).abs().max() < 0.04  # the ends of a read as often as its middle
    assert at_place[[0, 1, -2, -1]].mean() > 0.14
    runs = view.positions & ~F.pad(view.positions, (1, 0))[:, :-1]
    mean_run = num_hidden / int(runs.sum())
    assert (5 < mean_run < 9) if spans else (mean_run < 1.3)


def oracle(patch_size: int, true_tokens: Tensor) -> PretrainModel:
    """A model whose states say the true bases of their patch: all that is left is to line up."""
    encoder = Encoder(
        dim=4 * patch_size,
        num_heads=1,
        nucleotide_layers=1,
        sample_layers=1,
        patch_size=patch_size,
        max_length=40,
        num_clades=4,
        sample_dropout=0.0,
        asv_chunk_size=4,
        activation_checkpointing="none",
        unifrac="unweighted",
        unifrac_alpha=1.0,
    )
    model = PretrainModel(encoder, dim=4 * patch_size)
    model.base_head = nn.Identity()

    def states(_: Tensor) -> Tensor:
        bases = F.pad(true_tokens[:, 1:], (0, -(true_tokens.shape[1] - 1) % patch_size))
        told = F.one_hot((bases.long() - 1).clamp(0, 3), 4).float()
        return told.view(len(told), -1, 4 * patch_size)

    encoder.nucleotides.position_states = states
    return model


@pytest.mark.parametrize("patch_size", [1, 3, 5])
@pytest.mark.parametrize("longest", [15, 31, 32])
def test_logits_line_up_with_the_bases(patch_size: int, longest: int) -> None:
    tokens = draw_tokens(longest, 9, longest)
    view = mask_bases(tokens, np.random.default_rng(1), fraction=0.3, spans=False)
    logits = oracle(patch_size, tokens).base_logits(view)
    assert logits.shape == (len(view.bases), 4)
    assert torch.equal(logits.argmax(-1), view.bases)
    _, accuracy = nucleotide_loss(logits, view.bases)
    assert accuracy == 1


def test_the_loss_is_cross_entropy_in_nats_a_base() -> None:
    torch.manual_seed(0)
    logits, bases = torch.randn(200, 4, requires_grad=True), torch.randint(0, 4, (200,))
    loss, accuracy = nucleotide_loss(logits, bases)
    expected = -logits.log_softmax(-1)[torch.arange(200), bases].mean()
    torch.testing.assert_close(loss, expected)
    assert float(accuracy) == pytest.approx(float((logits.argmax(-1) == bases).double().mean()))
    torch.testing.assert_close(
        nucleotide_loss(torch.zeros(8, 4), bases[:8])[0], torch.tensor(4.0).log()
    )

    nothing, _ = nucleotide_loss(logits[:0], bases[:0])
    nothing.backward()
    assert nothing == 0
    assert not logits.grad.any()


def test_a_view_moves_whole() -> None:
    view = mask_bases(draw_tokens(0, 3, 10), np.random.default_rng(0), fraction=0.3, spans=False)
    moved = view.to(torch.device("meta"))
    assert isinstance(moved, MaskedView)
    assert {moved.tokens.device.type, moved.positions.device.type, moved.bases.device.type} == {
        "meta"
    }
