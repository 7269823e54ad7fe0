"""Which kernel between samples suits the target: mean embeddings of ASVs, seen in eight ways.

Every kernel is judged by the errors of kernel ridge on samples left out, a whole group at a time,
which have a closed form (Rasmussen & Williams 2006, section 5.4.2).

Shapes: n training samples, A ASVs that they hold, O outputs, P candidates.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aam.models.probe import Bags, bag_weights, squared_norms

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

READS = (1e2, 1e3, 1e4, math.inf)
WIDTHS = (0.5, 1.0, 2.0, 8.0)  # in median squared distances
ALPHAS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LENGTH2 = 0.03  # in median squared distances between ASVs: near relatives only are alike
MEDIAN_OF = 1000  # ASVs that the median distance is taken of


@dataclass(frozen=True)
class Choice:
    """A kernel between samples, ``exp(-(distance / width)^2)``, and its ridge."""

    bags: Bags
    distance_nn: Floats
    width: float
    alpha: float
    error: float

    @property
    def kernel_nn(self) -> Floats:
        """The kernel of the training samples."""
        kernel: Floats = np.exp(-((self.distance_nn / self.width) ** 2))
        return kernel


def make_bags(asv_AD: Tensor, counts_nA: Tensor) -> Iterator[Bags]:
    """Every way to see the training samples; the ASVs are those that they hold."""
    asv_AD = asv_AD.double().cpu()
    mean_D, scale_D = asv_AD.mean(0), asv_AD.std(0, unbiased=False).clamp_min(1e-9)
    asv_AD = (asv_AD - mean_D) / scale_D
    some = asv_AD[:: max(1, len(asv_AD) // MEDIAN_OF)]
    median = float(torch.pdist(some).square().median()) if len(some) > 1 else 1.0
    plain = Bags(
        mean_D=mean_D,
        scale_D=scale_D,
        asv_AD=asv_AD,
        weight_nA=counts_nA,
        own_n=torch.zeros(len(counts_nA)),
        length2=LENGTH2 * median,
        reads=math.inf,
        is_root=False,
    )
    for reads in READS:
        weight_nA = bag_weights(counts_nA, reads)
        own_n = squared_norms(asv_AD, weight_nA, plain.length2)
        for is_root in (False, True):
            yield replace(plain, weight_nA=weight_nA, own_n=own_n, reads=reads, is_root=is_root)


def choose_kernel(options: Iterator[Bags], target_nO: Floats, blocks: Sequence[Rows]) -> Choice:
    """The kernel whose ridge regression errs least on blocks of samples that are left out."""
    best: Choice | None = None
    for bags in options:
        distance_nn = bags.distances(bags.asv_AD, bags.weight_nA).numpy()
        np.fill_diagonal(distance_nn, 0.0)
        middle = np.median(distance_nn[np.triu_indices(len(distance_nn), 1)] ** 2)
        for share in WIDTHS:
            width = math.sqrt(2 * share * max(float(middle), 1e-12))
            choice = Choice(bags, distance_nn, width, 0.0, math.inf)
            errors_P = _left_out_errors(choice.kernel_nn, target_nO, blocks)
            least = int(np.argmin(errors_P))
            if best is None or errors_P[least] < best.error:
                best = replace(choice, alpha=ALPHAS[least], error=float(errors_P[least]))
    assert best is not None
    return best


def _left_out_errors(kernel_nn: Floats, target_nO: Floats, blocks: Sequence[Rows]) -> Floats:
    """Mean absolute error of each alpha."""
    value_n, vector_nn = np.linalg.eigh(kernel_nn)
    centred_nO = target_nO - target_nO.mean(axis=0)
    rotated_nO = vector_nn.T @ centred_nO
    errors = []
    for alpha in ALPHAS:
        inverse_n = 1 / (np.maximum(value_n, 0) + alpha)
        dual_nO = vector_nn @ (inverse_n[:, None] * rotated_nO)
        residual_nO = np.empty_like(dual_nO)
        for block in blocks:
            part = vector_nn[block]
            residual_nO[block] = np.linalg.solve((part * inverse_n) @ part.T, dual_nO[block])
        errors.append(float(np.abs(residual_nO).mean()))
    return np.array(errors)
