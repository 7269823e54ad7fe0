"""The encoder with the heads that pretraining needs.

Shapes: V ASVs of the masked view, L bases, M masked bases, B samples, D width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from aam.losses.nucleotides import NUM_BASES, MaskedView
from aam.models.encoder import Encoded, Encoder
from aam.models.heads import CountHead


class PretrainModel(nn.Module):
    """Encoder, masked-base head and the optional Faith's PD and count heads."""

    def __init__(self, encoder: Encoder, *, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.num_base_logits = encoder.nucleotides.patch_size * NUM_BASES
        self.base_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.num_base_logits))
        self.faith_pd_head = nn.Linear(encoder.unifrac.log_scale.numel(), 1)
        self.count_head = CountHead(dim)

    def base_logits(self, view: MaskedView) -> Tensor:
        """Logits [M, 4] at the masked bases only, in the order of ``view.bases``."""
        states_VPD = self.encoder.nucleotides.position_states(view.tokens)
        patch_size = self.encoder.nucleotides.patch_size
        num_patches = states_VPD.shape[1]
        masked_VL = F.pad(view.positions, (0, num_patches * patch_size - view.positions.shape[1]))
        masked_VPp = masked_VL.view(-1, num_patches, patch_size)
        touched_VP = masked_VPp.any(-1)
        logits = self.base_head(states_VPD[touched_VP]).view(-1, patch_size, NUM_BASES)
        chosen: Tensor = logits[masked_VPp[touched_VP]]
        return chosen

    def faith_pd(self, encoded: Encoded) -> Tensor:
        """Standardized log Faith's PD [B]."""
        log_pd_B: Tensor = self.faith_pd_head(encoded.clades_BK).squeeze(-1)
        return log_pd_B
