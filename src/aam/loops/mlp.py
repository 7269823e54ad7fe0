"""``loop=mlp``: a small network on centred log-ratios of the counts, without sequences.

Shapes: A ASVs of the training part, B samples, O outputs.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aam.baselines.features import centred_log_ratios
from aam.config import Config, MlpConfig
from aam.data.batches import Batch
from aam.loops.beside import Beside
from aam.loops.prepared import Prepared
from aam.loops.run import Run
from aam.loops.session import train
from aam.loops.supervised import Supervised, load_supervised
from aam.loops.target_task import TargetTask
from aam.training.devices import pick_device, seed_everything


def mlp(config: Config, run: Run) -> float:
    """Build data, network and baselines, train, and return the best value of the watched figure."""
    return train(prepare(config, run), run)


def prepare(config: Config, run: Run) -> Prepared:
    """Build data and network; raises as ``load_supervised`` does."""
    device = pick_device(config.trainer)
    seed_everything(config.trainer)
    data = load_supervised(config, run)
    return Prepared(
        task=TargetTask(CountPredictor(data, device), data, device),
        config=config,
        device=device,
        maker=data.maker(),
        split=data.split,
        metric_names=("total_loss", "target_loss", "grad_norm"),
        inputs=data.study.files,
        num_samples=data.num_samples,
        beside=Beside(data),
    )


class CountPredictor:
    """A network with one hidden layer; what it knows of a sample is its centred log-ratios."""

    def __init__(self, data: Supervised, device: torch.device) -> None:
        loop = data.loop
        assert isinstance(loop, MlpConfig)
        # Others have weights that nothing has trained.
        self._seen = np.unique(data.study.counts[data.split.train].indices)
        num_asvs = len(self._seen)
        self.model: nn.Module = nn.Sequential(
            nn.LayerNorm(num_asvs),
            nn.Linear(num_asvs, loop.hidden),
            nn.GELU(),
            nn.Dropout(loop.dropout),
            nn.Linear(loop.hidden, data.target.num_outputs),
        ).to(device)
        self.device = device

    def prepare(self) -> None:
        """Nothing to make ready."""

    def forward(self, batch: Batch, covariates_BV: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """Raw outputs [B, O]."""
        ratios_BA = torch.from_numpy(centred_log_ratios(batch.rows[:, self._seen])).float()
        return self.model(ratios_BA.to(self.device)), {}

    def auxiliary(
        self, batch: Batch, whole: Batch, held: dict[str, Any], rng: Any
    ) -> dict[str, Tensor]:
        """There are none."""
        return {}
