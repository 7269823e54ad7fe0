"""A frozen encoder with an estimator that was fitted on its embeddings at once.

A sample is the mean embedding of its ASVs in the space of a kernel between ASV embeddings (Muandet
et al. 2017, "Kernel mean embedding of distributions"): two samples are near where they hold near
ASVs in like abundances, be they the very same ASVs or not. Estimators see the distances between
these means, or, the linear one, plain features of the encoder.

Shapes: U distinct ASVs of a batch, A ASVs of the training part, D width, B samples of a batch, S
slots, n training samples, F features, O outputs.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aam.data.batches import Batch
from aam.models.encoder import Encoded, Encoder

TINY = 1e-6  # the least probability of a class


def bag_weights(counts: Tensor, reads: float) -> Tensor:
    """log(1 + ``reads`` × relative abundance); an infinite ``reads`` is presence alone."""
    if math.isinf(reads):
        return (counts > 0).double()
    total = counts.double().sum(-1, keepdim=True).clamp_min(1)
    return torch.log1p(reads * counts.double() / total)


@dataclass(frozen=True, kw_only=True)
class Bags:
    """The training samples as bags of ASV embeddings, and what makes distances to them."""

    mean_D: Tensor
    scale_D: Tensor
    asv_AD: Tensor  # standardised
    weight_nA: Tensor
    own_n: Tensor  # squared norms of the training samples' means
    length2: float  # squared length of the kernel between ASVs
    reads: float
    is_root: bool  # the square root of the distance: a Laplace kernel instead of a Gaussian one

    def standardised(self, asv_UD: Tensor) -> Tensor:
        """In standard deviations of the training part's ASVs."""
        device = asv_UD.device
        return (asv_UD.double() - self.mean_D.to(device)) / self.scale_D.to(device)

    def distances(self, asv_UD: Tensor, weight_BU: Tensor) -> Tensor:
        """From samples, bags of standardised ASVs, to the training samples [B, n]."""
        device = asv_UD.device
        train_AD, weight_nA = self.asv_AD.to(device), self.weight_nA.to(device)
        own_B = squared_norms(asv_UD, weight_BU, self.length2)
        cross_Bn = weight_BU @ _kernel(asv_UD, train_AD, self.length2) @ weight_nA.T
        squared_Bn = (own_B[:, None] + self.own_n.to(device) - 2 * cross_Bn).clamp_min(0)
        return (squared_Bn + 1e-24) ** (0.25 if self.is_root else 0.5)


def _kernel(left_UD: Tensor, right_AD: Tensor, length2: float) -> Tensor:
    return torch.exp(-torch.cdist(left_UD, right_AD).square() / (2 * length2))


def squared_norms(asv_UD: Tensor, weight_BU: Tensor, length2: float) -> Tensor:
    """Of the samples' mean embeddings [B]."""
    return ((weight_BU @ _kernel(asv_UD, asv_UD, length2)) * weight_BU).sum(1)


class ProbeModel(nn.Module):
    """The encoder, and in ``fitted`` all that the estimator knows: it is part of the state dict."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.fitted: dict[str, Any] = {}

    @property
    def neutral(self) -> Tensor:
        """The mean embedding of the ASVs that the estimator was fitted on."""
        neutral: Tensor = self.fitted["neutral"].to(self.encoder.unifrac.log_scale.device)
        return neutral

    def encode(self, asv_UD: Tensor, batch: Batch) -> Encoded:
        """The encoder's sample level, from ASV embeddings."""
        return self.encoder.from_asvs(asv_UD, batch.asv_index, batch.counts, batch.mask)

    def features(self, encoded: Encoded, batch: Batch) -> Tensor:
        """For the linear estimator [B, F]: pooled states, clades, and the mean ASV embedding."""
        weight_BU = self._weights(encoded.asv_UD, batch, reads=1e4)
        mean_BD = weight_BU @ encoded.asv_UD.double() / weight_BU.sum(1, keepdim=True)
        pooled_BD, clades_BK = encoded.states.pooled_BD.double(), encoded.clades_BK.double()
        return torch.cat([pooled_BD, clades_BK.clamp_min(TINY).sqrt(), mean_BD], dim=1)

    def distances(self, encoded: Encoded, batch: Batch, bags: Bags) -> Tensor:
        """From the batch's samples to the training samples [B, n]."""
        weight_BU = self._weights(encoded.asv_UD, batch, bags.reads)
        return bags.distances(bags.standardised(encoded.asv_UD), weight_BU)

    def outputs(
        self, encoded: Encoded, batch: Batch, covariates_BV: Tensor | None = None
    ) -> Tensor:
        """Transformed values [B, O], or log-probabilities up to their sum."""
        known = self.fitted
        device = encoded.asv_UD.device
        if known["kind"] == "linear":
            x_BF = (self.features(encoded, batch) - known["mean"].to(device)) / known["scale"].to(
                device
            )
            raw_BO = x_BF @ known["weight"].to(device) + known["bias"].to(device)
            linear_BO: Tensor = raw_BO.float()
            return linear_BO
        distance_Bn = self.distances(encoded, batch, Bags(**known["bags"]))
        if known["kind"] == "nearest_neighbours":
            raw_BO = self._nearest(distance_Bn)
        else:
            kernel_Bn = torch.exp(-((distance_Bn / known["width"]) ** 2))
            raw_BO = kernel_Bn @ known["dual"].to(device) + known["bias"].to(device)
        if "slope" in known:
            logit_BO = raw_BO * known["slope"].to(device) + known["shift"].to(device)
            raw_BO = F.logsigmoid(logit_BO)
        out_BO: Tensor = raw_BO.float()
        return out_BO

    def get_extra_state(self) -> dict[str, Any]:
        """What ``fitted`` holds: tensors, numbers and texts."""
        return self.fitted

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Read it back."""
        self.fitted = state

    def _nearest(self, distance_Bn: Tensor) -> Tensor:
        """Mean of the nearest training samples, weighted by 1 / distance."""
        known = self.fitted
        near_Bk, index_Bk = distance_Bn.topk(known["num_neighbours"], dim=1, largest=False)
        weight_Bk = 1 / near_Bk.clamp_min(1e-9)
        value_BkO = known["values"].to(distance_Bn.device)[index_Bk]
        mean_BO: Tensor = (weight_Bk.unsqueeze(-1) * value_BkO).sum(1) / weight_Bk.sum(
            1, keepdim=True
        )
        return mean_BO.clamp_min(TINY).log() if known["is_classification"] else mean_BO

    @staticmethod
    def _weights(asv_UD: Tensor, batch: Batch, reads: float) -> Tensor:
        """Weight of each distinct ASV in each sample [B, U]."""
        counts_BS = (batch.counts * batch.mask).double()
        counts_BU = torch.zeros(
            len(counts_BS), len(asv_UD), dtype=torch.float64, device=asv_UD.device
        )
        return bag_weights(counts_BU.scatter_add(1, batch.asv_index, counts_BS), reads)
