"""One thread: tensors here are small, and a second thread only waits. One demo study for all."""

from collections.abc import Iterator

import pytest
import torch

from .supervised_runs import pretrained

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory, _cache: None) -> str:
    """A run of two epochs to start from."""
    return pretrained(tmp_path_factory.mktemp("runs") / "pretrain")
