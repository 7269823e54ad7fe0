"""Compiled layers compute what the others do: outputs, gradients, the last chunk, any length."""

import pytest
import torch

from aam.data.study import Study

from .studies import lively_encoder, ragged

pytestmark = pytest.mark.slow


def assert_equal(one: torch.Tensor, other: torch.Tensor) -> None:
    """Within 1e-5 of the largest number: these weights are large. Some gradients are zero."""
    assert (one - other).abs().max() <= 1e-5 * other.abs().max() + 1e-7


@pytest.mark.filterwarnings("ignore")  # of the compiler's own parts
@pytest.mark.parametrize("recompute", ["none", "feedforward"])
def test_compiled_layers_equal_the_others(demo: Study, recompute: str):
    shape = {"asv_chunk_size": 16, "activation_checkpointing": recompute, "patch_size": 10}
    plain, compiled = (lively_encoder(**shape).nucleotides for _ in range(2))
    compiled.compile_blocks()
    # Chunks with a mask and without one; a last one of 5 rows, and one of all.
    of_one_length = torch.from_numpy(demo.tokens[:37])
    of_many = torch.from_numpy(ragged(demo).tokens[:32])
    for tokens in (of_one_length, of_many):
        expected, given = plain(tokens), compiled(tokens)
        assert_equal(given, expected)
        assert_equal(compiled.position_states(tokens), plain.position_states(tokens))
        expected.square().mean().backward()
        given.square().mean().backward()
        for one, other in zip(compiled.parameters(), plain.parameters(), strict=True):
            assert_equal(one.grad, other.grad)
        with torch.no_grad():
            assert_equal(compiled(tokens), expected)


def test_compiling_changes_no_names_of_weights():
    encoder = lively_encoder()
    names = list(encoder.state_dict())
    encoder.nucleotides.compile_blocks()
    assert list(encoder.state_dict()) == names
