from dataclasses import replace

import numpy as np
import pytest
import torch

from aam.config import DataConfig, ModelConfig, PretrainConfig, TrainerConfig
from aam.data.batches import BatchMaker
from aam.data.study import Study, load_study
from aam.errors import UserError
from aam.loops.machine import batch_size_of, fit_to_machine
from aam.models.encoder import Encoder
from aam.prediction.models import make_encoder

from .supervised_runs import SHAPE, finetuning, make_config

CPU = torch.device("cpu")
ROWS = np.arange(100)


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(DataConfig())


@pytest.fixture
def maker(study) -> BatchMaker:
    return BatchMaker(study, rarefaction_depth=None, token_limit=None, random_tokens=False)


def fitted(maker: BatchMaker, monkeypatch, gib: float | None, **trainer: object) -> Encoder:
    """In a process that holds half a GiB."""
    monkeypatch.setattr("aam.loops.machine.held_gib", lambda device: 0.5)
    shape = ModelConfig(**SHAPE | {"dim": 128, "patch_size": 1, "nucleotide_layers": 4})
    config = make_config(PretrainConfig(), data={"target": None}, model=shape)
    config.trainer = TrainerConfig(memory_gib=gib, **trainer)
    encoder = make_encoder(shape, config.data)
    fit_to_machine(encoder, config, maker, ROWS, CPU)
    return encoder


@pytest.mark.parametrize(
    ("gib", "kind", "chunk"),
    [(None, "feedforward", 64), (9.0, "feedforward", 64), (1.5, "layer", 64), (1.2, "layer", 32)],
)
def test_the_bound_sets_what_is_kept(maker, monkeypatch, gib, kind, chunk):
    nucleotides = fitted(maker, monkeypatch, gib).nucleotides
    assert {block.recompute for block in nucleotides.blocks} == {kind}
    assert nucleotides.activation_checkpointing == kind
    assert nucleotides.asv_chunk_size == chunk


def test_a_bound_that_nothing_keeps_says_what_to_change(maker, monkeypatch):
    with pytest.raises(UserError) as caught:
        fitted(maker, monkeypatch, 0.6)
    assert "trainer.memory_gib=0.6 is less than the " in str(caught.value)
    assert "data.batch_size (64) or data.token_limit, or choose a smaller model=" in str(
        caught.value
    )


def test_the_size_of_batches_is_that_of_drawn_ones(maker):
    config = make_config(PretrainConfig(masked_asvs=0.5), data={"target": None, "batch_size": 16})
    size = batch_size_of(config, maker, ROWS)
    richness = np.diff(maker.study.counts.indptr)[:100]
    assert size.samples == 16
    assert 16 * richness.min() <= size.slots <= 16 * richness.max()
    assert richness.max() < size.asvs <= maker.study.counts.shape[1]
    assert size.learned_asvs == round(1.5 * size.asvs)
    assert size.positions == 1 + 150 // SHAPE["patch_size"]
    frozen = replace(make_config(finetuning()), freeze="nucleotide", pretrained="there")
    assert batch_size_of(frozen, maker, ROWS).learned_asvs == 0


@pytest.mark.parametrize("error", [RuntimeError("no compiler\nlines"), ImportError("no Python.h")])
def test_a_compiler_that_is_missing_is_told_in_a_sentence(maker, monkeypatch, error):
    def fail(*given, **named):
        raise error

    monkeypatch.setattr(torch, "compile", fail)
    said = rf"cannot compile here \({type(error).__name__}: {str(error).splitlines()[0]}\): install"
    with pytest.raises(UserError, match=said):
        fitted(maker, monkeypatch, None, compile=True)
