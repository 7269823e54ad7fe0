"""The second level: ASV embeddings and their counts → slot states and a pooled sample vector.

Shapes: U distinct ASVs of the batch, B samples, S slots a sample, T filled slots of all samples
packed one after another, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aam.models.layers import AttentionPool, Block


@dataclass(frozen=True, kw_only=True)
class SampleStates:
    """What the sample level makes of a batch."""

    slots_TD: Tensor
    pooled_BD: Tensor


def log_abundance(counts_BS: Tensor, mask_BS: Tensor) -> Tensor:
    """Log relative abundance of the filled slots [T], scaled to lie near the unit interval."""
    share_BS = counts_BS / counts_BS.sum(1, keepdim=True).clamp_min(1)
    return share_BS[mask_BS].log() / 4 + 1


class SampleEncoder(nn.Module):
    """A transformer over the ASVs of a sample, with their abundance, pooled by attention.

    A sample is a bag: nothing tells a slot its place, so the order of ASVs cannot matter. Slots are
    packed before the first layer and no padding is computed.
    """

    def __init__(self, *, dim: int, num_heads: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.abundance = nn.Sequential(nn.Linear(1, dim), nn.GELU(), nn.Linear(dim, dim))
        self.hidden_abundance = nn.Parameter(torch.zeros(dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads, dropout) for _ in range(num_layers))
        self.pool = AttentionPool(dim)

    def forward(
        self,
        asv_UD: Tensor,
        asv_index_BS: Tensor,
        counts_BS: Tensor,
        mask_BS: Tensor,
        hidden_T: Tensor | None = None,
    ) -> SampleStates:
        """``hidden_T`` marks slots whose abundance is withheld, for the count loss."""
        abundance_TD = self.abundance(log_abundance(counts_BS, mask_BS).unsqueeze(-1))
        if hidden_T is not None:
            abundance_TD = torch.where(hidden_T.unsqueeze(-1), self.hidden_abundance, abundance_TD)
        # index_select rather than asv_UD[index]: its backward adds rows in a fixed order.
        x_TD = asv_UD.index_select(0, asv_index_BS[mask_BS]) + abundance_TD
        row_T = mask_BS.nonzero()[:, 0]
        lengths = [n for n in mask_BS.sum(1).tolist() if n]
        if lengths:
            for block in self.blocks:
                x_TD = block(x_TD, lengths=lengths)
        pooled_BD = self.pool.packed(x_TD, row_T, len(mask_BS))
        return SampleStates(slots_TD=x_TD, pooled_BD=pooled_BD)
