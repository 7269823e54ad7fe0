"""The plain way to pretrain: what benchmarks/step.py compares with.

Every slot of the padded batch [B, S] is encoded, the empty ones too and an ASV as often as samples
hold it, by torch's own ``nn.TransformerEncoder`` with dropout in training mode, key-padding masks
at both levels and each layer checkpointed. Base logits are computed at all positions of all slots,
and the cross entropy is picked at the masked ones. The same widths and depths as ours.

The nucleotide level takes one sample of S slots at a time: in one piece its activations would not
fit many machines. That costs no time and lowers the plain way's peak memory.

Shapes: B samples, S slots, L bases, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from aam.config import ModelConfig, PretrainConfig
from aam.data.batches import BatchMaker
from aam.data.sequences import MASK, START, VOCAB_SIZE
from aam.losses.targets import UnifracTargets
from aam.losses.unifrac import unifrac_loss
from aam.models.layers import AttentionPool
from aam.models.sample import log_abundance


class Level(nn.Module):
    """A checkpointed transformer and a pooling."""

    def __init__(self, dim: int, num_heads: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            dim, num_heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.pool = AttentionPool(dim)

    def forward(self, x: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        """States and their pooled mean; ``held`` is False where there is padding."""
        for layer in self.encoder.layers:
            x = checkpoint(layer, x, None, ~held, use_reentrant=False)
        return x, self.pool(x, held)


class PlainModel(nn.Module):
    def __init__(self, shape: ModelConfig, dropout: float) -> None:
        super().__init__()
        dim, heads = shape.dim, shape.num_heads
        self.embedding = nn.Embedding(VOCAB_SIZE, dim)
        self.position = nn.Parameter(torch.randn(1 + shape.max_length, dim) * 0.02)
        self.nucleotides = Level(dim, heads, shape.nucleotide_layers, dropout)
        self.base_head = nn.Linear(dim, VOCAB_SIZE)
        self.abundance = nn.Sequential(nn.Linear(1, dim), nn.GELU(), nn.Linear(dim, dim))
        self.samples = Level(dim, heads, shape.sample_layers, dropout)

    def forward(self, tokens_SL: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [S, 1+L, 8] and embeddings [S, D] of one sample's slots."""
        x = self.embedding(tokens_SL) + self.position[: tokens_SL.shape[1]]
        x, pooled_SD = self.nucleotides(x, tokens_SL != 0)
        return self.base_head(x), pooled_SD


class PlainStep:
    """Losses of a batch the plain way; the targets and the table's slices are made as ours are."""

    def __init__(
        self,
        *,
        model: PlainModel,
        maker: BatchMaker,
        targets: UnifracTargets,
        loop: PretrainConfig,
        num_slots: int,
        generator: torch.Generator,
    ) -> None:
        self.model = model
        self.maker = maker
        self.targets = targets
        self.loop = loop
        self.num_slots = num_slots
        self.generator = generator

    def loss(self, samples, rng) -> Tensor:
        batch = self.maker.training(samples, rng)
        true_BB = torch.from_numpy(self.targets.distances(batch.rows, batch.sample_ids)).float()
        spare = self.num_slots - batch.mask.shape[1]
        held_BS = F.pad(batch.mask, (0, spare))
        tokens_BSL = F.pad(batch.tokens[batch.asv_index], (0, 0, 0, spare)).long()
        tokens_BSL[~held_BS] = 0
        tokens_BSL[:, :, 0] = START  # an empty slot must not become NaN
        hidden_BSL = torch.rand(tokens_BSL.shape, generator=self.generator)
        hidden_BSL = (hidden_BSL < self.loop.mask_fraction) & (tokens_BSL != 0)
        hidden_BSL[:, :, 0] = False
        asv_BSD, nuc_losses = self._encode(tokens_BSL, hidden_BSL)
        abundance_BSD = asv_BSD.new_zeros(asv_BSD.shape)
        scaled_T1 = log_abundance(batch.counts, batch.mask).unsqueeze(-1)
        abundance_BSD[held_BS] = self.model.abundance(scaled_T1)
        _, pooled_BD = self.model.samples(asv_BSD + abundance_BSD, held_BS)
        apart_BB = (pooled_BD.unsqueeze(0) - pooled_BD.unsqueeze(1)).square().mean(-1)
        unifrac = unifrac_loss(1 - (-apart_BB).exp(), true_BB)
        return self.loop.unifrac_weight * unifrac + self.loop.nuc_weight * nuc_losses

    def _encode(self, tokens_BSL: Tensor, hidden_BSL: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, S, D], and the mean cross entropy of the hidden bases."""
        embeddings, total = [], 0.0
        for tokens_SL, hidden_SL in zip(tokens_BSL, hidden_BSL, strict=True):
            logits, asv_SD = self.model(tokens_SL.masked_fill(hidden_SL, MASK))
            error_SL = F.cross_entropy(logits.transpose(1, 2), tokens_SL, reduction="none")
            embeddings.append(asv_SD)
            total = total + error_SL[hidden_SL].sum()
        return torch.stack(embeddings), total / hidden_BSL.sum()
