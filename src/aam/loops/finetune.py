"""``loop=finetune``: an encoder and a head learn to predict metadata columns.

Shapes: A ASVs of the study, U distinct ASVs of a batch, B samples, O outputs, V covariate values.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aam.config import Config, FinetuneConfig
from aam.data.batches import Batch
from aam.errors import UserError
from aam.loops.beside import Beside
from aam.loops.calibrated import keep_calibration
from aam.loops.machine import fit_to_machine
from aam.loops.prepared import Prepared
from aam.loops.pretrained import build_encoder, inputs_of
from aam.loops.run import Run
from aam.loops.session import train
from aam.loops.supervised import Supervised, load_supervised
from aam.loops.target_task import EVAL_BATCH, TargetTask
from aam.losses.targets import UnifracTargets
from aam.losses.unifrac import unifrac_loss
from aam.models.supervised import SupervisedModel
from aam.prediction.models import make_finetuned
from aam.training.devices import pick_device, seed_everything
from aam.training.distributed import gathered, mean_of_all, own_rows


def finetune(config: Config, run: Run) -> float:
    """Build data, model and baselines, train, and return the best value of the watched figure."""
    return train(prepare(config, run), run)


def prepare(config: Config, run: Run) -> Prepared:
    """Build data and model.

    Raises
    ------
    UserError
        As ``load_supervised`` and ``build_encoder`` do; or a loss needs a tree that is not given.
    """
    device = pick_device(config.trainer)
    seed_everything(config.trainer)
    data = load_supervised(config, run)
    loop = config.loop
    assert isinstance(loop, FinetuneConfig)
    weights = {"unifrac_loss": loop.unifrac_weight, "count_loss": loop.count_weight}
    weights = {name: weight for name, weight in weights.items() if weight}
    encoder, config = build_encoder(config, run)
    fit_to_machine(encoder, config, data.maker(), data.split.train, device)
    targets = None
    if "unifrac_loss" in weights:
        if data.study.tree is None and config.data.distances is None:
            raise UserError("loop.unifrac_weight needs a tree; set data.tree=, or the weight to 0")
        targets = UnifracTargets(data.study, config.data)  # in the metric of the encoder
    model = make_finetuned(encoder, config.model, loop, data.recipe)
    predictor = EncoderPredictor(model, data, device, targets)
    predictor.standardise()
    return Prepared(
        task=TargetTask(predictor, data, device, weights),
        config=config,
        device=device,
        maker=data.maker(),
        split=data.split,
        metric_names=("total_loss", "target_loss", *weights, "grad_norm"),
        inputs=inputs_of(config, data.study.files),
        num_samples=data.num_samples,
        beside=Beside(data),
        lr_scales={"encoder.": loop.encoder_lr},
        finish=lambda epoch: keep_calibration(model, data, run, device, epoch),
    )


class EncoderPredictor:
    """The encoder's road from a batch to outputs, ASV embeddings kept where they cannot change."""

    def __init__(
        self,
        model: SupervisedModel,
        data: Supervised,
        device: torch.device,
        targets: UnifracTargets | None = None,
    ) -> None:
        self.model: nn.Module = model.to(device)
        self._model = model
        self.data = data
        self.device = device
        self.targets = targets
        self._freeze(data.config.freeze)
        self._asv_AD: Tensor | None = None
        self._is_frozen = data.config.freeze != "none"

    def prepare(self) -> None:
        """Encode every ASV of the study once: in eval mode a batch only looks its own up."""
        if not self._is_frozen or self._asv_AD is None:
            tokens = torch.from_numpy(self.data.study.tokens).to(self.device)
            with torch.no_grad():
                self._asv_AD = self._model.encoder.nucleotides(tokens)

    @torch.no_grad()
    def standardise(self) -> None:
        """Let the head start from standardised features of the training part."""
        self._model.eval()
        self.prepare()
        assert self._asv_AD is not None
        config, rows = self.data.config, self.data.split.train
        held = np.unique(self.data.study.counts[rows].indices)
        self._model.pool.standardise(self._asv_AD[torch.from_numpy(held).to(self.device)])
        batches = self.data.maker().fixed_batches(rows, EVAL_BATCH, config.trainer.seed)
        features = []
        for given in batches:
            batch = given.to(self.device)
            encoded = self._model.encode(self._asvs(batch), batch)
            features.append(self._model.features(encoded, batch))
        self._model.standardise(torch.cat(features))
        self._asv_AD = None  # a run that goes on has yet to load the encoder's weights

    def forward(self, batch: Batch, covariates_BV: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """Raw outputs [B, O], and what was encoded."""
        encoded = self._model.encode(self._asvs(batch), batch)
        return self._model.outputs(encoded, batch, covariates_BV), {"encoded": encoded}

    def auxiliary(
        self, batch: Batch, whole: Batch, held: dict[str, Any], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """UniFrac and count losses, where they are weighted."""
        losses: dict[str, Tensor] = {}
        encoded = held["encoded"]
        if self.targets is not None:
            true = self.targets.distances(whole.rows, whole.sample_ids)
            true_BB = torch.from_numpy(true).float().to(self.device)
            clades_BK = gathered(encoded.clades_BK.float(), len(true_BB))
            predicted_BB = self._model.encoder.unifrac.distances(clades_BK)
            losses["unifrac_loss"] = unifrac_loss(predicted_BB, true_BB)
        if self._model.count_head is not None:
            hidden_T = torch.from_numpy(hide(int(whole.mask.sum()), rng))
            own_T = hidden_T[whole.slots(own_rows(len(whole.mask)))]
            errors = self._model.count_head.errors(
                self._model.encoder.samples, encoded.asv_UD, batch, own_T.to(self.device)
            )
            losses["count_loss"] = mean_of_all(errors, int(hidden_T.sum()))
        return losses

    def _asvs(self, batch: Batch) -> Tensor:
        if self._is_frozen:
            self.prepare()
        if self._is_frozen or not torch.is_grad_enabled():
            assert self._asv_AD is not None
            return self._asv_AD[batch.columns]
        asv_UD: Tensor = self._model.encoder.nucleotides(batch.tokens)
        return asv_UD

    def _freeze(self, what: str) -> None:
        encoder = self._model.encoder
        if what == "nucleotide":
            encoder.nucleotides.requires_grad_(False)
        if what == "all":
            encoder.requires_grad_(False)


HIDDEN = (
    0.15  # share of the abundances that the count loss withholds, as of the bases in pretraining
)


def hide(num_slots: int, rng: np.random.Generator) -> Any:
    """Which slots' abundance is withheld, one at least: a mean over none would be NaN."""
    hidden = rng.random(num_slots) < HIDDEN
    hidden[rng.integers(num_slots)] = True
    return hidden
