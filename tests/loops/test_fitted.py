"""Loops that fit at once: the probe on embeddings, and the forest; and the network on counts."""

from dataclasses import replace
from pathlib import Path

import biom
import h5py
import numpy as np
import pytest
import torch
from sklearn.svm import SVR

from aam.config import BaselinesConfig, ForestConfig, MlpConfig, ProbeConfig, SplitConfig
from aam.data.demo import write_demo
from aam.errors import UserError
from aam.facts.reader import epoch_events
from aam.facts.schema import validate
from aam.facts.tables import numbers, read_tsv
from aam.loops import probe_fit, probe_kernel
from aam.training.checkpoint import BEST, load_checkpoint

from .supervised_runs import do, make_config

ESTIMATORS = ("svm", "gaussian_process", "nearest_neighbours", "linear")
OFF = BaselinesConfig(enabled=False)


@pytest.mark.parametrize("target", ["age", "body_site"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_probe_learns(tmp_path: Path, encoder: str, estimator: str, target: str) -> None:
    config = make_config(
        ProbeConfig(estimator=estimator), pretrained=encoder, data={"target": target}, baselines=OFF
    )
    events = do(config, tmp_path)
    for event in events:
        validate(event)
    moments = [event["moment"] for event in events]
    assert moments == [
        "on_start", "on_epoch_end", "on_validation_improved", "on_train_end", "on_test_end",
    ]  # fmt: skip
    metrics = events[-1]["metrics"]["test"]
    assert metrics["r2"] > 0.5 if target == "age" else metrics["auroc"] > 0.9
    assert "recipe" in load_checkpoint(tmp_path / BEST)


def test_a_probe_of_several_columns(tmp_path: Path, encoder: str) -> None:
    config = make_config(
        ProbeConfig(), pretrained=encoder, data={"target": ["age", "bmi"]}, baselines=OFF
    )
    one = do(replace(config, data=replace(config.data, target="age")), tmp_path / "one")
    both = do(config, tmp_path / "both")
    assert both[-1]["metrics"]["test"]["r2_age"] > 0.5
    assert one[-1]["metrics"]["test"].keys() < both[-1]["metrics"]["test"].keys()


def test_a_probe_asks_for_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loop=probe keeps the encoder as it is.*set pretrained="):
        do(make_config(ProbeConfig(), baselines=OFF), tmp_path)


def test_what_is_left_out_has_a_closed_form() -> None:
    """Errors of kernel ridge on blocks left out, against fitting without each block."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    y -= y.mean(axis=0)
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1))
    blocks = np.array_split(rng.permutation(20), 6)
    errors = probe_kernel._left_out_errors(kernel, y, blocks)
    for alpha, error in zip(probe_kernel.ALPHAS, errors, strict=True):
        residual = np.empty_like(y)
        for block in blocks:
            rest = np.setdiff1d(np.arange(20), block)
            inside = kernel[np.ix_(rest, rest)] + alpha * np.eye(len(rest))
            predicted = kernel[np.ix_(block, rest)] @ np.linalg.solve(inside, y[rest])
            residual[block] = y[block] - predicted
        assert error == pytest.approx(np.abs(residual).mean())


def test_the_machine_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 1))
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1))
    dual, bias = probe_fit._machines(kernel, y, 3.0, False)
    machine = SVR(kernel="precomputed", C=3.0, epsilon=probe_fit.TUBE).fit(kernel, y[:, 0])
    np.testing.assert_allclose((kernel @ dual + bias)[:, 0], machine.predict(kernel), atol=1e-9)


def test_distances_are_those_of_mean_embeddings() -> None:
    """With a linear kernel's features written out: the distance between weighted sums."""
    rng = np.random.default_rng(2)
    asv = torch.from_numpy(rng.normal(size=(7, 3)))
    counts = torch.from_numpy(rng.integers(0, 5, (4, 7)).astype(float))
    for bags in probe_kernel.make_bags(asv, counts):
        kernel = torch.exp(-(torch.cdist(bags.asv_AD, bags.asv_AD) ** 2) / (2 * bags.length2))
        root = torch.linalg.cholesky(kernel + 1e-12 * torch.eye(7))
        expected = torch.cdist(bags.weight_nA @ root, bags.weight_nA @ root)
        if bags.is_root:
            expected = expected.sqrt()
        found = bags.distances(bags.asv_AD, bags.weight_nA).fill_diagonal_(0)
        expected.fill_diagonal_(0)
        # Roots of what is 0 but for rounding.
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)


def test_a_forest_stands_beside_the_other_baselines(tmp_path: Path) -> None:
    events = do(make_config(ForestConfig(num_trees=20)), tmp_path)
    metrics = events[-1]["metrics"]["test"]
    assert metrics["mae"] < metrics["baseline_mean_mae"]
    assert "baseline_random_forest_mae" not in metrics
    table = read_tsv(tmp_path / events[-1]["artifacts"]["test"])
    error = np.abs(np.array(numbers(table["true"])) - numbers(table["predicted"]))
    assert error.mean() == pytest.approx(metrics["mae"])
    assert not (tmp_path / BEST).exists()


def test_a_network_learns(tmp_path: Path) -> None:
    config = make_config(MlpConfig(min_updates=10), epochs=8, baselines=OFF)
    epochs = epoch_events(do(config, tmp_path))
    assert epochs[-1]["val_loss"] < 0.75 * epochs[0]["val_loss"]


def test_a_shuffled_target_is_at_chance(tmp_path: Path, encoder: str) -> None:
    """The negative control, over all folds: whatever leaked would show here."""
    r2 = []
    for fold in range(3):
        config = make_config(
            ProbeConfig(),
            pretrained=encoder,
            data={"shuffle_target": True},
            split=SplitConfig(kind="kfold", folds=3, fold=fold, val_fraction=0.0),
            baselines=OFF,
        )
        r2.append(do(config, tmp_path / str(fold))[-1]["metrics"]["test"]["r2"])
    assert np.mean(r2) < 0.05


def test_the_order_of_the_file_does_not_matter(tmp_path: Path, encoder: str) -> None:
    """The same study with its samples and ASVs in another order."""
    files = write_demo(tmp_path / "study", 0)
    table = biom.load_table(str(files.table))
    order = np.random.default_rng(0).permutation
    mixed = table.sort_order(list(order(table.ids("sample"))), axis="sample").sort_order(
        list(order(table.ids("observation"))), axis="observation"
    )
    with h5py.File(tmp_path / "mixed.biom", "w") as file:
        mixed.to_hdf5(file, "test")
    tables = []
    for name, path in (("a", files.table), ("b", tmp_path / "mixed.biom")):
        data = {
            "name": "biom",
            "table": str(path),
            "tree": str(files.tree),
            "metadata": str(files.metadata),
        }
        config = make_config(ProbeConfig(), pretrained=encoder, baselines=OFF, data=data)
        do(config, tmp_path / name)
        tables.append((tmp_path / name / "predictions/test.tsv").read_text())
    assert tables[0] == tables[1]


def test_a_forest_is_rarefied_as_its_baselines_are(tmp_path: Path) -> None:
    tables = []
    for depth in (None, 50):
        data = {"rarefaction_depth": depth}
        run_dir = tmp_path / str(depth)
        do(make_config(ForestConfig(num_trees=5), data=data, baselines=OFF), run_dir)
        tables.append((run_dir / "predictions/test.tsv").read_text())
    assert tables[0] != tables[1]
