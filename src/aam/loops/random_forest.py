"""``loop=random_forest``: the field's usual predictor, recorded like any other."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aam.baselines.forest import RandomForest
from aam.config import Config, ForestConfig
from aam.loops.beside import Beside
from aam.loops.fitted import Fitted, fit_and_record
from aam.loops.run import Run
from aam.loops.supervised import load_supervised
from aam.training.devices import seed_everything


def random_forest(config: Config, run: Run) -> float:
    """Grow the forest on the training part; returns the validation loss.

    The forest itself is not kept: scikit-learn's can only be loaded by running what the file says.
    """
    seed_everything(config.trainer)
    data = load_supervised(config, run)
    beside = Beside(data, without=("random_forest",))

    def fit() -> Fitted:
        assert isinstance(config.loop, ForestConfig)
        transform, target = data.recipe.transform, data.target
        if transform is not None:
            values = transform.forward(target.values.astype(np.float64))
            target = replace(target, values=values)
        given = replace(beside.given(), target=target, num_trees=config.loop.num_trees)
        forest = RandomForest(given)
        forest.fit(data.split.train)

        def predict(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            outputs = forest.predict(rows)
            return outputs if transform is None else transform.inverse(outputs)

        return Fitted(predict)

    return fit_and_record(data, run, beside=beside, device="cpu", fit=fit)
