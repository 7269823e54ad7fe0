"""What a run leaves behind: the content of its checkpoints, with a very small model."""

from dataclasses import asdict
from functools import cache
from typing import Any

from fuzzing.texts import ASVS, SAMPLES

EPOCH = 3
Content = dict[str, Any]


@cache
def study() -> Any:
    """Four samples of five ASVs, to predict."""
    import numpy as np
    from scipy import sparse

    from aam.data.sequences import tokenize
    from aam.data.study import Study
    from fuzzing.hdf5 import COUNTS

    sequences = tuple(sorted(ASVS))
    return Study(
        sample_ids=SAMPLES,
        counts=sparse.csr_matrix(COUNTS.T.astype(np.int64)),
        sequences=sequences,
        tokens=tokenize(sequences),
        tree=None,
        metadata=None,
        files={},
    )


@cache
def whole_model(is_classification: bool) -> Content:
    """The content of a best_model.pt with a very small model."""
    import numpy as np
    import torch

    from aam.config import Config, DataConfig, FinetuneConfig, ModelConfig
    from aam.data.covariates import Covariate
    from aam.data.recipe import Recipe
    from aam.data.targets import Transform
    from aam.prediction.models import make_model

    shape = ModelConfig(dim=4, num_heads=2, max_length=20, num_clades=3)
    config = asdict(
        Config(loop=FinetuneConfig(head="linear"), data=DataConfig(target="age"), model=shape)
    )
    recipe = Recipe(("age",), (), Transform(False, np.array([40.0]), np.array([20.0])), (), (9, 11))
    if is_classification:
        given = (Covariate("weight", 70.0, 10.0), Covariate("diet", categories=("a", "b")))
        recipe = Recipe(("site",), ("gut", "skin"), None, given)
    torch.manual_seed(0)
    model = make_model(config, recipe)
    return {
        "format": 1,
        "epoch": EPOCH,
        "model": dict(model.state_dict()),
        "config": config,
        "recipe": recipe.as_plain(),
        "rng": torch.get_rng_state(),
    }


@cache
def whole_calibration(_: bool = False) -> Content:
    """The content of its calibration.pt."""
    import torch

    nearest = torch.linspace(0, 1, 25, dtype=torch.float64)
    reach = torch.ones(1, dtype=torch.float64)
    clades = torch.ones(7, 3)
    return {"format": 1, "epoch": EPOCH, "reach": reach, "nearest": nearest, "train_clades": clades}
