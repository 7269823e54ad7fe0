"""The calibration of a model at the end of its training, from the run's own study.

Shapes: N samples of the study, n validation samples, V covariate values.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from aam.data.batches import BatchMaker
from aam.data.recipe import Recipe
from aam.data.splits import Split
from aam.data.targets import Target
from aam.prediction.calibration import Calibration, calibrate
from aam.prediction.forward import Passed, encode_asvs, pass_through
from aam.prediction.models import SampleModel
from aam.prediction.predictor import BATCH


def calibrate_model(
    model: SampleModel,
    maker: BatchMaker,
    split: Split,
    target: Target,
    recipe: Recipe,
    *,
    covariates_NV: NDArray[np.float32] | None,
    seed: int,
    device: torch.device,
) -> Calibration | None:
    """Pass the training and the validation part through a model that is in eval mode.

    ``seed`` is that of the run's own evaluations. None where there is no validation part.
    """
    if not len(split.val):
        return None
    asv_AD = encode_asvs(model, maker.study, device)

    def of(rows: NDArray[np.int64]) -> Passed:
        given = None if covariates_NV is None else covariates_NV[rows]
        return pass_through(model, maker.fixed_batches(rows, BATCH, seed), asv_AD, given)

    val = of(split.val)
    return calibrate(
        target.values[split.val],
        recipe.finish(val.raw_NO),
        of(split.train).clades_NK,
        val.clades_NK,
        model.encoder.unifrac.distances,
    )
