"""Batches and encoders that the tests of models are made of."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from aam.data.batches import Batch, BatchMaker
from aam.data.sequences import OTHER, PAD
from aam.data.study import Study
from aam.models.encoder import Encoder

SAMPLES = np.array([0, 3, 5, 8, 13, 21])

SHAPE: dict[str, Any] = {
    "dim": 16,
    "num_heads": 2,
    "nucleotide_layers": 1,
    "sample_layers": 1,
    "patch_size": 1,
    "max_length": 160,
    "num_clades": 24,
    "sample_dropout": 0.0,
    "asv_chunk_size": 1000,
    "activation_checkpointing": "none",
    "unifrac": "unweighted",
    "unifrac_alpha": 1.0,
}


def ragged(study: Study) -> Study:
    """The same study with sequences of 90 to 150 bases and some ambiguous letters."""
    rng = np.random.default_rng(0)
    tokens = study.tokens.copy()
    tokens[:, 1:][rng.random(tokens[:, 1:].shape) < 0.01] = OTHER
    lengths = rng.integers(90, tokens.shape[1], len(tokens))
    tokens[np.arange(tokens.shape[1]) > lengths[:, None]] = PAD
    return replace(study, tokens=tokens)


def lively_encoder(**changes: Any) -> Encoder:
    """Encoders of the same large weights: samples differ, and no part stands at zero.

    At the start that training takes, the sample level says nothing yet of the clades, and a test
    that it does not depend on this or that would hold of anything.
    """
    torch.manual_seed(0)
    encoder = Encoder(**SHAPE | changes)
    torch.manual_seed(1)
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=2 / module.in_features**0.5)
    nn.init.normal_(encoder.nucleotides.position_embedding)
    nn.init.normal_(encoder.unifrac.propensity.weight, std=2)
    nn.init.constant_(encoder.unifrac.propensity.bias, -5)
    nn.init.normal_(encoder.unifrac.context.weight, std=0.1)
    nn.init.normal_(encoder.unifrac.log_scale, std=0.3)
    return encoder


def whole_batch(study: Study, samples: np.ndarray = SAMPLES) -> Batch:
    maker = BatchMaker(study, rarefaction_depth=None, token_limit=None, random_tokens=False)
    return maker.fixed(study.counts[samples], samples)
