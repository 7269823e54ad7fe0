"""``loop=pretrain`` on the demo study: what it leaves behind, and what it is judged on."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aam.config import (
    Config,
    DataConfig,
    LoggingConfig,
    ModelConfig,
    PretrainConfig,
    SplitConfig,
    TrainerConfig,
)
from aam.data.batches import BatchMaker
from aam.data.splits import split_samples
from aam.data.study import load_study
from aam.errors import NonFiniteError, UserError
from aam.facts.reader import epoch_events, read_events
from aam.facts.schema import validate
from aam.loops import DISPATCH, find_loop, pretrain_draws
from aam.loops.pretrain_draws import Draws
from aam.loops.pretrain_task import METRIC_NAMES, PretrainTask
from aam.loops.run import Run
from aam.losses.targets import UnifracTargets
from aam.losses.unifrac import unifrac_metrics
from aam.models.encoder import Encoder
from aam.models.pretrain import PretrainModel
from aam.training.checkpoint import BEST, LAST, MODEL, load_checkpoint

SHAPE: dict[str, Any] = {
    "dim": 16,
    "num_heads": 2,
    "nucleotide_layers": 1,
    "sample_layers": 1,
    "patch_size": 10,
    "max_length": 150,
    "num_clades": 64,
    "sample_dropout": 0.0,
    "asv_chunk_size": 128,
    "activation_checkpointing": "none",
}


def make_config(*, epochs: int = 2, lr: float = 3e-3, **changes: Any) -> Config:
    config = Config(
        loop=PretrainConfig(min_updates=1),
        data=DataConfig(batch_size=28),
        model=ModelConfig(**SHAPE),
        optimizer={"_target_": "torch.optim.AdamW", "lr": lr, "weight_decay": 0.01},
        scheduler={"_target_": "aam.training.schedules.constant", "warmup_steps": 0},
        trainer=TrainerConfig(epochs=epochs, device="cpu", num_threads=1),
        logging=LoggingConfig(make_plots=False, tensorboard=False, console=False),
    )
    return replace(config, **changes)


def test_an_unknown_loop_lists_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"no loop=pretain: there is pretrain.*mean loop=pretrain"):
        find_loop("pretain")
    assert all(callable(find_loop(name)) for name in DISPATCH)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Four epochs with every loss on."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    run_dir.mkdir()
    loop = PretrainConfig(min_updates=1, faith_pd_weight=0.01, count_weight=0.01, mask_spans=True)
    data = DataConfig(batch_size=28, group_column="subject", rarefaction_depth=1000)
    config = make_config(epochs=4, loop=loop, data=data)
    return run_dir, find_loop("pretrain")(config, Run(run_dir=run_dir))


def test_a_run_s_facts(whole_run: tuple[Path, float]) -> None:
    run_dir, best = whole_run
    events = read_events(run_dir)
    for event in events:
        validate(event)
        for metrics in event["metrics"].values():
            assert set(metrics) <= set(METRIC_NAMES)
    moments = [event["moment"] for event in events]
    assert moments[0] == "on_start"
    assert moments[-2:] == ["on_train_end", "on_test_end"]
    assert moments.count("on_epoch_end") == 4
    epochs = epoch_events(events)
    parts = {"unifrac_loss", "nuc_loss", "faith_pd_loss", "count_loss", "grad_norm"}
    assert parts <= set(epochs[0]["metrics"]["train"])
    for split in ("train", "val"):  # the same losses make up the total of both
        found = epochs[-1]["metrics"][split]
        auxiliary = 0.01 * (found["nuc_loss"] + found["faith_pd_loss"] + found["count_loss"])
        assert found["total_loss"] == pytest.approx(found["unifrac_loss"] + auxiliary)
    assert best == min(event["val_loss"] for event in epochs)
    first, last = (event["metrics"]["train"] for event in (epochs[0], epochs[-1]))
    for name in ("unifrac_loss", "nuc_loss", "faith_pd_loss"):
        assert last[name] < first[name], name
    assert events[0]["meta"]["inputs"].keys() == {"table", "tree", "metadata"}

    written = json.loads((run_dir / "training_metrics.json").read_text())
    assert written["val_loss"] == [event["val_loss"] for event in epochs]
    assert (run_dir / MODEL).resolve() == (run_dir / BEST).resolve()
    assert load_checkpoint(run_dir / LAST)["epoch"] == 4


def test_subjects_are_never_straddled(whole_run: tuple[Path, float]) -> None:
    with (whole_run[0] / "split.tsv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    parts: dict[str, set[str]] = {}
    for sample, part in rows:
        parts.setdefault(sample.split(".")[0], set()).add(part)
    assert len(parts) == 40
    assert all(len(found) == 1 for found in parts.values())
    assert {part for _, part in rows} == {"train", "val", "test"}


def test_figures_and_pairs_agree(whole_run: tuple[Path, float]) -> None:
    """The tables in predictions/ hold the very pairs that the figures are made of."""
    run_dir = whole_run[0]
    events = read_events(run_dir)
    ends = {"on_validation_improved": "val", "on_test_end": "test"}
    told = {ends[e["moment"]]: e for e in events if e["moment"] in ends}  # the last of each
    for split, event in told.items():
        path = event["artifacts"][f"{split}_unifrac"]
        with (run_dir / path).open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        true, predicted = (np.array([float(r[k]) for r in rows]) for k in ("true", "predicted"))
        found = unifrac_metrics(predicted, true)
        shown = {name: event["metrics"][split][name] for name in found}
        assert found == pytest.approx(shown, rel=1e-5)
        assert {"nuc_loss", "nuc_accuracy"} <= set(event["metrics"][split])


def test_faith_pd_is_standardized_at_the_depth_that_is_learned() -> None:
    loop = PretrainConfig(min_updates=20, faith_pd_weight=1.0)
    draws = make_task(loop=loop).draws
    log_pd = torch.cat([given.drawn.log_pd_B for given in draws.training(0)])
    assert abs(float(log_pd.mean())) < 0.2  # of the whole samples it would be -0.5
    assert 0.8 < float(log_pd.std()) < 1.25


def test_sequences_too_long_are_refused_before_the_training(tmp_path: Path) -> None:
    config = make_config(model=ModelConfig(**SHAPE | {"max_length": 100}))
    with pytest.raises(
        UserError, match=r"150 bases but the model reads 100; set model\.max_length"
    ):
        find_loop("pretrain")(config, Run(run_dir=tmp_path))
    assert not (tmp_path / "facts").exists()


def make_task(**changes: Any) -> PretrainTask:
    data = DataConfig(rarefaction_depth=500)
    study = load_study(data)
    torch.manual_seed(0)
    encoder = Encoder(**SHAPE, unifrac="unweighted", unifrac_alpha=1.0)
    parts: dict[str, Any] = {
        "maker": BatchMaker(study, rarefaction_depth=500, token_limit=None, random_tokens=False),
        "targets": UnifracTargets(study, data),
        "split": split_samples(
            study.sample_ids, val_fraction=0.2, test_fraction=0.5, seed=0, groups=None, strata=None
        ),
        "loop": PretrainConfig(min_updates=1),
        "batch_size": 12,
        "seed": 3,
    }
    model = PretrainModel(encoder, dim=SHAPE["dim"])
    return PretrainTask(model, Draws(**parts | changes), torch.device("cpu"))


def batch_keys(task: PretrainTask, epoch: int) -> list[tuple[Any, ...]]:
    return [
        (
            given.drawn.batch.sample_ids,
            given.drawn.batch.rows.toarray().tobytes(),
            given.view.tokens.numpy().tobytes(),
        )
        for given in task.training_batches(epoch)
    ]


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    task = make_task()
    third = batch_keys(task, 3)
    assert len(third) == task.num_steps() == 4
    assert third == batch_keys(make_task(), 3)
    assert third != batch_keys(task, 2)
    assert third != batch_keys(make_task(seed=4), 3)
    # A batch draws its masks anew, though it be of the same samples.
    views = {key[2] for epoch in (0, 1) for key in batch_keys(task, epoch)}
    assert len(views) == 2 * task.num_steps()
    # A small study's epoch is several whole passes, each in an order of its own.
    long = make_task(loop=PretrainConfig(min_updates=9))
    assert long.num_steps() == len(list(long.training_batches(0))) == 12


def test_an_evaluation_draws_nothing_and_is_free_of_noise() -> None:
    """The trap of the published port: two looks at one sample must be at distance 0."""
    task = make_task()
    task.model.eval()
    with torch.no_grad():
        first = task.evaluate("val")
        torch.manual_seed(99)
        list(task.training_batches(0))
        again = task.evaluate("val")
        other = task.evaluate("test")
        predicted, _ = task._predict(task._held["test"])
    assert first.metrics == again.metrics
    assert first.tables == again.tables
    assert set(other.metrics) == set(first.metrics)
    assert np.abs(np.diagonal(predicted)).max() < 1e-5
    assert predicted.max() > 1e-3

    # 80 test samples are two batches: the pairs across them are there as if it were one.
    maker, samples = task.draws.maker, task.draws.split.test
    batches = task._held["test"].batches
    assert len(batches) == 2
    whole = maker.fixed(batches[0][0].batch.rows, samples[:64])
    with torch.no_grad():
        encoder = task.model.encoder
        encoded = encoder(whole.tokens, whole.asv_index, whole.counts, whole.mask)
        distances = encoder.unifrac.distances(encoded.clades_BK).numpy()
    np.testing.assert_allclose(predicted[:64, :64], distances, atol=1e-5)


def test_an_evaluation_may_be_of_a_draw_of_samples_and_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = replace(make_task().draws.split, val=np.empty(0, np.int64))
    assert make_task(split=empty).evaluate("val") is None
    few = make_task(loop=PretrainConfig(min_updates=1, max_eval_samples=10))
    with torch.no_grad():
        whole = few.evaluate("test").tables["test_unifrac"]
        monkeypatch.setattr(pretrain_draws, "MAX_PAIRS_KEPT", 20)
        drawn = make_task(loop=few.draws.loop).evaluate("test").tables["test_unifrac"]
    assert len(whole["true"]) == 45
    rows = list(zip(*drawn.values(), strict=True))
    assert len(set(rows)) == 20
    assert set(rows) <= set(zip(*whole.values(), strict=True))
    assert len({row[0] for row in rows}) > 5  # not the first samples alone


@pytest.mark.parametrize(
    ("fractions", "said"),
    [((0.006, 0.2), "val part .* has 1 sample"), ((0.495, 0.5), "train part .* has 1 sample")],
)
def test_a_part_of_one_sample_is_refused(fractions: tuple[float, float], said: str) -> None:
    split = SplitConfig(val_fraction=fractions[0], test_fraction=fractions[1])
    with pytest.raises(UserError, match=said):
        find_loop("pretrain")(make_config(split=split), Run(run_dir=None))


@pytest.mark.parametrize("metric", ["weighted", "generalized"])
def test_other_metrics_and_bf16_train(metric: str) -> None:
    data = DataConfig(batch_size=56, unifrac=metric, unifrac_alpha=0.5)
    trainer = TrainerConfig(epochs=1, device="cpu", num_threads=1, precision="bf16")
    best = find_loop("pretrain")(make_config(data=data, trainer=trainer), Run(run_dir=None))
    assert 0 < best < 1


def test_weights_that_explode_stop_the_run(tmp_path: Path) -> None:
    config = make_config(lr=1e30, epochs=3)
    with pytest.raises(NonFiniteError, match=r"is nan in epoch .* samples P\d\d"):
        find_loop("pretrain")(config, Run(run_dir=tmp_path))
    events = read_events(tmp_path)
    assert events[-1]["moment"] == "on_exception"
    for event in events:
        validate(event)
