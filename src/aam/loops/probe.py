"""``loop=probe``: an estimator on embeddings of the frozen pretrained encoder, fitted at once.

Shapes: n training samples, A ASVs of the study, O outputs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.config import Config, ProbeConfig
from aam.loops import probe_fit, probe_kernel
from aam.loops.beside import Beside
from aam.loops.calibrated import keep_calibration
from aam.loops.fitted import Fitted, fit_and_record
from aam.loops.pretrained import build_encoder
from aam.loops.run import Run
from aam.loops.supervised import Supervised, load_supervised
from aam.models.probe import ProbeModel
from aam.prediction.forward import encode_asvs, on_device, pass_through
from aam.training.devices import pick_device, seed_everything

BATCH = 64


def probe(config: Config, run: Run) -> float:
    """Embed all samples, fit on the training part, and record; returns the validation loss."""
    device = pick_device(config.trainer)
    seed_everything(config.trainer)
    data = load_supervised(config, run)
    encoder, config = build_encoder(config, run)
    data = replace(data, config=config)
    model = ProbeModel(encoder).to(device).eval().requires_grad_(False)
    beside = Beside(data)

    def fit() -> Fitted:
        asv_AD = encode_asvs(model, data.study, device)
        model.fitted = _fit(model, data, beside, asv_AD)
        keep_calibration(model, data, run, device, epoch=1)

        def predict(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            batches = data.maker().fixed_batches(rows, BATCH, config.trainer.seed)
            return data.recipe.finish(pass_through(model, batches, asv_AD, None).raw_NO)

        return Fitted(predict, model.state_dict())

    return fit_and_record(data, run, beside=beside, device=str(device), fit=fit)


def _fit(model: ProbeModel, data: Supervised, beside: Beside, asv_AD: Tensor) -> dict[str, Any]:
    """The state of the estimator, in the transformed unit of the target."""
    loop = data.loop
    assert isinstance(loop, ProbeConfig)
    rows, given = data.split.train, beside.given()
    target_nO, mean_O, scale_O = _targets(data, rows)
    if loop.estimator == "linear":
        features_nF = _features(model, data, asv_AD)
        state = probe_fit.fit_linear(features_nF, given, rows, target_nO)
    else:
        counts_nA = _counts(data, rows)
        held = counts_nA.sum(0) > 0
        bags = probe_kernel.make_bags(asv_AD.cpu()[held], counts_nA[:, held])
        choice = probe_kernel.choose_kernel(bags, target_nO, _blocks(data, rows))
        fitters: dict[str, Callable[..., dict[str, Any]]] = {
            "svm": probe_fit.fit_machine,
            "gaussian_process": probe_fit.fit_process,
            "nearest_neighbours": probe_fit.fit_neighbours,
        }
        state = fitters[loop.estimator](choice, given, rows, target_nO)
    trained_on = np.unique(data.study.counts[rows].indices)
    state["neutral"] = asv_AD[torch.from_numpy(trained_on)].mean(0).cpu()
    return state if data.target.classes else _unscaled(state, mean_O, scale_O)


def _targets(data: Supervised, rows: NDArray[np.int64]) -> tuple[Any, Any, Any]:
    """Standardised values ``[n, O]`` with mean and scale, or +1 in the sample's class and -1."""
    values, transform = data.target.values[rows], data.recipe.transform
    if transform is None:
        signs_nO = 2 * np.eye(len(data.target.classes))[values.astype(np.int64)] - 1
        return signs_nO, 0.0, 1.0
    values_nO = transform.forward(values.astype(np.float64))
    mean_O, scale_O = values_nO.mean(axis=0), values_nO.std(axis=0)
    scale_O = np.where(scale_O > 0, scale_O, 1.0)
    return (values_nO - mean_O) / scale_O, mean_O, scale_O


def _unscaled(state: dict[str, Any], mean_O: Any, scale_O: Any) -> dict[str, Any]:
    """The state that gives values where the given one gives standardised ones."""
    mean, scale = torch.as_tensor(mean_O), torch.as_tensor(scale_O)
    shifted = {"dual": False, "weight": False, "bias": True, "values": True}
    return state | {
        name: state[name] * scale + mean * is_shifted
        for name, is_shifted in shifted.items()
        if name in state
    }


def _counts(data: Supervised, rows: NDArray[np.int64]) -> Tensor:
    """Counts ``[n, A]`` as the model reads them: rarefied and limited as its batches are."""
    blocks = []
    for batch in data.maker().fixed_batches(rows, BATCH, data.config.trainer.seed):
        columns_BS = batch.columns[batch.asv_index]
        counts_BA = torch.zeros(len(batch.counts), data.study.counts.shape[1], dtype=torch.float64)
        counts_BS = (batch.counts * batch.mask).double()
        blocks.append(counts_BA.scatter_add(1, columns_BS, counts_BS))
    return torch.cat(blocks)


@torch.no_grad()
def _features(model: ProbeModel, data: Supervised, asv_AD: Tensor) -> NDArray[np.float64]:
    batches = data.maker().fixed_batches(data.split.train, BATCH, data.config.trainer.seed)
    blocks = []
    for batch, _ in on_device(batches, None, asv_AD.device):
        encoded = model.encode(asv_AD[batch.columns], batch)
        blocks.append(model.features(encoded, batch).cpu().numpy())
    return np.concatenate(blocks)


def _blocks(data: Supervised, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions that are left out together: a group, or a single sample."""
    if data.groups is None:
        return [np.array([k]) for k in range(len(rows))]
    members: dict[Any, list[int]] = {}
    for k, row in enumerate(rows):
        group = data.groups[row]
        members.setdefault(("alone", k) if group is None else group, []).append(k)
    return [np.array(block) for block in members.values()]
