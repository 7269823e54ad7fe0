"""``loop=finetune``: what it starts from, what it leaves, and what may not change."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aam.config import BaselinesConfig, DataConfig, ModelConfig, SplitConfig
from aam.data.demo import write_demo
from aam.data.study import load_study
from aam.errors import UserError
from aam.facts.reader import epoch_events, read_events
from aam.facts.schema import validate
from aam.facts.tables import numbers, read_tsv
from aam.loops import find_loop
from aam.loops.run import Run
from aam.losses.metrics import classification_metrics, regression_metrics
from aam.training.checkpoint import BEST, LAST, load_checkpoint

from .supervised_runs import SHAPE, do, finetuning, make_config

OFF = BaselinesConfig(enabled=False)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory, encoder: str) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    loop = finetuning(unifrac_weight=0.1, count_weight=0.1)
    do(make_config(loop, epochs=3, pretrained=encoder, data={"batch_column": "body_site"}), run_dir)
    return run_dir


def test_a_run_s_facts(whole_run: Path) -> None:
    events = read_events(whole_run)
    for event in events:
        validate(event)
    start, end = events[0], events[-1]
    assert start["meta"]["target"] == {
        "task": "regression",
        "columns": ["age"],
        "classes": [],
        "group_column": "subject",
        "split": {"kind": "random", "fold": 0, "folds": 5, "repeats": 1, "seed": 0},
    }
    epochs = epoch_events(events)
    trained = epochs[-1]["metrics"]["train"]
    parts = {"target_loss", "unifrac_loss", "count_loss"}
    assert parts | {"total_loss", "grad_norm"} == trained.keys()
    weighted = trained["target_loss"] + 0.1 * (trained["unifrac_loss"] + trained["count_loss"])
    assert trained["total_loss"] == pytest.approx(weighted, rel=1e-5)
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    names = {"mean", "batch_mean", "random_forest", "kernel_unifrac", "linear_clr"}
    for metrics in (start["metrics"]["val"], end["metrics"]["test"]):
        assert {f"baseline_{name}_mae" for name in names} < metrics.keys()


def test_figures_are_those_of_the_tables(whole_run: Path) -> None:
    """In the target's own unit, for the model and for each baseline, on the same samples."""
    end = read_events(whole_run)[-1]
    table = read_tsv(whole_run / end["artifacts"]["test"])
    split = read_tsv(whole_run / "split.tsv")
    parts = dict(zip(split["sample-id"], split["part"], strict=True))
    assert {parts[name] for name in table["sample-id"]} == {"test"}
    study = load_study(DataConfig(name="demo"))
    assert study.metadata is not None
    ages = dict(zip(study.sample_ids, study.metadata.columns["age"].numeric(), strict=True))
    assert numbers(table["true"]) == [ages[name] for name in table["sample-id"]]
    assert judged(table) == pytest.approx({k: end["metrics"]["test"][k] for k in judged(table)})
    beside = read_tsv(whole_run / end["artifacts"]["test_baselines"])
    chosen = [k for k, name in enumerate(beside["baseline"]) if name == "random_forest"]
    forest = {name: [column[k] for k in chosen] for name, column in beside.items()}
    assert forest["sample-id"] == table["sample-id"]
    mae = end["metrics"]["test"]["baseline_random_forest_mae"]
    assert judged(forest)["mae"] == pytest.approx(mae)


def test_groups_never_straddle(whole_run: Path) -> None:
    split = read_tsv(whole_run / "split.tsv")
    part_of: dict[str, set[str]] = {}
    for name, part in zip(split["sample-id"], split["part"], strict=True):
        part_of.setdefault(name.partition(".")[0], set()).add(part)
    assert len(part_of) == 40
    assert all(len(parts) == 1 for parts in part_of.values())


