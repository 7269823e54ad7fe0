"""The encoder: nucleotides → ASVs → samples, each distinct ASV of a batch encoded once.

Shapes: U distinct ASVs, L bases, B samples, S slots, T filled slots, D width, K clades.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from aam.models.nucleotide import NucleotideEncoder
from aam.models.sample import SampleEncoder, SampleStates
from aam.models.unifrac_head import UnifracHead


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What the encoder makes of a batch."""

    asv_UD: Tensor
    states: SampleStates
    clades_BK: Tensor  # the sample embedding: UniFrac is a distance between its rows


class Encoder(nn.Module):
    """Both transformer levels and the clade vectors that make a sample's embedding."""

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        nucleotide_layers: int,
        sample_layers: int,
        patch_size: int,
        max_length: int,
        num_clades: int,
        sample_dropout: float,
        asv_chunk_size: int,
        activation_checkpointing: str,
        unifrac: str,
        unifrac_alpha: float,
    ) -> None:
        super().__init__()
        self.nucleotides = NucleotideEncoder(
            dim=dim,
            num_heads=num_heads,
            num_layers=nucleotide_layers,
            patch_size=patch_size,
            max_length=max_length,
            asv_chunk_size=asv_chunk_size,
            activation_checkpointing=activation_checkpointing,
        )
        self.samples = SampleEncoder(
            dim=dim, num_heads=num_heads, num_layers=sample_layers, dropout=sample_dropout
        )
        self.unifrac = UnifracHead(
            dim=dim, num_clades=num_clades, metric=unifrac, alpha=unifrac_alpha
        )

    def forward(
        self,
        tokens_UL: Tensor,
        asv_index_BS: Tensor,
        counts_BS: Tensor,
        mask_BS: Tensor,
        learned_U: Tensor | None = None,
    ) -> Encoded:
        """Encode a batch (``aam.data.batches.Batch``); ``learned_U`` as in NucleotideEncoder."""
        asv_UD = self.nucleotides(tokens_UL, learned_U)
        return self.from_asvs(asv_UD, asv_index_BS, counts_BS, mask_BS)

    def from_asvs(
        self, asv_UD: Tensor, asv_index_BS: Tensor, counts_BS: Tensor, mask_BS: Tensor
    ) -> Encoded:
        """The same from ASV embeddings that are there already."""
        states = self.samples(asv_UD, asv_index_BS, counts_BS, mask_BS)
        clades_BK = self.unifrac(asv_UD, asv_index_BS, counts_BS, mask_BS, states.pooled_BD)
        return Encoded(asv_UD=asv_UD, states=states, clades_BK=clades_BK)
