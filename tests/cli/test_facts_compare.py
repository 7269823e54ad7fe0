"""``aam-facts compare`` and ``best`` on folders of sweeps."""

import json
from pathlib import Path

import pytest

from aam.facts.tables import read_tsv

HEAVY = {"torch", "hydra", "omegaconf", "pandas", "skbio", "sklearn", "pyarrow", "matplotlib"}


@pytest.fixture
def sweep(sweep_run, tmp_path) -> Path:
    """Two learning rates with two seeds, one of which died; a job that never came to its data."""
    best = {"test": {"unifrac_r2": 0.7}, "metrics": {"unifrac_r2": [0.1, 0.6, 0.8, 0.7]}}
    worse = {"test": {"unifrac_r2": 0.2}, "metrics": {"unifrac_r2": [0.1, 0.2, 0.3, 0.2]}}
    sweep_run("exp/run_job000", [0.4, 0.3, 0.20, 0.25], optimizer__lr=0.01, **best)
    sweep_run("exp/run_job001", [0.4, 0.3, 0.22, 0.25], optimizer__lr=0.01, trainer__seed=1, **best)
    sweep_run("exp/run_job002", [0.8, 0.7, 0.51, 0.65], **worse)
    sweep_run("exp/run_job003", [0.7, 0.6], trainer__seed=1, end="", **worse)
    (tmp_path / "exp" / "run_job004" / ".hydra").mkdir(parents=True)
    (tmp_path / "exp" / "run_job004" / ".hydra" / "config.yaml").touch()
    return tmp_path / "exp"


def test_compare_prints_the_leaderboard_and_writes_nothing(aam_facts, sweep):
    before = sorted(sweep.rglob("*"))
    code, out, err = aam_facts("compare", sweep)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "loop=pretrain, data/table.biom: 2 settings, 4 runs",
        "Ranked by val_loss of the validation at each run's best epoch, lower is better; mean ± sd "
        "over a setting's runs.",
        "",
        "  #  optimizer.lr         val loss        test loss  val UniFrac R²  test UniFrac R²  "
        "best epoch  runs",
        "  1  0.01          0.2100 ± 0.0141  0.2310 ± 0.0156   0.800 ± 0.000    0.700 ± 0.000  "
        "    3 of 4  job000, job001",
        "  2  0.001                  0.5100           0.5610           0.300            0.200  "
        "    3 of 4  job002",
        "",
        "Not in the ranking:",
        "  died  2/4 epochs, val_loss 0.6000 so far  optimizer.lr=0.001  job003",
        "",
        "Row 1 is better than row 2 by 0.3000 in val_loss; a single run says nothing of the "
        "spread: repeat both settings with trainer.seed=0,1,2.",
        "Not all rows have the same seeds and splits: 2 lack some, so the means are over different "
        "ones.",
        "Row 1 was chosen by its validation value, which is therefore too good: report its test "
        "value, which had no part in the choice.",
        "",
        "Empty, no start in the facts (train.log may say why):",
        f"  {sweep / 'run_job004'}",
    ]
    assert sorted(sweep.rglob("*")) == before


def test_output_takes_table_and_figure(aam_facts, sweep, tmp_path):
    output = tmp_path / "new" / "folder"
    code, out, _ = aam_facts("compare", sweep, f"output={output}", "by=test", "metric=unifrac_r2")
    assert code == 0
    assert out.splitlines()[-3:] == [
        "Written:", f"  {output / 'leaderboard.tsv'}", f"  {output / 'curves.png'}",
    ]  # fmt: skip
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")
    columns = read_tsv(output / "leaderboard.tsv")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    assert [(row["rank"], row["optimizer.lr"]) for row in rows] == [("1", "0.01"), ("2", "0.001")]
    assert rows[0] | {"run_dirs": ""} == {
        "table": "1",
        "kind": "loop=pretrain, data/table.biom",
        "rank": "1",
        "optimizer.lr": "0.01",
        "metric": "unifrac_r2",
        "by": "test",
        "test_unifrac_r2": "0.7",
        "test_unifrac_r2_sd": "0.0",
        "val_unifrac_r2": "0.8",
        "val_unifrac_r2_sd": "0.0",
        "num_finished": "2",
        "num_unfinished": "0",
        "run_dirs": "",
    }
    assert rows[0]["run_dirs"].split() == [str(sweep / f"run_job00{k}") for k in (0, 1)]


def test_several_kinds_have_a_table_and_a_figure_each(aam_facts, sweep, sweep_run, tmp_path):
    sweep_run("exp/run_other", [0.3, 0.2], loop__name="finetune")
    sweep_run("exp/run_third", [0.3], loop__name="probe")
    code, out, _ = aam_facts("compare", sweep, f"output={tmp_path / 'o'}")
    assert code == 0
    assert out.startswith("3 tables: what differs in loop, data, target or kind of split is not ra")
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {"leaderboard.tsv", "curves-1.png", "curves-2.png"}  # the third has one epoch
    assert read_tsv(tmp_path / "o" / "leaderboard.tsv")["table"] == ["1", "1", "2", "3"]


