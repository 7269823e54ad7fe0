"""``aam-facts export`` writes what pandas reads back."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from aam.facts.reader import read_events


@pytest.fixture
def two_runs(sweep_run) -> list[Path]:
    mae = {"metrics": {"mae": [8.0, 7.0]}, "loop__name": "finetune"}
    one = sweep_run(
        "one",
        [0.4, 0.3],
        test={"mae": 7.5},
        baselines={"baseline_random_forest_mae": 9.0, "baseline_knn_unifrac_mae": 8.5},
        **mae,
    )
    two = sweep_run(
        "two", [0.5, 0.6], end="on_stop", optimizer__lr=1e-05, run_name="yes, it is", **mae
    )
    return [one, two]


def frame(path: Path) -> pd.DataFrame:
    return (
        pd.read_parquet(path)
        if path.suffix == ".parquet"
        else pd.read_csv(path, sep=None, engine="python")
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_row_is_one_epoch_of_one_run_on_one_part(aam_facts, two_runs, tmp_path, suffix):
    path = tmp_path / "new" / f"runs{suffix}"
    code, out, err = aam_facts("export", *two_runs, f"output={path}")
    assert (code, out, err) == (0, f"Written: {path} (13 rows of 2 runs)\n", "")
    table = frame(path)
    assert list(table) == [
        "run", "run_dir", "run_id", "loop", "data", "state", "optimizer.lr", "run_name",
        "epoch", "is_best", "split", "predictor", "loss", "step", "lr",
        "epoch_time_s", "total_time_s", "throughput", "max_memory_mib", "mae",
    ]  # fmt: skip
    of_one, of_two = table[table.run == "one"], table[table.run == "two"]
    assert of_one.run_dir.unique().tolist() == [str(two_runs[0])]
    assert of_one["optimizer.lr"].unique().tolist() == [0.001]
    assert of_two["run_name"].unique().tolist() == ["yes, it is"]
    assert of_one["run_name"].isna().all()
    assert (of_one.state.unique(), of_two.state.unique()) == (["finished"], ["stopped"])
    model = of_one[of_one.predictor == "model"]
    assert model[["epoch", "split", "loss", "is_best"]].values.tolist() == [
        [0, "train", 0.2, False],
        [0, "val", 0.4, False],
        [1, "train", 0.15, True],
        [1, "val", 0.3, True],
        [1, "test", 1.1 * 0.3, True],
    ]
    assert model.mae.dropna().tolist() == [8.0, 7.0, 7.5]
    assert model.epoch_time_s.tolist()[:3:2] == [2.0, 2.0]
    assert model.epoch_time_s.sum() == 4.0  # once an epoch
    others = of_one[of_one.predictor != "model"]
    assert others[["split", "predictor", "mae"]].values.tolist() == [
        [split, name, value]
        for split in ("val", "test")
        for name, value in (("random_forest", 9.0), ("knn_unifrac", 8.5))
    ]
    assert others.epoch.isna().all()
    assert table.is_best.dtype == bool


def test_what_a_resume_has_done_again_counts_once(aam_facts, sweep_run, tmp_path):
    run = sweep_run("one", [0.4, 0.3, 0.2, 0.5])
    lines = (run / "facts" / "events.jsonl").read_text().splitlines(keepends=True)
    events = read_events(run)
    resume = events[0] | {"moment": "on_resume", "epoch": 1}
    again = events[2] | {"val_loss": 0.9}  # epoch 1
    torn = lines[3][:50]
    told = [*lines[:5], '{"foreign": 1}\n', "not json\n", f"{json.dumps(resume)}\n"]
    (run / "facts" / "events.jsonl").write_text("".join([*told, json.dumps(again), "\n", torn]))
    aam_facts("export", run, f"output={tmp_path / 'x.csv'}")
    table = frame(tmp_path / "x.csv")
    val = table[table.split == "val"]
    assert val[["epoch", "loss"]].values.tolist() == [[0, 0.4], [1, 0.9]]
    assert set(table.split) == {"train", "val"}


def test_metrics_never_take_the_name_of_another_column(aam_facts, sweep_run, tmp_path):
    run = sweep_run("one", [0.4], metrics={"lr": [5.0], "run": [6.0]})
    aam_facts("export", run, f"output={tmp_path / 'x.csv'}")
    table = frame(tmp_path / "x.csv")
    assert table.metric_lr.dropna().tolist() == [5.0]
    assert table.metric_run.dropna().tolist() == [6.0]
    assert set(table.lr.dropna()) == {0.001}


def test_runs_without_numbers_are_named(aam_facts, sweep_run, tmp_path, monkeypatch):
    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path))
    sweep_run("begun", [], end="")
    (tmp_path / "empty" / "facts").mkdir(parents=True)
    (tmp_path / "empty" / "facts" / "events.jsonl").touch()
    odd = sweep_run("odd", [0.1])
    (odd / ".hydra" / "config.yaml").write_text("loop: [")
    code, out, err = aam_facts("export", f"output={tmp_path / 'x.parquet'}")
    assert (code, out) == (0, f"Written: {tmp_path / 'x.parquet'} (3 rows of 1 run)\n")
    assert err == "2 runs without any number (yet) and so without a row: begun, empty\n"
    assert frame(tmp_path / "x.parquet").run.unique() == ["odd"]
    (tmp_path / "odd" / "facts" / "events.jsonl").write_text("")
    assert aam_facts("export", f"output={tmp_path / 'x.parquet'}")[0] == 0
    assert len(frame(tmp_path / "x.parquet")) == 0


def test_without_pyarrow_there_is_csv(aam_facts, two_runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = aam_facts("export", *two_runs, f"output={tmp_path / 'x.parquet'}")
    assert code == 2
    assert err == (
        f"output={tmp_path / 'x.parquet'} needs pyarrow, which is not installed: pip install "
        "'aam[parquet]', or write a .csv\n"
    )
    assert not list(tmp_path.glob("*x.parquet*"))


def test_what_cannot_be_written_is_a_mistake_in_output(aam_facts, two_runs, tmp_path):
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    for path, why in ((folder, "Is a directory"), (folder / "x" / "y.csv", "its folder is a file")):
        (folder / "x").touch()
        code, out, err = aam_facts("export", *two_runs, f"output={path}")
        assert (code, out, err) == (2, "", f"output={path} cannot be written: {why}\n")
    assert [path.name for path in tmp_path.glob(".folder*")] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "aam-facts export needs output=FILE, which ends in one of .csv, .tsv, .parquet"),
        (
            ["output=x.xlsx"],
            "output=x.xlsx must end in one of .csv, .tsv, .parquet, which say what it will be",
        ),
        (["--json"], "aam-facts export takes no --json: there is FOLDER … and output=FILE"),
    ],
)
def test_a_mistake_gets_one_sentence(aam_facts, words, sentence):
    assert aam_facts("export", *words) == (2, "", f"{sentence}\n")
