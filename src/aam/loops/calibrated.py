"""What a supervised run leaves beside its best model, to predict with intervals elsewhere."""

import torch

from aam.loops.run import Run
from aam.loops.supervised import Supervised
from aam.prediction.calibrating import calibrate_model
from aam.prediction.calibration import save_calibration
from aam.prediction.models import SampleModel


def keep_calibration(
    model: SampleModel, data: Supervised, run: Run, device: torch.device, epoch: int
) -> None:
    """Calibrate a model in eval mode and write it to the run folder.

    Nothing is written without a run folder or without a validation part. ``epoch`` (from 1) is that
    of the checkpoint that it belongs to.
    """
    if run.run_dir is None:
        return
    calibration = calibrate_model(
        model,
        data.maker(),
        data.split,
        data.target,
        data.recipe,
        covariates_NV=data.covariates,
        seed=data.config.trainer.seed,
        device=device,
    )
    if calibration is not None:
        save_calibration(run.run_dir, calibration, epoch)
