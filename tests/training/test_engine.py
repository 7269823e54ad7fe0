"""The engine on a toy task: updates against torch's own, facts, and what ends a run early."""

from pathlib import Path

import pytest
import torch

from aam.errors import NonFiniteError, UserError
from aam.facts.reader import epoch_events, read_events
from aam.training.checkpoint import BEST, LAST, MODEL, load_checkpoint

from .toys import NUM_SAMPLES, ToyTask, make_config, moments, run_toy, weights


def test_accumulating_is_a_larger_batch() -> None:
    small, large = ToyTask(batch_size=4), ToyTask(batch_size=8)
    run_toy(small, make_config(accumulate=2))
    run_toy(large, make_config())
    for name, expected in weights(large).items():
        torch.testing.assert_close(weights(small)[name], expected, msg=name)


def test_a_shorter_last_group_is_averaged_over_its_own_number(tmp_path: Path) -> None:
    """Three batches, two a group: the updates are of 16 and of 8 samples, by plain torch."""
    task, plain = ToyTask(batch_size=8), ToyTask(batch_size=8)
    run_toy(task, make_config(accumulate=2, epochs=1), tmp_path / "run")
    optimizer = torch.optim.SGD(plain.model.parameters(), lr=0.05)
    rows = torch.cat([rows for _, _, rows in plain.training_batches(0)])
    norms = []
    for part in rows.split(16):
        optimizer.zero_grad()
        plain.step((0, 0, part)).loss.backward()
        norms.append(torch.nn.utils.get_total_norm(p.grad for p in plain.model.parameters()))
        optimizer.step()
    for name, expected in weights(plain).items():
        torch.testing.assert_close(weights(task)[name], expected, msg=name)
    (epoch,) = epoch_events(read_events(tmp_path / "run"))
    assert epoch["step"] == 2
    weighted = (2 * norms[0] + norms[1]) / 3  # each update counts by its batches
    assert epoch["metrics"]["train"]["grad_norm"] == pytest.approx(float(weighted), rel=1e-5)


def test_clipping_bounds_the_update_and_reports_the_whole_norm(tmp_path: Path) -> None:
    task = ToyTask(batch_size=NUM_SAMPLES)
    before = weights(task)
    config = make_config(optimizer={"lr": 1.0}, max_grad_norm=0.01, epochs=1)
    run_toy(task, config, tmp_path / "run")
    moved = [weights(task)[name] - before[name] for name in before]
    assert float(torch.nn.utils.get_total_norm(moved)) == pytest.approx(0.01, rel=1e-3)
    (epoch,) = epoch_events(read_events(tmp_path / "run"))
    assert epoch["metrics"]["train"]["grad_norm"] > 1


def test_a_whole_run_in_facts(tmp_path: Path) -> None:
    run, task = tmp_path / "run", ToyTask()
    best = run_toy(task, make_config(epochs=3), run)
    whole = ["on_epoch_end", "on_validation_improved"] * 3
    assert moments(run) == ["on_start", *whole, "on_train_end"]
    events = read_events(run)
    epochs = epoch_events(events)
    assert [event["step"] for event in epochs] == [6, 12, 18]
    assert best == epochs[-1]["val_loss"] == epochs[-1]["best"]["value"]
    assert epochs[0]["metrics"]["val"] == {
        "total_loss": epochs[0]["val_loss"],
        "mae": epochs[0]["metrics"]["val"]["mae"],
    }
    artifacts = events[2]["artifacts"]
    assert artifacts == {"best_model": BEST, "val_toy": "predictions/val_toy.tsv"}
    assert all((run / path).is_file() for path in artifacts.values())
    assert (run / MODEL).readlink() == Path(BEST)
    assert load_checkpoint(run / LAST)["epoch"] == 3