def test_json_says_the_same(aam_facts, sweep):
    code, out, err = aam_facts("compare", sweep, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["empty"] == [str(sweep / "run_job004")]
    (table,) = document["tables"]
    assert {key: table[key] for key in ("metric", "by", "columns", "why_unranked")} == {
        "metric": "val_loss", "by": "val", "columns": ["optimizer.lr"], "why_unranked": None,
    }  # fmt: skip
    first, second = table["rows"]
    assert (first["rank"], first["setting"]) == (1, {"optimizer.lr": "0.01"})
    assert first["val"]["val_loss"]["mean"] == pytest.approx(0.21)
    assert first["val"]["val_loss"]["number"] == 2
    assert first["test"]["unifrac_r2"]["mean"] == pytest.approx(0.7)
    assert first["runs"][1] | {"run_id": "", "test": 0} == {
        "run_dir": str(sweep / "run_job001"),
        "run_id": "",
        "state": "finished",
        "replicate": {"split.seed": "0", "split.fold": "0", "trainer.seed": "1"},
        "num_epochs": 4,
        "best": {"epoch": 2, "metric": "val_loss", "value": 0.22},
        "val": 0.22,
        "test": 0,
    }
    assert [run["state"] for run in second["unfinished"]] == ["died"]
    assert table["lead"] == {
        "difference": pytest.approx(0.21 - 0.51), "interval": None, "over": "seed", "number": 0,
        "is_beyond": False,
    }  # fmt: skip
    assert table["verdict"].startswith("Row 1 is better than row 2 by ")
    assert len(table["notes"]) == 2


def test_best_prints_the_folder_alone(aam_facts, sweep):
    code, out, err = aam_facts("best", sweep)
    folder = sweep / "run_job000"
    assert (code, out) == (0, f"{folder}\n")
    assert err.splitlines() == [
        "2 of 5 runs are not finished and had no part in the choice",
        f"{folder} holds no model.pt: there is nothing to predict with",
    ]
    (folder / "best_model.pt").touch()
    (folder / "model.pt").symlink_to("best_model.pt")
    code, out, err = aam_facts("best", sweep, "metric=unifrac_r2", "--json")
    assert (code, json.loads(out)) == (
        0,
        {
            "run_dir": str(folder),
            "checkpoint": str(folder / "model.pt"),
            "metric": "unifrac_r2",
            "value": 0.8,
            "epoch": 2,
            "setting": {"optimizer.lr": "0.01"},
            "num_runs": 2,
        },
    )


def test_best_of_folds_owes_something_to_its_fold(aam_facts, sweep_run, tmp_path):
    for fold in range(3):
        sweep_run(f"fold{fold}", [0.5 - fold / 10], split__fold=fold)
    code, out, err = aam_facts("best", tmp_path)
    assert (code, out) == (0, f"{tmp_path / 'fold2'}\n")
    assert err.startswith("the best setting was run on 3 splits; of them fold2 has the best valida")


@pytest.mark.parametrize("end", ["", "on_stop", "on_exception", "on_train_end"])
def test_best_of_what_is_not_finished(aam_facts, sweep_run, tmp_path, end):
    sweep_run("one", end=end)
    code, out, err = aam_facts("best", tmp_path)
    assert (code, out, err) == (2, "", f"{tmp_path} has no best run: no run is finished\n")


def test_half_written_runs_and_foreign_lines(aam_facts, sweep):
    events = sweep / "run_job002" / "facts" / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    foreign = [b"\xff\xfe\n", b'{"schema_version": 2}\n', b'["no event"]\n', b"\n"]
    events.write_bytes(b"".join([*foreign, *lines[:4], *foreign, lines[4][:99]]))
    (sweep / "run_job000" / ".hydra" / "config.yaml").unlink()
    (sweep / "run_job001" / ".hydra" / "hydra.yaml").write_text("{torn")
    (sweep / "run_job003" / "facts" / "events.jsonl").write_bytes(b'{"schema_version": 1, "mom')
    code, out, err = aam_facts("compare", sweep)
    assert code == 0
    assert err.startswith("the run is compared without its settings: the configuration ")
    assert "2 tables" in out
    assert "  died  3/4 epochs, val_loss 0.5100 so far" in out
    assert out.endswith(f"  {sweep / 'run_job003'}\n  {sweep / 'run_job004'}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare"], "aam-facts compare needs a SWEEP such as outputs/multiruns/exp_…, or runs"),
        (["best"], "aam-facts best needs a SWEEP such as outputs/multiruns/exp_…, or runs"),
        (
            ["compare", "x", "by=train"],
            "by=train is unknown to aam-facts compare: there is val, te",
        ),
        (
            ["best", "x", "by=test"],
            "aam-facts best takes no by=test: there is SWEEP or RUN …, metr",
        ),
        (["compare", "no/where"], "no/where does not exist: give a run folder, or the name of a r"),
    ],
)
def test_a_mistake_gets_one_sentence(aam_facts, words, sentence):
    code, out, err = aam_facts(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(sentence)


def test_a_sweep_of_which_nothing_has_begun(aam_facts, tmp_path):
    (tmp_path / "job" / "facts").mkdir(parents=True)
    (tmp_path / "job" / "facts" / "events.jsonl").touch()
    code, _, err = aam_facts("compare", tmp_path)
    assert code == 2
    assert err.startswith(f"no run of {tmp_path} has a start in its facts ({tmp_path / 'job'}): ")


@pytest.mark.parametrize("verb", ["compare", "best", "export"])
def test_stays_light(loaded_by, sweep, tmp_path, verb):
    words = [f"output={tmp_path}/x.csv"] if verb == "export" else []
    assert HEAVY & loaded_by(verb, sweep, *words) == set()
