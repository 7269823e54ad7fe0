"""Heads that turn a sample's features into outputs, and covariates that join them.

Shapes: U distinct ASVs, B samples, T filled slots, D width, F features, V covariate values,
O outputs.
"""

import torch
from torch import Tensor, nn

from aam.data.batches import Batch
from aam.models.sample import SampleEncoder, log_abundance


class ResidualHead(nn.Module):
    """A linear head plus a small network whose last layer starts at zero: it starts as linear."""

    def __init__(self, dim: int, hidden: int, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_outputs)
        last = nn.Linear(hidden, num_outputs, bias=False)
        nn.init.zeros_(last.weight)
        self.network = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), last)

    def forward(self, x_BF: Tensor) -> Tensor:
        """[B, F] → [B, O]."""
        out_BO: Tensor = self.linear(x_BF) + self.network(x_BF)
        return out_BO


def make_head(kind: str, dim: int, hidden: int, num_outputs: int, dropout: float) -> nn.Module:
    """``linear``, ``mlp`` (one hidden layer) or ``residual``, [B, F] → [B, O]."""
    if kind == "linear":
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_outputs))
    if kind == "residual":
        return ResidualHead(dim, hidden, num_outputs, dropout)
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(dim, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_outputs),
    )


class CovariateFusion(nn.Module):
    """Joins covariates to the features of a sample.

    ``concat`` sets an embedding of them beside the features; ``gated`` lets them scale each
    feature, by twice a sigmoid that starts at one (after Perez et al. 2018, FiLM).
    """

    def __init__(self, kind: str, dim: int, num_values: int) -> None:
        super().__init__()
        self.is_gated = kind == "gated"
        if self.is_gated:
            self.layer = nn.Linear(num_values, dim)
            nn.init.zeros_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)
        else:
            self.layer = nn.Linear(num_values, num_values)
        self.out_dim = dim if self.is_gated else dim + num_values

    def forward(self, x_BF: Tensor, covariates_BV: Tensor) -> Tensor:
        """[B, F], [B, V] → [B, ``out_dim``]."""
        joined = self.layer(covariates_BV)
        if self.is_gated:
            x_BF = 2 * joined.sigmoid() * x_BF
            return x_BF
        return torch.cat([x_BF, joined], dim=1)


class CountHead(nn.Module):
    """Guesses withheld abundances from the ASVs and the abundances that are left."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 1))

    def errors(
        self, samples: SampleEncoder, asv_UD: Tensor, batch: Batch, hidden_T: Tensor
    ) -> Tensor:
        """Squared errors of the withheld (scaled log) relative abundances."""
        states = samples(asv_UD, batch.asv_index, batch.counts, batch.mask, hidden_T)
        predicted = self.layers(states.slots_TD[hidden_T]).squeeze(-1)
        errors: Tensor = (predicted - log_abundance(batch.counts, batch.mask)[hidden_T]).square()
        return errors