def test_nothing_is_written_where_nothing_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_toy(ToyTask(), make_config()) > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mishap", "named", "why"),
    [
        ("loss", "total_loss is nan", ""),
        ("part", "mae is inf", ""),
        ("gradient", "grad_norm is nan", ", by the gradient of 0.weight"),
        ("large gradient", "grad_norm is inf", ", though no gradient is"),
    ],
)
def test_what_is_not_finite_stops_before_the_update(
    tmp_path: Path, mishap: str, named: str, why: str
) -> None:
    run, task = tmp_path / "run", ToyTask(batch_size=12, mishap={(1, 1): mishap})
    with pytest.raises(NonFiniteError, match=named):
        run_toy(task, make_config(), run)
    assert moments(run)[-1] == "on_exception"
    event = read_events(run)[-1]
    batch = next(iter(ToyTask(batch_size=12).training_batches(1)))[2]
    ids = [f"sample{i}" for i in batch.tolist()]
    assert event["error"]["message"] == (
        f"{named} in epoch 2, update 3{why}, samples {', '.join(ids[:3])} and 9 more; the update "
        "was not made; try a lower optimizer.lr or trainer.max_grad_norm=1"
    )
    assert event["error"]["samples"] == ids
    assert event["error"]["type"] == "NonFiniteError"
    assert (event["epoch"], event["step"]) == (1, 2)
    last = load_checkpoint(run / LAST)
    assert last["epoch"] == 1
    for name, tensor in weights(task).items():  # as the last good epoch left them
        assert torch.equal(tensor, last["model"][name])


def test_a_gradient_that_is_not_finite_names_the_samples_of_all_its_batches(
    tmp_path: Path,
) -> None:
    task = ToyTask(batch_size=8, mishap={(0, 1): "gradient"})
    with pytest.raises(NonFiniteError, match=r"grad_norm is nan in epoch 1, update 1, ") as raised:
        run_toy(task, make_config(accumulate=2), tmp_path / "run")
    batches = [rows for _, _, rows in ToyTask(batch_size=8).training_batches(0)][:2]
    ids = tuple(f"sample{i}" for i in torch.cat(batches).tolist())
    assert raised.value.sample_ids == ids


def test_a_validation_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    run, task = tmp_path / "run", ToyTask(mishap={1: "validation"})
    with pytest.raises(NonFiniteError, match=r"loss is nan after epoch 2, .*; try a lower"):
        run_toy(task, make_config(), run)
    assert moments(run)[-1] == "on_exception"
    assert load_checkpoint(run / LAST)["epoch"] == load_checkpoint(run / BEST)["epoch"] == 1


def test_a_watched_figure_that_is_never_defined_is_refused(tmp_path: Path) -> None:
    task = ToyTask(mishap={0: "no figure"})
    with pytest.raises(UserError, match=r"best_metric=mae is nan after epoch 1.*choose another"):
        run_toy(task, make_config(best_metric="mae"), tmp_path / "run")


def test_any_other_error_is_a_fact_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cable"):
        run_toy(ToyTask(mishap={(0, 2): "error"}), make_config(), tmp_path / "run")
    assert moments(tmp_path / "run") == ["on_start", "on_exception"]
    error = read_events(tmp_path / "run")[-1]["error"]
    assert "the cable fell out" in error["traceback"]


def test_time_is_a_limit_too() -> None:
    task = ToyTask()
    run_toy(task, make_config(epochs=50, max_minutes=1e-9))
    assert task.epochs_asked == [0]


def test_the_watched_figure_must_be_one_that_there_is() -> None:
    with pytest.raises(UserError, match=r"best_metric=val_mae is not one of .*did you mean mae"):
        run_toy(ToyTask(), make_config(best_metric="val_mae"))
    with pytest.raises(UserError, match=r"best_metric=grad_norm is not one of val_loss, total_l"):
        run_toy(ToyTask(), make_config(best_metric="grad_norm"))
    with pytest.raises(UserError, match=r"best_metric=mae needs validation samples"):
        run_toy(ToyTask(), make_config(best_metric="mae"), num_val=0)
    assert run_toy(ToyTask(), make_config(best_metric="mae")) > 0


def test_without_validation_the_training_loss_decides(tmp_path: Path) -> None:
    task = ToyTask(mishap=dict.fromkeys(range(3), "no validation"))
    best = run_toy(task, make_config(), tmp_path / "run", num_val=0)
    last = epoch_events(read_events(tmp_path / "run"))[-1]
    assert last["best"] == {"epoch": 2, "metric": "train_loss", "value": last["train_loss"]}
    assert best == last["train_loss"]
    assert last["val_loss"] is None


@pytest.mark.parametrize("kept", [True, False])
def test_the_best_model_is_tested_not_the_last(tmp_path: Path, kept: bool) -> None:
    """Also where nothing may be written."""
    task = ToyTask(mishap=dict.fromkeys((1, 2), "bad validation"))
    run_toy(task, make_config(), tmp_path / "run" if kept else None)
    after_one_epoch = ToyTask()
    run_toy(after_one_epoch, make_config(epochs=1))
    (tested,) = task.tested
    for name, tensor in weights(after_one_epoch).items():
        assert torch.equal(tested[name], tensor), name
