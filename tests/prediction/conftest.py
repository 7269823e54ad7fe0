"""The demo study, and tables of some of its samples."""

import pytest
import torch

from aam.config import DataConfig
from aam.data.demo import write_demo
from aam.data.study import Study, load_study

from .runs import Table, table_of

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Study:
    files = write_demo(tmp_path_factory.mktemp("demo") / "seed1", 1)
    return load_study(DataConfig(name="biom", table=str(files.table)), needs_tree=False)


@pytest.fixture
def table(demo: Study) -> Table:
    """Twelve samples, ASVs that none of them has left out."""
    whole = table_of(demo, range(0, 96, 8))
    held = whole.counts.any(axis=0).nonzero()[0]
    return Table(whole.counts[:, held], whole.sample_ids, [whole.asv_ids[k] for k in held])
