"""The table of model sizes in the docs is that of the program."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from aam.composing.compose import VERSION_BASE, as_config, register
from aam.composing.config_files import config_dir, groups
from aam.config import Config
from aam.models.pretrain import PretrainModel
from aam.prediction.models import make_encoder

PAGE = Path(__file__).parents[1] / "docs" / "pretraining.md"
ROW = re.compile(r"\| `(\w+)` \| (\d+) \| (\d+) \+ (\d+) \| (\d+) \| (\d+) \| ([\d,]+) \|")


@pytest.fixture
def sizes() -> Iterator[dict[str, Config]]:
    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        yield {
            name: as_config(compose("config", overrides=[f"model={name}"]))
            for name in groups()["model"]
        }


def test_the_sizes_are_those_of_the_docs(sizes):
    rows = {found[0]: found[1:] for found in ROW.findall(PAGE.read_text("utf-8"))}
    assert rows.keys() == sizes.keys()
    for name, config in sizes.items():
        shape = config.model
        model = PretrainModel(make_encoder(shape, config.data), dim=shape.dim)
        weights = sum(one.numel() for one in model.parameters())
        layers = (shape.nucleotide_layers, shape.sample_layers)
        wanted = (shape.dim, *layers, shape.patch_size, shape.num_clades, f"{weights:,}")
        assert rows[name] == tuple(map(str, wanted))
