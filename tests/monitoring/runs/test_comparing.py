"""Which runs are one setting, which a table, and what the columns are."""

from hashlib import sha256
from itertools import product

import pytest

from aam.monitoring.runs.comparing import Table, tables_of
from aam.monitoring.runs.contenders import read_contenders, without_facts

REGRESSION = {
    "task": "regression",
    "columns": ["age"],
    "classes": [],
    "group_column": None,
    "split": {"kind": "kfold", "fold": 0, "folds": 5, "repeats": 1, "seed": 0},
}


def tables(*folders) -> list[Table]:
    contenders, unstarted = read_contenders(folders)
    assert unstarted == []
    return tables_of(contenders)


def settings(*folders) -> list[dict[str, str]]:
    (table,) = tables(*folders)
    return [row.setting for row in table.rows]


def test_seeds_and_folds_are_replicates(sweep_run):
    runs = [
        sweep_run(f"{lr}-{seed}-{fold}", optimizer__lr=lr, trainer__seed=seed, split__fold=fold)
        for lr, seed, fold in product((0.1, 0.2), (0, 10, 9), (0, 1))
    ]
    (table,) = tables(*reversed(runs))
    assert table.columns == ["optimizer.lr"]
    assert [row.setting for row in table.rows] == [{"optimizer.lr": "0.2"}, {"optimizer.lr": "0.1"}]
    replicates = [run.replicate for run in table.rows[0].finished]
    assert replicates == [("0", fold, seed) for fold in "01" for seed in ("0", "9", "10")]


def test_where_and_under_what_name_it_ran_is_no_setting(sweep_run):
    one = sweep_run("one")
    two = sweep_run("two", run_name="x", trainer__num_threads=9, logging__console=False)
    (table,) = tables(one, two)
    (row,) = table.rows
    assert table.columns == []
    assert row.label == "two and 1 more"
    # The same seed and split: not two values, but one that was made twice.
    assert [run.folder.name for run in row.finished] == ["two"]
    assert [run.folder.name for run in row.repeated] == ["one"]


def test_a_choice_of_a_group_is_one_column(sweep_run):
    cosine = {
        "scheduler___target_": "aam.training.schedules.warmup_cosine",
        "scheduler__min_ratio": 0.1,
    }
    runs = [
        sweep_run("a", choices={"scheduler": "constant"}),
        sweep_run("b", choices={"scheduler": "warmup_cosine"}, **cosine),
        sweep_run("c", choices={"scheduler": "constant"}, scheduler__warmup_steps=5),
    ]
    assert settings(*runs[:2]) == [{"scheduler": "constant"}, {"scheduler": "warmup_cosine"}]
    # What is set beside the choice stays a column of its own.
    assert settings(*runs) == [
        {"scheduler": "constant", "scheduler.warmup_steps": "100"},
        {"scheduler": "warmup_cosine", "scheduler.warmup_steps": "100"},
        {"scheduler": "constant", "scheduler.warmup_steps": "5"},
    ]


def test_a_key_that_is_missing(sweep_run):
    """One that only a class of torch has is a difference, one of an earlier version is none."""
    runs = [sweep_run("a"), sweep_run("b", optimizer__amsgrad=True)]
    assert settings(*runs) == [{"optimizer.amsgrad": "-"}, {"optimizer.amsgrad": "true"}]
    runs = [sweep_run("c"), sweep_run("d", trainer__of_a_later_version=7)]
    assert settings(*runs) == [{}]
    runs.append(sweep_run("e", trainer__of_a_later_version=8))
    assert len(settings(*runs)) == 3


def test_each_split_may_have_an_encoder_of_its_own(sweep_run):
    folds = [sweep_run(f"f{k}", split__fold=k, pretrained=f"encoder{k}") for k in range(3)]
    assert settings(*folds) == [{}]
    again = sweep_run("again", split__fold=0, pretrained="encoder1")
    assert len(settings(*folds, again)) == 3  # now encoder1 is compared with the others
    seeds = [sweep_run(f"s{k}", trainer__seed=k, pretrained=f"encoder{k}") for k in range(2)]
    assert settings(*seeds) == [{"pretrained": "encoder0"}, {"pretrained": "encoder1"}]


def test_what_a_resume_has_changed_is_told(sweep_run):
    one, two = sweep_run("one"), sweep_run("two", trainer__seed=1)
    (two / ".hydra" / "resume-1.yaml").write_text("- trainer.epochs=8\n- trainer.num_threads=2\n")
    (two / ".hydra" / "resume-2.yaml").write_text("- trainer.epochs=8\n- optimizer.lr=1e-5\n")
    assert settings(one, two) == [
        {"optimizer.lr": "0.001", "trainer.epochs": "4"},
        {"optimizer.lr": "0.001, then 1e-5", "trainer.epochs": "4, then 8"},
    ]


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        (
            {"loop__name": "probe"},
            ["loop=pretrain, data/table.biom", "loop=probe, data/table.biom"],
        ),
        (
            {"split__kind": "kfold"},
            [
                "loop=pretrain, data/table.biom, split.kind=random",
                "loop=pretrain, data/table.biom, split.kind=kfold",
            ],
        ),
        (
            {"target": REGRESSION},
            ["loop=pretrain, data/table.biom", "loop=pretrain, data.target=age, data/table.biom"],
        ),
    ],
)
def test_what_is_of_another_kind_has_a_table_of_its_own(sweep_run, changes, titles):
    found = tables(sweep_run("one"), sweep_run("two", **changes))
    assert [table.title for table in found] == titles
    assert [table.columns for table in found] == [[], []]


def test_data_are_told_apart_by_their_content(sweep_run):
    found = tables(sweep_run("one"), sweep_run("two", table=b"another"), sweep_run("three"))
    hashes = [sha256(content).hexdigest()[:8] for content in (b"one table", b"another")]
    assert [table.title for table in found] == [
        f"loop=pretrain, data/table.biom, data.table={one}" for one in hashes
    ]
    assert [len(table.runs) for table in found] == [2, 1]


def test_without_settings_a_run_is_like_no_other(sweep_run, caplog):
    runs = [sweep_run("one"), sweep_run("two"), sweep_run("three")]
    for run in runs[1:]:
        (run / ".hydra" / "config.yaml").unlink()
    known, unknown = tables(*runs)
    assert len(known.runs) == 1
    assert [row.label for row in unknown.rows] == ["two", "three"]
    assert "two/.hydra/config.yaml cannot be read: FileNotFoundError" in caplog.text


def test_what_has_not_begun(sweep_run, tmp_path):
    (tmp_path / "empty" / "facts").mkdir(parents=True)
    (tmp_path / "empty" / "facts" / "events.jsonl").write_text('{"no": "event"}\n{"torn')
    (tmp_path / "sweep" / "job" / ".hydra").mkdir(parents=True)
    (tmp_path / "sweep" / "job" / ".hydra" / "config.yaml").touch()
    run = sweep_run("run")
    contenders, unstarted = read_contenders([run, tmp_path / "empty", tmp_path / "gone"])
    assert [one.folder for one in contenders] == [run]
    assert unstarted == [tmp_path / "empty", tmp_path / "gone"]
    assert list(without_facts([tmp_path])) == [tmp_path / "sweep" / "job"]
