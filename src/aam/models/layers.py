"""Transformer layers that both levels of the encoder share.

Shapes: B rows, L positions, T slots of all rows packed one after another, D width, H heads.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection and the fused kernel.

    No dropout on the attention weights: it would leave the fused path.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x_BLD: Tensor, mask_B11L: Tensor | None = None) -> Tensor:
        """Attend within each row; ``mask_B11L`` is True where a position may be attended to."""
        num_rows, num_positions, dim = x_BLD.shape
        # Each size by name: there may be no rows.
        qkv = self.qkv(x_BLD).unflatten(-1, (3, self.num_heads, dim // self.num_heads))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, L, D/H]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_B11L)
        out: Tensor = self.out(y.transpose(1, 2).reshape(num_rows, num_positions, dim))
        return out

    def packed(self, x_TD: Tensor, lengths: Sequence[int]) -> Tensor:
        """Attend within each row of a packed batch: no slot is padding, so none is computed."""
        qkv = self.qkv(x_TD).view(len(x_TD), 3, self.num_heads, -1)
        q, k, v = qkv.permute(1, 2, 0, 3)  # each [H, T, D/H]
        rows = zip(*(part.split(list(lengths), dim=1) for part in (q, k, v)), strict=True)
        y = torch.cat(
            [F.scaled_dot_product_attention(*(part.unsqueeze(0) for part in row)) for row in rows],
            dim=2,
        )  # [1, H, T, D/H]
        out: Tensor = self.out(y[0].transpose(0, 1).reshape(x_TD.shape))
        return out


def _again(part: Callable[..., Tensor], *given: object) -> Tensor:
    """Run a part of a layer that is run again in the backward pass; no more than run in eval."""
    if not torch.is_grad_enabled():
        return part(*given)
    out: Tensor = checkpoint(part, *given, use_reentrant=False)
    return out


class Block(nn.Module):
    """Pre-norm transformer layer (Xiong et al. 2020, "On layer normalization").

    ``recompute`` says what is computed again in the backward pass instead of kept: ``none``,
    ``feedforward`` (the second half) or ``layer`` (all); ``aam.models.memory`` has what that saves.
    """

    def __init__(
        self, dim: int, num_heads: int, dropout: float = 0.0, recompute: str = "none"
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)
        self.feedforward_norm = nn.LayerNorm(dim)
        widen, narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.feedforward = nn.Sequential(widen, nn.GELU(), narrow)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, lengths: Sequence[int] | None = None
    ) -> Tensor:
        """``x`` is [B, L, D] with an optional mask, or [T, D] where ``lengths`` are given."""
        if self.recompute == "layer":
            return _again(self._whole, x, mask, lengths)
        return self._whole(x, mask, lengths)

    def _whole(self, x: Tensor, mask: Tensor | None, lengths: Sequence[int] | None) -> Tensor:
        x = self._attend(x, mask, lengths)
        return _again(self._transform, x) if self.recompute == "feedforward" else self._transform(x)

    def _attend(self, x: Tensor, mask: Tensor | None, lengths: Sequence[int] | None) -> Tensor:
        """The first half: each position takes from the others of its row."""
        h = self.attention_norm(x)
        h = self.attention(h, mask) if lengths is None else self.attention.packed(h, lengths)
        out: Tensor = x + self.dropout(h)
        return out

    def _transform(self, x: Tensor) -> Tensor:
        """The second half: the feed-forward network, each position by itself."""
        out: Tensor = x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        return out


class AttentionPool(nn.Module):
    """Weighted mean over positions, the weights learned; a row with nothing in it gives zeros."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.score = nn.Linear(dim, 1)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """[B, L, D] → [B, D]."""
        x_BLD = self.norm(x_BLD)
        score_BL = self.score(x_BLD).squeeze(-1)
        if mask_BL is None:
            return _weighted_sum(score_BL.softmax(-1), x_BLD)
        # A finite fill: a row without any position must not become NaN.
        weight_BL = score_BL.masked_fill(~mask_BL, -1e9).softmax(-1) * mask_BL
        return _weighted_sum(weight_BL, x_BLD)

    def packed(self, x_TD: Tensor, row_T: Tensor, num_rows: int) -> Tensor:
        """[T, D] → [B, D], where ``row_T`` says which row each slot belongs to."""
        x_TD = self.norm(x_TD)
        score_T = self.score(x_TD).squeeze(-1)
        # Subtracting the row's maximum keeps the exponential finite; the quotient is unchanged.
        floor_B = score_T.new_full((num_rows,), -1e9)
        top_B = floor_B.scatter_reduce(0, row_T, score_T.detach(), "amax")
        weight_T = (score_T - top_B[row_T]).exp()
        total_B = weight_T.new_zeros(num_rows).index_add(0, row_T, weight_T)
        pooled_BD = x_TD.new_zeros(num_rows, x_TD.shape[1]).index_add(
            0, row_T, x_TD * weight_T.unsqueeze(-1)
        )
        pooled: Tensor = pooled_BD / total_B.clamp_min(1e-12).unsqueeze(-1)
        return pooled


def _weighted_sum(weight_BL: Tensor, x_BLD: Tensor) -> Tensor:
    total: Tensor = (weight_BL.unsqueeze(1) @ x_BLD).squeeze(1)
    return total
