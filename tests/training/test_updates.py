"""Updates of a training that is only looked at are those of the engine."""

import pytest
import torch

from aam.loops.updates import Updates
from aam.training.optimizers import build_optimizer

from .toys import NUM_SAMPLES, ToyTask, make_config, prepared, run_toy, weights


@pytest.mark.parametrize("accumulate", [1, 3, 99])
def test_they_are_made_as_the_engine_makes_them(accumulate: int) -> None:
    config = make_config(epochs=2, accumulate=accumulate, max_grad_norm=0.5)
    trained, looked_at = ToyTask(), ToyTask()
    run_toy(trained, config)
    made = prepared(looked_at, config)
    updates = Updates(made, build_optimizer(config.optimizer, looked_at.model))
    for _ in range(2 * made.updates_an_epoch):
        assert updates.backward()[1] == min(4 * accumulate, NUM_SAMPLES)
        assert updates.step()
    torch.testing.assert_close(weights(looked_at), weights(trained))


def test_none_is_made_of_gradients_that_are_not_finite() -> None:
    task = ToyTask(mishap={(0, 2): "gradient"})
    updates = Updates(
        prepared(task, config := make_config()), build_optimizer(config.optimizer, task.model)
    )
    assert updates.backward()
    assert updates.step()
    before = weights(task)
    updates.backward()
    assert not updates.step()
    torch.testing.assert_close(weights(task), before, rtol=0, atol=0)
