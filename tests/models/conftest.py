"""Studies as the encoder meets them: made up, real, and with sequences of differing lengths."""

from pathlib import Path

import pytest
import torch

from aam.config import DataConfig
from aam.data.demo import write_demo
from aam.data.study import Study, load_study

from .studies import ragged

torch.set_num_threads(1)  # matrices this small only wait for a second thread


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Study:
    files = write_demo(tmp_path_factory.mktemp("demo") / "seed1", 1)
    return load_study(DataConfig(name="biom", table=str(files.table), tree=str(files.tree)))


@pytest.fixture(scope="session", params=["demo", "ragged", "moving-pictures"])
def study(request: pytest.FixtureRequest, demo: Study) -> Study:
    if request.param == "demo":
        return demo
    if request.param == "ragged":
        return ragged(demo)
    folder: Path = request.getfixturevalue("real_data") / "moving-pictures"
    paths = {"table": str(folder / "table.biom"), "tree": str(folder / "tree.nwk")}
    return load_study(DataConfig(name="biom", **paths))
