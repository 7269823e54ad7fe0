"""The estimators of the probe, fitted on a kernel or on features of the training part.

Shapes: n training samples, F features, O outputs, h samples held out.
"""

from typing import Any

import numpy as np
import torch

from aam.baselines.given import Given
from aam.baselines.inner import best_candidate, inner_folds, out_of_fold
from aam.baselines.kernels import platt
from aam.loops.probe_kernel import Choice, Floats, Rows

COSTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
NEIGHBOURS = (1, 3, 5, 9, 15, 25)
STRENGTHS = tuple(np.logspace(-3, 4, 15).tolist())
TUBE = 0.05  # standard deviations that a support vector regression forgives


def fit_machine(choice: Choice, given: Given, rows: Rows, target_nO: Floats) -> dict[str, Any]:
    """Support vector machines, one an output, their cost chosen by inner cross-validation."""
    is_classes = given.is_classification
    # By its variance, so that a cost means the same for a wide and a narrow kernel.
    spread = max(1.0 - float(choice.kernel_nn.mean()), 1e-6)
    kernel_nn = choice.kernel_nn / spread
    decided_nO, cost = None, COSTS[len(COSTS) // 2]

    def decide(fit: Rows, held: Rows) -> Floats:
        candidates = []
        for each in COSTS:
            dual, bias = _machines(kernel_nn[np.ix_(fit, fit)], target_nO[fit], each, is_classes)
            candidates.append(kernel_nn[np.ix_(held, fit)] @ dual + bias)
        return np.stack(candidates)

    if folds := inner_folds(given, rows):
        decided_PnO = out_of_fold(folds, decide, len(rows))
        best = best_candidate(decided_PnO, np.maximum(target_nO, 0) if is_classes else target_nO,
                              is_classes)  # fmt: skip
        cost, decided_nO = COSTS[best], decided_PnO[best]
    dual_nO, bias_O = _machines(kernel_nn, target_nO, cost, is_classes)
    if decided_nO is None:
        decided_nO = kernel_nn @ dual_nO + bias_O
    state = _kernel_state(choice, dual_nO / spread, bias_O)
    return state | _curves(decided_nO, target_nO, is_classes)


def fit_process(choice: Choice, given: Given, rows: Rows, target_nO: Floats) -> dict[str, Any]:
    """The mean of a Gaussian process whose noise is the ridge that was chosen.

    Classes are regressed on (least-squares classification, Rasmussen & Williams, section 6.5).
    """
    kernel_nn, is_classes = choice.kernel_nn, given.is_classification

    def fitted(fit: Rows) -> tuple[Floats, Floats]:
        bias_O = target_nO[fit].mean(axis=0)
        noisy = kernel_nn[np.ix_(fit, fit)] + choice.alpha * np.eye(len(fit))
        return np.linalg.solve(noisy, target_nO[fit] - bias_O), bias_O

    def decide(fit: Rows, held: Rows) -> Floats:
        dual, bias = fitted(fit)
        decided: Floats = (kernel_nn[np.ix_(held, fit)] @ dual + bias)[None]
        return decided

    dual_nO, bias_O = fitted(np.arange(len(rows)))
    state = _kernel_state(choice, dual_nO, bias_O)
    if not is_classes:
        return state
    folds = inner_folds(given, rows)
    decided_nO = out_of_fold(folds, decide, len(rows))[0] if folds else kernel_nn @ dual_nO + bias_O
    return state | _curves(decided_nO, target_nO, is_classes)


def fit_neighbours(choice: Choice, given: Given, rows: Rows, target_nO: Floats) -> dict[str, Any]:
    """Nearest neighbours weighted by 1 / distance; how many, by inner cross-validation."""
    values_nO = np.maximum(target_nO, 0) if given.is_classification else target_nO

    def decide(fit: Rows, held: Rows) -> Floats:
        distance_hn = choice.distance_nn[np.ix_(held, fit)]
        nearest_hk = np.argsort(distance_hn, axis=1, kind="stable")
        weight_hk = 1 / np.maximum(np.take_along_axis(distance_hn, nearest_hk, 1), 1e-9)
        value_hkO = values_nO[fit][nearest_hk]
        return np.stack(
            [
                np.einsum("hk,hkO->hO", weight_hk[:, :k], value_hkO[:, :k])
                / weight_hk[:, :k].sum(axis=1, keepdims=True)
                for k in NEIGHBOURS
            ]
        )

    folds = inner_folds(given, rows)
    best = len(NEIGHBOURS) // 2
    if folds:
        decided_PnO = out_of_fold(folds, decide, len(rows))
        best = best_candidate(decided_PnO, values_nO, given.is_classification)
    return {
        "kind": "nearest_neighbours",
        "bags": vars(choice.bags),
        "num_neighbours": min(NEIGHBOURS[best], len(rows)),
        "values": torch.from_numpy(values_nO),
        "is_classification": given.is_classification,
    }


def fit_linear(features_nF: Floats, given: Given, rows: Rows, target_nO: Floats) -> dict[str, Any]:
    """Ridge or logistic regression on standardised features, its strength by inner folds."""
    mean_F, scale_F = features_nF.mean(axis=0), features_nF.std(axis=0)
    scale_F = np.where(scale_F > 1e-9, scale_F, 1.0)
    x_nF = (features_nF - mean_F) / scale_F
    values_nO = np.maximum(target_nO, 0) if given.is_classification else target_nO

    def decide(fit: Rows, held: Rows) -> Floats:
        coefficients = (_linear(x_nF[fit], values_nO[fit], s, given) for s in STRENGTHS)
        return np.stack([x_nF[held] @ weight + bias for weight, bias in coefficients])

    best = len(STRENGTHS) // 2
    if folds := inner_folds(given, rows):
        decided_PnO = out_of_fold(folds, decide, len(rows))
        best = best_candidate(decided_PnO, values_nO, given.is_classification)
    weight_FO, bias_O = _linear(x_nF, values_nO, STRENGTHS[best], given)
    tensors = {"mean": mean_F, "scale": scale_F, "weight": weight_FO, "bias": bias_O}
    return {"kind": "linear"} | {name: torch.from_numpy(v) for name, v in tensors.items()}


def _linear(
    x_nF: Floats, values_nO: Floats, strength: float, given: Given
) -> tuple[Floats, Floats]:
    """Weights ``[F, O]`` and biases ``[O]``; of classes, logits."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if not given.is_classification:
        ridge = Ridge(alpha=strength).fit(x_nF, values_nO)
        return ridge.coef_.reshape(values_nO.shape[1], -1).T, np.ravel(ridge.intercept_)
    known = np.flatnonzero(values_nO.any(axis=0))
    model = LogisticRegression(C=1 / strength, max_iter=5000)
    model.fit(x_nF, values_nO.argmax(axis=1))
    coef, bias = model.coef_, model.intercept_
    if len(known) == 2:
        coef, bias = np.vstack([-coef, coef]) / 2, np.append(-bias, bias) / 2
    weight_FO = np.zeros((x_nF.shape[1], values_nO.shape[1]))
    bias_O = np.full(values_nO.shape[1], -30.0)  # of a class that was never seen
    weight_FO[:, known], bias_O[known] = coef.T, bias
    return weight_FO, bias_O


def _machines(
    kernel_nn: Floats, target_nO: Floats, cost: float, is_classes: bool
) -> tuple[Floats, Floats]:
    """Duals ``[n, O]`` and biases ``[O]``."""
    from sklearn.svm import SVC, SVR

    dual_nO, bias_O = np.zeros_like(target_nO), np.zeros(target_nO.shape[1])
    for k, target_n in enumerate(target_nO.T):
        if np.ptp(target_n) == 0:
            bias_O[k] = target_n[0]
            continue
        if is_classes:
            machine = SVC(C=cost, kernel="precomputed", class_weight="balanced")
        else:
            machine = SVR(C=cost, kernel="precomputed", epsilon=TUBE)
        machine.fit(kernel_nn, target_n)
        dual_nO[machine.support_, k] = machine.dual_coef_[0]
        bias_O[k] = machine.intercept_[0]
    return dual_nO, bias_O


def _kernel_state(choice: Choice, dual_nO: Floats, bias_O: Floats) -> dict[str, Any]:
    return {
        "kind": "kernel",
        "bags": vars(choice.bags),
        "width": choice.width,
        "dual": torch.from_numpy(dual_nO),
        "bias": torch.from_numpy(bias_O),
    }


def _curves(decided_nO: Floats, target_nO: Floats, is_classes: bool) -> dict[str, Any]:
    """Platt's scaling of each class against the rest, by decisions out of fold."""
    if not is_classes:
        return {}
    known_n = ~np.isnan(decided_nO).any(axis=1)
    curves = [
        platt(decided, is_class) if is_class.any() else (0.0, -30.0)
        for decided, is_class in zip(decided_nO[known_n].T, (target_nO[known_n] > 0).T, strict=True)
    ]
    slope_O, shift_O = np.array(curves).T
    return {"slope": torch.from_numpy(slope_O.copy()), "shift": torch.from_numpy(shift_O.copy())}
