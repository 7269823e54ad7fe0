"""The layers against torch's own and against each other."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from aam.models.layers import Attention, AttentionPool, Block
from aam.models.nucleotide import NucleotideEncoder
from aam.models.sample import log_abundance

DIM, HEADS = 24, 4
LENGTHS = [5, 1, 8, 3]


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of differing lengths: packed [T, D], padded with noise [B, L, D], and the mask."""
    torch.manual_seed(0)
    parts = [torch.randn(n, DIM) for n in LENGTHS]
    padded = pad_sequence(parts, batch_first=True)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return torch.cat(parts), torch.where(mask[..., None], padded, 100.0), mask


@pytest.mark.parametrize("masked", [True, False])
def test_block_is_torch_s_pre_norm_layer(masked: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(
        DIM, HEADS, 4 * DIM, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    ours = Block(DIM, HEADS)
    pairs = {
        "attention_norm": theirs.norm1,
        "attention.out": theirs.self_attn.out_proj,
        "feedforward_norm": theirs.norm2,
        "feedforward.0": theirs.linear1,
        "feedforward.2": theirs.linear2,
    }
    for name, module in pairs.items():
        ours.get_submodule(name).load_state_dict(module.state_dict())
    ours.attention.qkv.weight.data = theirs.self_attn.in_proj_weight.data
    ours.attention.qkv.bias.data = theirs.self_attn.in_proj_bias.data
    _, x, mask = rows()
    found = ours(x, mask[:, None, None] if masked else None)
    expected = theirs(x, src_key_padding_mask=~mask if masked else None)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-6, rtol=1e-5)


def test_packed_attention_and_pooling_are_the_masked_dense_ones() -> None:
    packed, padded, mask = rows()
    row = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    attention, pool = Attention(DIM, HEADS), AttentionPool(DIM)
    nn.init.normal_(pool.score.weight, std=20)  # scores that overflow an exponential
    dense = attention(padded, mask[:, None, None])
    torch.testing.assert_close(attention.packed(packed, LENGTHS), dense[mask], atol=1e-6, rtol=0)

    expected = pool(padded, mask)
    found = pool.packed(packed, row, len(LENGTHS) + 1)
    torch.testing.assert_close(found[:-1], expected, atol=1e-6, rtol=1e-5)
    assert not found[-1].any()  # a row that holds nothing
    assert not pool(padded, torch.zeros_like(mask)).any()


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_states_stand_at_the_places_of_their_bases(patch_size: int) -> None:
    """Without layers a state knows its own patch only: a changed base shows there and nowhere."""
    torch.manual_seed(0)
    encoder = NucleotideEncoder(
        dim=8,
        num_heads=1,
        num_layers=0,
        patch_size=patch_size,
        max_length=20,
        asv_chunk_size=2,
        activation_checkpointing="none",
    )
    tokens = torch.randint(1, 5, (3, 15), dtype=torch.uint8)
    before = encoder.position_states(tokens)
    assert before.shape == (3, -(-14 // patch_size), 8)
    for base in (0, 6, 13):
        changed = tokens.clone()
        changed[1, 1 + base] = changed[1, 1 + base] % 4 + 1
        moved = (encoder.position_states(changed) != before).any(-1)
        assert moved.nonzero().tolist() == [[1, base // patch_size]]


def test_log_abundance_is_of_the_share() -> None:
    counts = torch.tensor([[1.0, 3, 0], [50, 0, 0], [0, 0, 0]])
    found = log_abundance(counts, counts > 0)
    expected = torch.tensor([0.25, 0.75, 1.0]).log() / 4 + 1
    torch.testing.assert_close(found, expected)
