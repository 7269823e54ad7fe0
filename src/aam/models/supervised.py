"""The encoder with what predicts a target from it.

Shapes: A ASVs of the study, U distinct ASVs of a batch, B samples, S slots, D width,
K clades, F features, V covariate values, O outputs.
"""

import math

import torch
from torch import Tensor, nn

from aam.data.batches import Batch
from aam.models.encoder import Encoded, Encoder
from aam.models.heads import CountHead, CovariateFusion, make_head

READS = 1e4  # an ASV of one read in so many weighs log 2
EPS = 1e-6  # a root has no slope at zero
# Squared length of the kernel between ASV embeddings, in mean squared distances: as in the probe
# (docs/results.md), ASVs are alike that are near relatives.
LENGTH2 = 0.05


def log_weights(counts_BS: Tensor, mask_BS: Tensor) -> Tensor:
    """log(1 + 10,000 × relative abundance) of each slot [B, S], 0 where there is none."""
    share_BS = counts_BS / counts_BS.sum(1, keepdim=True).clamp_min(1)
    return torch.log1p(READS * share_BS) * mask_BS


class AbundancePool(nn.Module):
    """Sums of ASV features by presence and by log abundance: what a forest on counts lives on.

    The features of an ASV are random Fourier features of its embedding (Rahimi & Recht 2007), whose
    products are a Gaussian kernel between ASVs; their frequencies are trained. The pooling of the
    encoder attends to what tells samples apart by UniFrac; here every ASV keeps a say.
    """

    def __init__(self, dim: int, num_features: int) -> None:
        super().__init__()
        self.mean_D: Tensor
        self.scale_D: Tensor
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("scale_D", torch.ones(dim))
        self.waves = nn.Linear(dim, num_features)
        # Two standardised vectors are 2 × dim apart (squared), were they drawn by chance.
        nn.init.normal_(self.waves.weight, std=(LENGTH2 * 2 * dim) ** -0.5)
        nn.init.uniform_(self.waves.bias, 0, 2 * math.pi)
        self.out_dim = 2 * num_features

    def standardise(self, asv_AD: Tensor) -> None:
        """Read embeddings in standard deviations of these ones."""
        self.mean_D.copy_(asv_AD.mean(0))
        self.scale_D.copy_(asv_AD.std(0, unbiased=False).clamp_min(1e-3))

    def forward(self, asv_UD: Tensor, batch: Batch) -> Tensor:
        """[B, ``out_dim``]."""
        features_UF = self.waves((asv_UD - self.mean_D) / self.scale_D).cos()
        weights = (batch.mask.float(), log_weights(batch.counts, batch.mask) / 4)
        none_BU = asv_UD.new_zeros(len(batch.mask), len(asv_UD), dtype=features_UF.dtype)
        sums = [
            none_BU.scatter_add(1, batch.asv_index, weight_BS.to(none_BU.dtype)) @ features_UF
            for weight_BS in weights
        ]
        return torch.cat(sums, dim=1)


class SupervisedModel(nn.Module):
    """Encoder, features of a sample, covariates, head."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        dim: int,
        num_outputs: int,
        head: str,
        head_dropout: float,
        num_covariates: int = 0,
        covariate_fusion: str = "concat",
        predicts_counts: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pool = AbundancePool(dim, 4 * dim)
        width = dim + encoder.unifrac.log_scale.numel() + self.pool.out_dim
        self.mean_F: Tensor
        self.scale_F: Tensor
        self.register_buffer("mean_F", torch.zeros(width))
        self.register_buffer("scale_F", torch.ones(width))
        self.fusion = None
        if num_covariates:
            self.fusion = CovariateFusion(covariate_fusion, width, num_covariates)
            width = self.fusion.out_dim
        self.head = make_head(head, width, 2 * dim, num_outputs, head_dropout)
        self.count_head = CountHead(dim) if predicts_counts else None

    @property
    def neutral(self) -> Tensor:
        """The mean embedding of the ASVs that the model was trained on."""
        return self.pool.mean_D

    def encode(self, asv_UD: Tensor, batch: Batch) -> Encoded:
        """The encoder's sample level, from ASV embeddings."""
        return self.encoder.from_asvs(asv_UD, batch.asv_index, batch.counts, batch.mask)

    def features(self, encoded: Encoded, batch: Batch) -> Tensor:
        """What is known of each sample [B, F]."""
        return torch.cat(
            [
                encoded.states.pooled_BD,
                encoded.clades_BK.clamp_min(EPS).sqrt(),
                self.pool(encoded.asv_UD, batch),
            ],
            dim=1,
        )

    def standardise(self, features_NF: Tensor) -> None:
        """Have the head read features in standard deviations of these ones: the training part's."""
        self.mean_F.copy_(features_NF.mean(0))
        self.scale_F.copy_(features_NF.std(0, unbiased=False).clamp_min(1e-3))

    def outputs(
        self, encoded: Encoded, batch: Batch, covariates_BV: Tensor | None = None
    ) -> Tensor:
        """Transformed values [B, O] in regression, logits in classification."""
        x_BF = (self.features(encoded, batch) - self.mean_F) / self.scale_F
        if self.fusion is not None:
            assert covariates_BV is not None
            x_BF = self.fusion(x_BF, covariates_BV)
        outputs_BO: Tensor = self.head(x_BF)
        return outputs_BO