@pytest.mark.parametrize(
    ("freeze", "moves"),
    [("none", {"nucleotides", "samples"}), ("nucleotide", {"samples"}), ("all", set())],
)
def test_what_is_frozen_stays(tmp_path: Path, encoder: str, freeze: str, moves: set[str]) -> None:
    do(make_config(finetuning(), pretrained=encoder, freeze=freeze, baselines=OFF), tmp_path)
    before, after = (load_checkpoint(Path(p) / BEST)["model"] for p in (encoder, tmp_path))
    shared = [name for name in before if name.startswith("encoder.")]
    moved = {name.split(".")[1] for name in shared if not torch.equal(before[name], after[name])}
    assert moved - {"unifrac"} == moves


def test_a_frozen_level_is_looked_up_not_run(tmp_path: Path, encoder: str) -> None:
    """An encoder that learns nothing is one that is frozen: the same figures either way."""
    losses = []
    for freeze, rate in (("nucleotide", 0.1), ("none", 0.0)):
        config = make_config(
            finetuning(encoder_lr=rate), epochs=1, pretrained=encoder, freeze=freeze, baselines=OFF
        )
        if freeze == "nucleotide":  # the sample level must not learn either
            config.loop = finetuning(encoder_lr=0.0)
        events = do(config, tmp_path / freeze)
        losses.append(epoch_events(events)[-1]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_shape_is_that_of_the_pretrained_encoder(tmp_path: Path, encoder: str) -> None:
    config = make_config(finetuning(), epochs=1, pretrained=encoder, baselines=OFF)
    do(replace(config, model=ModelConfig()), tmp_path / "default")
    saved = load_checkpoint(tmp_path / "default" / BEST)["config"]["model"]
    assert {key: saved[key] for key in SHAPE} == SHAPE
    other = replace(config, model=ModelConfig(**SHAPE | {"dim": 24, "patch_size": 5}))
    with pytest.raises(
        UserError,
        match=r"model.dim=24 \(pretrained: 16\), model.patch_size=5 \(pretrained: 10\); leave",
    ):
        do(other, tmp_path / "other")


def test_classes_covariates_and_weights(tmp_path: Path, encoder: str) -> None:
    loop = finetuning(
        class_weights="balanced", label_smoothing=0.1, head="residual", covariate_fusion="gated"
    )
    data = {"target": "body_site", "covariates": ["age", "bmi"]}
    events = do(make_config(loop, pretrained=encoder, data=data, epochs=3), tmp_path)
    end = events[-1]
    assert end["metrics"]["test"]["auroc"] > 0.6
    table = read_tsv(tmp_path / end["artifacts"]["test"])
    classes = ("gut", "skin", "tongue")
    probability = np.array([numbers(table[f"probability_{one}"]) for one in classes]).T
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-6)
    assert table["predicted"] == [classes[k] for k in probability.argmax(1)]
    true = np.array([classes.index(one) for one in table["true"]])
    found = classification_metrics(true, probability)
    assert found == pytest.approx({name: end["metrics"]["test"][name] for name in found})
    recipe = load_checkpoint(tmp_path / BEST)["recipe"]
    assert [one["name"] for one in recipe["covariates"]] == ["age", "bmi"]


