"""Samples through a model in eval mode: outputs and embeddings, each ASV encoded once.

Shapes: N samples, A ASVs, B samples of a batch, D width, O outputs, K clades, V covariate values.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.data.batches import Batch
from aam.data.study import Study
from aam.prediction.models import SampleModel


@dataclass(frozen=True)
class Passed:
    """What a model says of some samples, in the order of their batches."""

    raw_NO: NDArray[np.float64]
    clades_NK: Tensor
    """float32 on the CPU: the sample embeddings."""


@torch.no_grad()
def encode_asvs(model: SampleModel, study: Study, device: torch.device) -> Tensor:
    """ASV embeddings [A, D] of a whole study, in the model's own chunks.

    Raises
    ------
    UserError
        If a sequence is longer than the model reads.
    """
    asv_AD: Tensor = model.encoder.nucleotides(torch.from_numpy(study.tokens).to(device))
    return asv_AD


@torch.no_grad()
def pass_through(
    model: SampleModel,
    batches: Iterable[Batch],
    asv_AD: Tensor,
    covariates_NV: NDArray[np.float32] | None,
) -> Passed:
    """Outputs of all batches; ``covariates_NV`` has a row for each of their samples, in order.

    The model is in eval mode and on the device of ``asv_AD``; there is one batch at least.
    """
    raws, clades = [], []
    for batch, covariates_BV in on_device(batches, covariates_NV, asv_AD.device):
        encoded = model.encode(asv_AD[batch.columns], batch)
        raws.append(model.outputs(encoded, batch, covariates_BV).cpu())
        clades.append(encoded.clades_BK.float().cpu())
    return Passed(raw_NO=torch.cat(raws).double().numpy(), clades_NK=torch.cat(clades))


def on_device(
    batches: Iterable[Batch], covariates_NV: NDArray[np.float32] | None, device: torch.device
) -> Iterator[tuple[Batch, Tensor | None]]:
    """Each batch with its rows of the covariates, on the device."""
    start = 0
    for batch in batches:
        stop = start + len(batch.sample_ids)
        given = None if covariates_NV is None else torch.from_numpy(covariates_NV[start:stop])
        yield batch.to(device), None if given is None else given.to(device)
        start = stop
