"""The first level: nucleotides → ASV embeddings.

Shapes: U distinct ASVs, L bases, p bases a patch, P = ⌈L/p⌉ patches, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aam.data.sequences import PAD, VOCAB_SIZE
from aam.errors import UserError
from aam.models.layers import AttentionPool, Block


class NucleotideEncoder(nn.Module):
    """A transformer over the bases of each distinct ASV, pooled by attention.

    A position reads ``patch_size`` bases at once (1: every base is a position of its own). The
    START token is a position too and is never masked. Work is done in chunks of
    ``asv_chunk_size`` ASVs. ``activation_checkpointing`` says what is computed again in the
    backward pass instead of kept (``Block``), and is then there for one chunk at a time.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        num_layers: int,
        patch_size: int,
        max_length: int,
        asv_chunk_size: int,
        activation_checkpointing: str,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.max_length = max_length
        self.asv_chunk_size = asv_chunk_size
        self.activation_checkpointing = activation_checkpointing
        self.is_compiled = False
        num_patches = -(-max_length // patch_size)
        # One table per place within a patch; a patch is the sum of its bases' rows.
        self.base_embedding = nn.EmbeddingBag(patch_size * VOCAB_SIZE, dim, mode="sum")
        nn.init.normal_(self.base_embedding.weight, std=0.5 / patch_size**0.5)
        self.start = nn.Parameter(torch.randn(dim) * 0.02)
        self.position_embedding = nn.Parameter(torch.randn(1 + num_patches, dim) * 0.02)
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, recompute=activation_checkpointing) for _ in range(num_layers)
        )
        self.pool = AttentionPool(dim)
        self.place_offset: Tensor
        place = torch.arange(patch_size, dtype=torch.int32) * VOCAB_SIZE
        self.register_buffer("place_offset", place, persistent=False)

    def spare(self, *, asv_chunk_size: int, activation_checkpointing: str) -> None:
        """Change how many ASVs are encoded at a time and what is kept; outputs stay as they are."""
        self.asv_chunk_size = asv_chunk_size
        self.activation_checkpointing = activation_checkpointing
        for block in self.blocks:
            assert isinstance(block, Block)
            block.recompute = activation_checkpointing

    def compile_blocks(self) -> None:
        """Have ``torch.compile`` make the layers faster, when they are first used."""
        self.is_compiled = True
        for block in self.blocks:
            block.compile(dynamic=False)

    def forward(self, tokens_UL: Tensor, learned_U: Tensor | None = None) -> Tensor:
        """ASV embeddings [U, D] of ``uint8`` tokens [U, 1+L] (START first, padded with 0).

        ``learned_U`` (bool) are the ASVs that gradients go through, all of them by default; the
        others cost a third of the time and keep nothing for the backward pass.
        """
        if learned_U is None or not torch.is_grad_enabled():
            return self._embed(tokens_UL)
        learned, others = learned_U.nonzero()[:, 0], (~learned_U).nonzero()[:, 0]
        with torch.no_grad():
            given = self._embed(tokens_UL[others])
        asv_UD = given.new_empty(len(tokens_UL), given.shape[1]).index_copy(0, others, given)
        return asv_UD.index_copy(0, learned, self._embed(tokens_UL[learned]).to(given.dtype))

    def _embed(self, tokens_UL: Tensor) -> Tensor:
        chunks = self._chunks(tokens_UL)
        return torch.cat([self.pool(x, mask) for x, mask in map(self._states, chunks)])

    def position_states(self, tokens_UL: Tensor) -> Tensor:
        """States of the patches [U, P, D], without START: what masked bases are predicted from."""
        return torch.cat([self._states(chunk)[0][:, 1:] for chunk in self._chunks(tokens_UL)])

    def _chunks(self, tokens_UL: Tensor) -> tuple[Tensor, ...]:
        self.check_length(tokens_UL.shape[1] - 1)
        return torch.split(tokens_UL, self.asv_chunk_size)

    def check_length(self, longest: int) -> None:
        """Refuse sequences of more bases than there are positions."""
        if longest > self.max_length:
            raise UserError(
                f"the longest sequence has {longest} bases but the model reads {self.max_length}; "
                f"set model.max_length={longest} or trim the reads"
            )

    def _states(self, tokens_UL: Tensor) -> tuple[Tensor, Tensor | None]:
        bases_UL = tokens_UL[:, 1:]
        bases_UL = F.pad(bases_UL, (0, -bases_UL.shape[1] % self.patch_size), value=PAD)
        num_asvs, num_patches = len(bases_UL), bases_UL.shape[1] // self.patch_size
        bases_UPp = bases_UL.reshape(num_asvs, num_patches, self.patch_size)
        patch_UPD = self.base_embedding((bases_UPp.int() + self.place_offset).flatten(0, 1))
        patch_UPD = patch_UPD.unflatten(0, (num_asvs, num_patches))
        x = torch.cat([self.start.expand(num_asvs, 1, -1), patch_UPD], dim=1)
        x = x + self.position_embedding[: 1 + num_patches]
        mask_UP = self._padding_mask(bases_UPp)
        attend = None if mask_UP is None else mask_UP[:, None, None, :]
        return self._through_blocks(x, attend), mask_UP

    def _through_blocks(self, x: Tensor, attend: Tensor | None) -> Tensor:
        num_asvs = len(x)
        if self.is_compiled:  # for one shape: the last chunk gets rows that nobody reads
            num_more = max(0, self.asv_chunk_size - num_asvs)
            x = F.pad(x, (0, 0, 0, 0, 0, num_more))
            attend = None if attend is None else F.pad(attend, (0, 0) * 3 + (0, num_more), value=1)
        for block in self.blocks:
            x = block(x, attend)
        return x[:num_asvs]

    @staticmethod
    def _padding_mask(bases_UPp: Tensor) -> Tensor | None:
        """Which positions hold something, or None where all do: the unmasked kernel is faster."""
        held_UP = (bases_UPp != PAD).any(-1)
        if held_UP.all():
            return None
        return F.pad(held_UP, (1, 0), value=True)  # START is always there
