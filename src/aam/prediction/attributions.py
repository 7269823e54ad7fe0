"""Which ASVs carried the predictions: integrated gradients.

The attribution of an ASV in a sample is its embedding times the gradient of the output, averaged
along the straight line from a baseline to the embeddings as they are (Sundararajan, Taly & Yan
2017, "Axiomatic attribution for deep networks"). The baseline is the mean embedding of the ASVs
that the run was trained on in the place of every ASV's, abundances staying as they are; so the
attributions of a sample sum to its output minus that at the baseline. Each sample has embeddings of
its own, and the same ASV in two samples two attributions.

What is attributed: in regression the (first) column, in its own unit, or in that of
log(1 + value) where the target was transformed so; in classification the logit of the predicted
class minus the mean of all logits (what all logits have in common changes no probability).

Shapes: A ASVs, B samples of a batch, S slots, T filled slots, D width, O outputs.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from aam.data.batches import Batch
from aam.data.recipe import Recipe
from aam.prediction.forward import encode_asvs, on_device
from aam.prediction.models import SampleModel
from aam.prediction.predictor import Columns, batches_of
from aam.prediction.samples import Samples
from aam.prediction.trained import Trained

STEPS = 24
BATCH = 8  # samples; each slot has a row of its own, and memory grows with the square of the batch


def attribute(trained: Trained, samples: Samples) -> Columns:
    """Attributions by ASV, over the samples that it is in, those that weigh most first.

    Columns: ``asv`` (its sequence), ``num_samples``, ``mean_attribution``,
    ``mean_absolute_attribution``. ASVs beyond the run's ``data.token_limit`` of a sample, or not
    drawn in its rarefaction, were not read in it and do not count.
    """
    sequences = samples.study.sequences
    num_A, sum_A, absolute_A = np.zeros((3, len(sequences)))
    if samples.study.sample_ids:
        asv_AD = encode_asvs(trained.model, samples.study, trained.device)
        batches = batches_of(trained, samples, BATCH)
        for batch, covariates_BV in on_device(batches, samples.covariates_nV, trained.device):
            given_T = attribute_batch(
                trained.model, trained.recipe, asv_AD[batch.columns], batch, covariates_BV
            )
            values_T = given_T.double().cpu().numpy()
            columns_T = batch.columns[batch.asv_index[batch.mask]].cpu().numpy()
            np.add.at(num_A, columns_T, 1)
            np.add.at(sum_A, columns_T, values_T)
            np.add.at(absolute_A, columns_T, np.abs(values_T))
    held = np.flatnonzero(num_A)
    order = held[np.lexsort((held, -absolute_A[held] / num_A[held]))]
    return {
        "asv": [sequences[column] for column in order],
        "num_samples": num_A[order].astype(np.int64).tolist(),
        "mean_attribution": (sum_A[order] / num_A[order]).tolist(),
        "mean_absolute_attribution": (absolute_A[order] / num_A[order]).tolist(),
    }


def attribute_batch(
    model: SampleModel,
    recipe: Recipe,
    asv_UD: Tensor,
    batch: Batch,
    covariates_BV: Tensor | None,
    num_steps: int = STEPS,
) -> Tensor:
    """Attributions of the filled slots [T], by the midpoint rule; the model is in eval mode."""
    slots_TD = asv_UD[batch.asv_index[batch.mask]]
    apart = own_rows(batch)
    with torch.no_grad():
        raw_BO = _raw(model, slots_TD, apart, covariates_BV)
    chosen_B = raw_BO.argmax(dim=1) if recipe.classes else raw_BO.new_zeros(len(raw_BO)).long()
    gradient_TD = torch.zeros_like(slots_TD)
    way_TD = slots_TD - model.neutral
    for step in range(num_steps):
        place = (step + 0.5) / num_steps
        point_TD = (model.neutral + place * way_TD).requires_grad_()
        value_B = explained(_raw(model, point_TD, apart, covariates_BV), chosen_B, recipe)
        (here_TD,) = torch.autograd.grad(value_B.sum(), point_TD)
        gradient_TD += here_TD / num_steps
    return (way_TD * gradient_TD).sum(dim=1)


def explained(raw_BO: Tensor, chosen_B: Tensor, recipe: Recipe) -> Tensor:
    """What is attributed [B], of raw outputs; ``chosen_B`` are the predicted classes."""
    if recipe.transform is None:
        return raw_BO.gather(1, chosen_B[:, None])[:, 0] - raw_BO.mean(dim=1)
    return raw_BO[:, 0] * float(recipe.transform.scale[0])


def own_rows(batch: Batch) -> Batch:
    """The same batch, to be read with a row of embeddings for each filled slot."""
    index_BS = torch.zeros_like(batch.asv_index)
    index_BS[batch.mask] = torch.arange(int(batch.mask.sum()), device=index_BS.device)
    return replace(batch, asv_index=index_BS)


def _raw(
    model: SampleModel, slots_TD: Tensor, batch: Batch, covariates_BV: Tensor | None
) -> Tensor:
    return model.outputs(model.encode(slots_TD, batch), batch, covariates_BV).float()
