from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
import torch
from event_files import Event, read
from torch import nn

from aam.config import LoggingConfig
from aam.monitoring.tensorboard import TensorBoard
from aam.monitoring.tensorboard_events import NUM_BINS


class Model(nn.Module):
    """Frozen, trained, idle (its loss has no weight) and empty parts."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 2).requires_grad_(requires_grad=False)
        self.trained = nn.Linear(2, 2)
        self.idle = nn.Linear(2, 2)
        self.empty = nn.Parameter(torch.zeros(0))

    def step(self) -> None:
        torch.manual_seed(0)
        x = self.trained(self.frozen(torch.ones(1, 2)))
        (x.sum() + self.empty.sum()).backward()
        with torch.no_grad():
            for parameter in self.trained.parameters():
                parameter -= 0.1 * parameter.grad
        self.zero_grad(set_to_none=True)


@pytest.fixture
def train(
    make_event: Callable[..., Event], epoch_event: Callable[..., Event]
) -> Callable[..., None]:
    """Train a model for so many epochs, with TensorBoard listening."""

    def run(run_dir: Path, model: Model, num_epochs: int, **config: Any) -> None:
        config["make_plots"] = False
        logging = LoggingConfig(**config)
        with closing(TensorBoard(run_dir, logging, model.named_parameters)) as board:
            board.on_event(make_event("on_start"))
            for epoch in range(num_epochs):
                model.step()
                board.on_event(epoch_event(epoch, 1.0, 1.0))
            history = {"train_loss": [], "val_loss": [], "lr": []}
            board.on_event(make_event("on_train_end", history=history))

    return run


def test_what_is_trained_has_histograms(tmp_path: Path, train: Callable[..., None]) -> None:
    model = Model()
    train(tmp_path, model, 5, histogram_every_epochs=2)
    written = read(tmp_path)
    names = ["parameters/trained.weight", "parameters/trained.bias"]
    assert written.Tags()["histograms"] == names
    for name in names:
        assert [one.step for one in written.Histograms(name)] == [1, 2, 4, 5]
    last = written.Histograms(names[0])[-1].histogram_value
    weight = model.trained.weight.detach().numpy().astype(np.float64)
    assert (last.min, last.max, last.num) == (weight.min(), weight.max(), 4)
    assert (last.sum, last.sum_squares) == pytest.approx((weight.sum(), (weight**2).sum()))
    counts, edges = np.histogram(weight, NUM_BINS)
    assert last.bucket == counts.tolist()
    assert last.bucket_limit == pytest.approx(edges[1:])
    for parameter in model.parameters():  # nothing is left hanging on the model
        assert not getattr(parameter, "_post_accumulate_grad_hooks", None)


def test_the_last_epoch_has_one_histogram(tmp_path: Path, train: Callable[..., None]) -> None:
    train(tmp_path, Model(), 4, histogram_every_epochs=4)
    (weight, _) = read(tmp_path).Tags()["histograms"]
    assert [one.step for one in read(tmp_path).Histograms(weight)] == [1, 4]


def test_histograms_can_be_switched_off(tmp_path: Path, train: Callable[..., None]) -> None:
    train(tmp_path, Model(), 2, histogram_every_epochs=None)
    assert read(tmp_path).Tags()["histograms"] == []


def test_values_without_a_place_are_left_out_of_histograms(
    tmp_path: Path, train: Callable[..., None]
) -> None:
    model = Model().to(torch.bfloat16)
    model.step = lambda: model.trained.weight.sum().backward()  # type: ignore[method-assign]
    with torch.no_grad():
        model.trained.weight[0] = 3.0
        model.trained.weight[1, 0] = torch.nan
        model.trained.weight[1, 1] = -torch.inf
    train(tmp_path, model, 1)
    (one,) = read(tmp_path).Histograms("parameters/trained.weight")
    assert (one.histogram_value.min, one.histogram_value.max) == (3.0, 3.0)
    assert sum(one.histogram_value.bucket) == one.histogram_value.num == 2

    with torch.no_grad():
        model.trained.weight.fill_(torch.nan)
    rmtree(tmp_path / "tensorboard")
    train(tmp_path, model, 1)
    assert read(tmp_path).Tags()["histograms"] == []
