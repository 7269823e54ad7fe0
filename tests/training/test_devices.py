"""Devices, precision and seeds."""

import pytest
import torch

from aam.config import TrainerConfig
from aam.errors import UserError
from aam.training.devices import peak_memory_mib, pick_device, seed_everything


def test_a_device_that_is_not_there_is_a_sentence() -> None:
    for name in ("cuda:99", "toaster"):
        with pytest.raises(UserError, match=rf"trainer\.device={name} is not to be had here"):
            pick_device(TrainerConfig(device=name))
    assert pick_device(TrainerConfig(device="cpu")).type == "cpu"
    assert pick_device(TrainerConfig(device="auto")).type in ("cpu", "cuda", "mps")


def test_a_seed_gives_the_same_draws() -> None:
    draws = []
    for _ in range(2):
        seed_everything(TrainerConfig(seed=3, num_threads=1))
        draws.append(torch.rand(5))
    assert torch.equal(*draws)
    assert torch.get_num_threads() == 1


def test_memory_is_in_mib() -> None:
    before = peak_memory_mib(torch.device("cpu"))
    block = torch.ones(100 * 2**18)  # 100 MiB
    assert 50 < before < 100_000
    assert peak_memory_mib(torch.device("cpu")) >= before
    del block
