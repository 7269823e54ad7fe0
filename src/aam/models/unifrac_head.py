"""UniFrac as a distance between sample embeddings, in the shape of the formula itself.

Unweighted UniFrac is the Tanimoto distance of branch-length-weighted presence vectors over the
edges of the tree (Lozupone & Knight 2005): one minus shared over total branch length. An edge is
present where any ASV below it is: a union, not a sum. The head learns K soft clades in the place
of edges: each ASV has a propensity for each clade, a sample holds a clade as 1 − exp(−Σ propensity)
(a union of independent chances), and the distance is the Tanimoto distance of those vectors. So it
lies in [0, 1] and saturates at no width. Weighted and generalized UniFrac (Chen et al. 2012) have
proportions in place of presence, and their own quotient.

Shapes: U distinct ASVs, B samples, S slots, K clades, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6
# A good start (``docs/log.md``): ASV vectors have a large part in common, so that weights of this
# size spread the clades' mean logits far (9) and each clade's logits over ASVs little (about 2).
# With this threshold some clades then hold every ASV, some a few, most none yet, as the edges of a
# tree do. A plain start gives all samples the same clades, and the loss a long plateau.
START_SPREAD, START_THRESHOLD = 9.0, 13.0


class UnifracHead(nn.Module):
    """Clade vectors of samples, and their distances."""

    def __init__(self, *, dim: int, num_clades: int, metric: str, alpha: float) -> None:
        super().__init__()
        self.presence = metric == "unweighted"
        self.alpha = 1.0 if metric == "weighted" else alpha
        self.norm = nn.LayerNorm(dim)
        self.propensity = nn.Linear(dim, num_clades)
        nn.init.normal_(self.propensity.weight, std=START_SPREAD / dim**0.5)
        nn.init.constant_(self.propensity.bias, -START_THRESHOLD)
        self.log_scale = nn.Parameter(torch.zeros(num_clades))
        # What the other ASVs of the sample say: starts as no change at all.
        self.context = nn.Linear(dim, num_clades)
        nn.init.zeros_(self.context.weight)
        nn.init.zeros_(self.context.bias)

    def forward(
        self,
        asv_UD: Tensor,
        asv_index_BS: Tensor,
        counts_BS: Tensor,
        mask_BS: Tensor,
        pooled_BD: Tensor,
    ) -> Tensor:
        """Clade vectors [B, K], not negative: the sample embedding that distances are taken of."""
        # Distances are small differences of large sums: bf16 has too few digits for them.
        with torch.autocast(asv_UD.device.type, enabled=False):
            return self._clades(asv_UD.float(), asv_index_BS, counts_BS, mask_BS, pooled_BD.float())

    def _clades(
        self,
        asv_UD: Tensor,
        asv_index_BS: Tensor,
        counts_BS: Tensor,
        mask_BS: Tensor,
        pooled_BD: Tensor,
    ) -> Tensor:
        logits_UK = self.propensity(self.norm(asv_UD))
        share_BS = mask_BS.float()
        if not self.presence:
            share_BS = counts_BS / counts_BS.sum(1, keepdim=True).clamp_min(1)
        share_BU = asv_UD.new_zeros(len(asv_index_BS), len(asv_UD)).scatter_add(
            1, asv_index_BS, share_BS * mask_BS
        )
        if self.presence:
            held_BK = -torch.expm1(-(share_BU @ F.softplus(logits_UK)))
        else:
            held_BK = share_BU @ logits_UK.sigmoid()
        clades_BK: Tensor = held_BK * (self.log_scale + self.context(pooled_BD)).exp()
        return clades_BK

    def distances(self, clades_BK: Tensor, other_CK: Tensor | None = None) -> Tensor:
        """[B, K] → distances [B, B], or [B, C] to other samples."""
        other_CK = clades_BK if other_CK is None else other_CK
        with torch.autocast(clades_BK.device.type, enabled=False):
            return self._distances(clades_BK.float(), other_CK.float())

    def _distances(self, clades_BK: Tensor, other_CK: Tensor) -> Tensor:
        if self.presence:
            shared_BC = clades_BK @ other_CK.T
            own_B1 = clades_BK.square().sum(1, keepdim=True)
            own_1C = other_CK.square().sum(1)
            return 1 - (shared_BC + EPS) / (own_B1 + own_1C - shared_BC + EPS)
        left, right = clades_BK.unsqueeze(1), other_CK.unsqueeze(0)
        total_BCK = left + right
        weight_BCK = (total_BCK + EPS).pow(self.alpha - 1)
        apart_BC = (weight_BCK * (left - right).abs()).sum(-1)
        return apart_BC / ((weight_BCK * total_BCK).sum(-1) + EPS)