def test_several_columns_and_each_head(tmp_path: Path) -> None:
    for head in ("linear", "mlp"):
        loop = finetuning(head=head, loss="quantile", transform="log_minmax")
        events = do(make_config(loop, data={"target": ["age", "bmi"]}), tmp_path / head)
        table = read_tsv(tmp_path / head / events[-1]["artifacts"]["test"])
        assert {"true_age", "predicted_age", "true_bmi", "predicted_bmi"} < table.keys()
        assert {"mae", "mae_age", "r2_bmi"} < events[-1]["metrics"]["test"].keys()


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path: Path, encoder: str) -> None:
    config = make_config(
        finetuning(head_dropout=0.3), epochs=4, pretrained=encoder, data={"rarefaction_depth": 1000}
    )
    do(config, tmp_path / "whole")
    short = replace(config, trainer=replace(config.trainer, epochs=2))
    do(short, tmp_path / "parts")
    do(config, tmp_path / "parts", resume=True)
    ends = [load_checkpoint(tmp_path / name / LAST)["model"] for name in ("whole", "parts")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    tables = [(tmp_path / name / "predictions/test.tsv").read_text() for name in ("whole", "parts")]
    assert tables[0] == tables[1]


def test_a_frozen_run_goes_on_without_the_pretrained_one(tmp_path: Path, encoder: str) -> None:
    """What was taken from it is in the run's own checkpoint."""
    mine = tmp_path / "pretrain"
    shutil.copytree(encoder, mine, symlinks=True)
    config = make_config(
        finetuning(), epochs=4, pretrained=str(mine), freeze="nucleotide", baselines=OFF
    )
    do(config, tmp_path / "whole")
    do(replace(config, trainer=replace(config.trainer, epochs=2)), tmp_path / "parts")
    shutil.rmtree(mine)
    do(config, tmp_path / "parts", resume=True)
    tables = [(tmp_path / name / "predictions/test.tsv").read_text() for name in ("whole", "parts")]
    assert tables[0] == tables[1]


def test_test_samples_have_no_influence(tmp_path: Path, encoder: str) -> None:
    """Without them, the training is the same."""
    config = make_config(finetuning(), pretrained=encoder, freeze="nucleotide", baselines=OFF)
    whole = do(config, tmp_path / "whole")
    split = read_tsv(tmp_path / "whole" / "split.tsv")
    files = write_demo(tmp_path / "study", 0)
    lines = files.metadata.read_text().splitlines()
    tested = {
        name for name, p in zip(split["sample-id"], split["part"], strict=True) if p == "test"
    }
    kept = [line for line in lines if line.split("\t")[0] not in tested]
    (tmp_path / "some.tsv").write_text("\n".join(kept) + "\n")
    data = {
        "name": "biom",
        "table": str(files.table),
        "tree": str(files.tree),
        "metadata": str(tmp_path / "some.tsv"),
    }
    given = SplitConfig(kind="file", file=str(tmp_path / "whole" / "split.tsv"))
    fewer = make_config(
        finetuning(), pretrained=encoder, freeze="nucleotide", baselines=OFF, data=data, split=given
    )
    again = do(fewer, tmp_path / "fewer")
    curves = [[event["val_loss"] for event in epoch_events(events)] for events in (whole, again)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_what_is_said_before_the_training(tmp_path: Path, caplog: Any) -> None:
    data = {"group_column": None, "covariates": ["body_site"]}
    with caplog.at_level(logging.WARNING):
        do(make_config(finetuning(), epochs=1, baselines=OFF, data=data), tmp_path)
    assert "age: numbers, so task=regression" in caplog.text
    assert "samples of one subject (40 in 160 samples) may stand on both sides" in caplog.text
    assert "the model is given body_site: if they tell the target" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"freeze": "all"}, "freeze=all keeps the encoder as it is, and a fresh one knows nothing"),
        ({"data": {"target": "age", "covariates": ["nothing"]}}, "has no column 'nothing'"),
        ({"pretrained": "nowhere"}, "there is no checkpoint nowhere"),
        ({"data": {"target": "body_site"}, "task": "regression"}, "body_site is categorical"),
        ({"split": SplitConfig(val_fraction=0.98, test_fraction=0.01)}, "cannot be split"),
    ],
)
def test_what_cannot_be(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    config = make_config(finetuning(), **changes)
    with pytest.raises(UserError, match=said):
        find_loop("finetune")(config, Run(run_dir=tmp_path))


def judged(table: dict[str, list[str]]) -> dict[str, float]:
    """Figures recomputed from a table of predictions."""
    true, predicted = (np.array(numbers(table[k]))[:, None] for k in ("true", "predicted"))
    return regression_metrics(true, predicted)
