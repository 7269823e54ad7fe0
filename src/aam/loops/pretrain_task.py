"""What pretraining does with a batch: its losses in training, its figures in validation.

Shapes: U distinct ASVs, B samples, N samples of a split.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.data.batches import Batch
from aam.loops.pretrain_draws import Drawn, Draws, Held, TrainingBatch
from aam.losses.nucleotides import MaskedView, nucleotide_loss
from aam.losses.unifrac import pair_table, unifrac_loss, unifrac_metrics
from aam.models.encoder import Encoded
from aam.models.pretrain import PretrainModel
from aam.training.distributed import gathered, mean_of_all, share
from aam.training.task import Evaluation, StepOutput

METRIC_NAMES = (
    "total_loss",
    "unifrac_loss",
    "unifrac_r2",
    "unifrac_mae",
    "unifrac_spearman",
    "nuc_loss",
    "nuc_accuracy",
    "faith_pd_loss",
    "count_loss",
    "grad_norm",
)


class PretrainTask:
    """Training steps and evaluations for the engine."""

    def __init__(self, model: PretrainModel, draws: Draws, device: torch.device) -> None:
        self.model = model
        self.draws = draws
        self.device = device
        loop = draws.loop
        self.weights = {
            "unifrac_loss": loop.unifrac_weight,
            "nuc_loss": loop.nuc_weight,
            "faith_pd_loss": loop.faith_pd_weight,
            "count_loss": loop.count_weight,
        }
        self._held: dict[str, Held | None] = {}

    @property
    def figures(self) -> tuple[str, ...]:
        """What an evaluation gives."""
        off = {name for name, weight in self.weights.items() if not weight} | {"grad_norm"}
        off |= {"nuc_accuracy"} if "nuc_loss" in off else set()
        return tuple(name for name in METRIC_NAMES if name not in off)

    def num_steps(self) -> int:
        """Training batches an epoch."""
        return self.draws.num_steps()

    def training_batches(self, epoch: int, done: int = 0) -> Iterator[TrainingBatch]:
        """Batches of the epoch but for the first ``done``, each with draws of its own."""
        return self.draws.training(epoch, done)

    def step(self, given: TrainingBatch) -> StepOutput:
        """Forward pass and losses.

        Distances are learned from ASVs that are whole: masking them too lets the loss be fitted by
        noise, and embeddings collapse in eval mode. The masked view is of a part of the ASVs.
        """
        own = given.own()
        batch = own.drawn.batch.to(self.device)
        encoder = self.model.encoder
        learned_U = given.learns(batch.columns)
        encoded = encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask, learned_U)
        clades_BK = gathered(encoded.clades_BK.float(), len(given.true_BB))
        predicted_BB = encoder.unifrac.distances(clades_BK)
        true_BB = torch.from_numpy(given.true_BB).float().to(self.device)
        parts = {
            "unifrac_loss": unifrac_loss(predicted_BB, true_BB),
            **self._own_nucleotides(own.view, given.view),
            **self._own_errors(encoded, batch, own.drawn, given.drawn),
        }
        return StepOutput(
            loss=self._total(parts),
            parts={name: part.detach() for name, part in parts.items()},
            sample_ids=given.drawn.batch.sample_ids,
        )

    def evaluate(self, split: str) -> Evaluation | None:
        """Figures over all pairs of a split's samples, on the same draws in every epoch."""
        if split not in self._held:
            self._held[split] = self.draws.hold(split)
        held = self._held[split]
        if held is None:
            return None
        predicted_NN, errors = self._predict(held)
        pairs = np.triu_indices(len(held.sample_ids), 1)
        metrics = {
            **unifrac_metrics(predicted_NN[pairs], held.true_NN[pairs]),
            **{name: float(value) for name, value in self._nucleotides(held.view).items()},
            **{name: float(error.mean()) for name, error in errors.items()},
        }
        table = pair_table(held.sample_ids, held.pairs_kept, predicted_NN, held.true_NN)
        return Evaluation(
            metrics={"total_loss": self._total(metrics), **metrics},
            tables={f"{split}_unifrac": table},
        )

    def _total(self, parts: Mapping[str, Any]) -> Any:
        return sum(weight * parts[name] for name, weight in self.weights.items() if weight)

    def _predict(self, held: Held) -> tuple[NDArray[np.float64], dict[str, Tensor]]:
        """Distances [N, N] between the samples of a split, and the auxiliary errors."""
        encoder = self.model.encoder
        asv_UD = encoder.nucleotides(held.tokens.to(self.device))
        clades: list[Tensor] = []
        errors: dict[str, list[Tensor]] = {}
        for drawn, rows in held.batches:
            batch = drawn.batch.to(self.device)
            encoded = encoder.from_asvs(
                asv_UD[rows.to(self.device)], batch.asv_index, batch.counts, batch.mask
            )
            clades.append(encoded.clades_BK.float())
            for name, error in self._auxiliary_errors(encoded, batch, drawn).items():
                errors.setdefault(name, []).append(error)
        clades_NK = torch.cat(clades)
        blocks = [encoder.unifrac.distances(block, clades_NK) for block in clades]
        distances_NN = torch.cat(blocks).cpu().double().numpy()
        return distances_NN, {name: torch.cat(error) for name, error in errors.items()}

    def _own_nucleotides(self, own: MaskedView | None, whole: MaskedView | None) -> dict[str, Any]:
        """This rank's part in the means over all masked bases."""
        if own is None or whole is None:
            return {}
        weight = share(len(own.bases), len(whole.bases))
        return {name: weight * part for name, part in self._nucleotides(own).items()}

    def _own_errors(
        self, encoded: Encoded, batch: Batch, own: Drawn, whole: Drawn
    ) -> dict[str, Tensor]:
        """This rank's part in the means over all samples, and over all withheld counts."""
        num_hidden = 0 if whole.hidden_T is None else int(whole.hidden_T.sum())
        num_all = {"faith_pd_loss": len(whole.batch.sample_ids), "count_loss": num_hidden}
        errors = self._auxiliary_errors(encoded, batch, own)
        return {name: mean_of_all(error, num_all[name]) for name, error in errors.items()}

    def _nucleotides(self, view: MaskedView | None) -> dict[str, Tensor]:
        if view is None:
            return {}
        view = view.to(self.device)
        loss, accuracy = nucleotide_loss(self.model.base_logits(view).float(), view.bases)
        return {"nuc_loss": loss, "nuc_accuracy": accuracy}

    def _auxiliary_errors(self, encoded: Encoded, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        """Squared errors, not yet averaged, of Faith's PD and of withheld counts."""
        errors = {}
        if drawn.log_pd_B is not None:
            error_B = self.model.faith_pd(encoded) - drawn.log_pd_B.to(self.device)
            errors["faith_pd_loss"] = error_B.square()
        if drawn.hidden_T is not None:
            hidden_T = drawn.hidden_T.to(self.device)
            errors["count_loss"] = self.model.count_head.errors(
                self.model.encoder.samples, encoded.asv_UD, batch, hidden_T
            )
        return errors
