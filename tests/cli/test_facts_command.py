"""``aam-facts cv`` on run folders as a training writes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aam.cli.facts import VERBS
from aam.facts.meta import run_metadata
from aam.facts.reader import read_events
from aam.facts.recorder import Recorder
from aam.facts.schema import validate
from aam.facts.tables import read_tsv, write_tsv

HEAVY = {"torch", "hydra", "omegaconf", "numpy", "pandas", "skbio", "matplotlib", "yaml"}
DID = "did you mean"
CLASSES = ["no", "yes, at times"]
METRICS = [
    {"auroc": 0.8, "balanced_accuracy": 0.7, "accuracy": 0.75, "total_loss": 0.4},
    {"auroc": float("nan"), "balanced_accuracy": 0.5, "accuracy": 1.0, "total_loss": 0.2},
    {"auroc": 0.9, "balanced_accuracy": 0.8, "accuracy": 0.8, "total_loss": 0.3},
]


def as_baseline(name: str, metrics: dict[str, float], less: float) -> dict[str, float]:
    return {f"baseline_{name}_{metric}": value - less for metric, value in metrics.items()}


def write_run(folder: Path, fold: int, *, kind: str = "kfold", finished: bool = True) -> Path:
    """A classifier's run on a fold of three samples, two of them in groups."""
    metrics = METRICS[fold]
    metrics = metrics | as_baseline("random_forest", metrics, 0.1)
    metrics |= as_baseline("knn_bray_curtis", METRICS[fold], 0.3)
    recorder = Recorder(folder, loop="finetune", metric_names=sorted(metrics))
    meta = run_metadata(
        seed=0, device="cpu", inputs={}, num_samples={"train": 5, "val": 1, "test": 3}
    )
    meta["target"] = {
        "task": "classification",
        "columns": ["sick"],
        "classes": CLASSES,
        "group_column": "host",
        "split": {"kind": kind, "fold": fold, "folds": 3, "repeats": 1, "seed": 0},
    }
    recorder.emit("on_start", meta=meta)
    if finished:
        write_tsv(
            folder / "predictions" / "test.tsv",
            {
                "sample-id": [f"s {fold}.{k}" for k in range(3)],
                "group": [f"host{fold}", None, f"host{fold}"],
                "true": [CLASSES[0], CLASSES[1], CLASSES[1]],
                "predicted": [CLASSES[1]] * 3,
                f"probability_{CLASSES[0]}": np.array([0.1, 0.2, 0.3]),
                f"probability_{CLASSES[1]}": np.array([0.9, 0.8, 0.7]),
            },
        )
        table = {"test": "predictions/test.tsv"}
        # Tested twice, as a run is that was stopped after its test: the last one counts.
        for test in (dict.fromkeys(metrics, 0.0), metrics):
            recorder.emit("on_test_end", metrics={"test": test}, artifacts=table)
    recorder.close()
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(
        f"loop: {{name: finetune, head: mlp}}\ndata: {{table: ../{folder.name}.biom}}\n"
        f"split: {{kind: {kind}, fold: {fold}}}\nrun_name: {folder.name}\n"
        f"logging: {{console: {str(fold == 0).lower()}}}\n"
    )
    return folder


@pytest.fixture
def multirun(tmp_path) -> Path:
    folder = tmp_path / "exp_one"
    for fold in range(3):
        write_run(folder / f"run_job{fold:03d}", fold)
    (folder / "multirun.yaml").touch()
    return folder


def test_the_runs_are_as_the_schema_has_them(multirun):
    for event in read_events(multirun / "run_job000"):
        validate(event)


def test_joins_the_folds_of_a_multirun(aam_facts, multirun):
    code, out, err = aam_facts("cv", multirun)
    assert (code, err) == (0, "")
    assert out.splitlines()[:5] == [
        "sick: 3 folds of split=kfold, mean ± sd",
        "                                     AUROC  Balanced accuracy       Accuracy",
        "  aam (finetune)       0.850 ± 0.071 (n=2)      0.667 ± 0.153  0.850 ± 0.132",
        "  random forest        0.750 ± 0.071 (n=2)      0.567 ± 0.153  0.750 ± 0.132",
        "  k-NN on Bray-Curtis  0.550 ± 0.071 (n=2)      0.367 ± 0.153  0.550 ± 0.132",
    ]
    names = ("cross_validation.tsv", "out_of_fold.tsv", "cross_validation.png")
    assert out.splitlines()[-3:] == [f"  {multirun / name}" for name in names]
    assert (multirun / names[2]).read_bytes().startswith(b"\x89PNG")

    summary = read_tsv(multirun / names[0])
    assert list(summary) == [
        "predictor", "metric", "mean", "sd", "num_folds", "pooled", "fold_0", "fold_1", "fold_2",
    ]  # fmt: skip
    rows = {row[:2]: row[2:] for row in zip(*summary.values(), strict=True)}
    assert len(rows) == 9  # no losses
    values = [one["accuracy"] for one in METRICS]
    mean, sd, number, pooled, *folds = rows["model", "accuracy"]
    assert float(mean) == pytest.approx(np.mean(values), rel=1e-14)
    assert float(sd) == pytest.approx(np.std(values, ddof=1), rel=1e-14)
    assert (number, pooled, [float(fold) for fold in folds]) == ("3", "", values)
    assert rows["knn_bray_curtis", "auroc"][2] == "2"
    assert rows["random_forest", "auroc"][5] == ""

    predictions = read_tsv(multirun / names[1])
    assert list(predictions) == [
        "sample-id", "repeat", "fold", "group", "true", "predicted",
        "probability_no", "probability_yes, at times",
    ]  # fmt: skip
    assert predictions["sample-id"] == [f"s {fold}.{k}" for fold in range(3) for k in range(3)]
    assert predictions["fold"] == list("000111222")
    assert predictions["group"][3:6] == ["host1", "", "host1"]
    assert predictions["probability_no"] == ["0.1", "0.2", "0.3"] * 3


def test_runs_in_any_order_give_the_same_files(aam_facts, multirun, tmp_path):
    runs = sorted(multirun.glob("run_*"), reverse=True)
    output = tmp_path / "new" / "place"
    assert aam_facts("cv", *runs, runs[0], f"output={output}")[0] == 0
    assert aam_facts("cv", multirun)[0] == 0
    for name in ("cross_validation.tsv", "out_of_fold.tsv", "cross_validation.png"):
        assert (output / name).read_bytes() == (multirun / name).read_bytes()
    assert not (runs[0] / "cross_validation.tsv").exists()


def test_a_run_that_is_not_done_is_named(aam_facts, multirun, tmp_path):
    write_run(multirun / "run_job003", 2, finished=False)
    dead = multirun / "run_job004" / "facts" / "events.jsonl"
    dead.parent.mkdir(parents=True)
    dead.touch()
    code, _, err = aam_facts("cv", multirun)
    assert code == 0
    assert err == (
        "2 of 5 runs were not tested to their end and are left out: run_job003, run_job004\n"
    )
    code, _, err = aam_facts("cv", multirun / "run_job003")
    assert code == 2
    assert err.startswith("no run was tested to its end (run_job003): wait for them")


def unsupervised(folder: Path) -> None:
    recorder = Recorder(folder / "run", loop="pretrain", metric_names=())
    meta = run_metadata(seed=0, device="cpu", inputs={}, num_samples={"train": 5})
    recorder.emit("on_start", meta=meta)
    recorder.close()


def without_folds(folder: Path) -> None:
    write_run(folder / "run", 0, kind="random")


def without_config(folder: Path) -> None:
    (write_run(folder / "run", 0) / ".hydra" / "config.yaml").unlink()


def with_torn_config(folder: Path) -> None:
    (write_run(folder / "run", 0) / ".hydra" / "config.yaml").write_text("loop: {name: [")


def without_table(folder: Path) -> None:
    (write_run(folder / "run", 0) / "predictions" / "test.tsv").unlink()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (unsupervised, "{0}/run is a run of loop=pretrain, which predicts nothing: give runs of"),
        (
            without_folds,
            "{0}/run has split.kind=random, which has no folds; make them by aam-train",
        ),
        (without_config, "the configuration {0}/run/.hydra/config.yaml cannot be read: FileNotFou"),
        (with_torn_config, "the configuration {0}/run/.hydra/config.yaml cannot be read: "),
        (without_table, "{0}/run/predictions/test.tsv does not exist"),
        (Path.mkdir, "{0} holds no run: give a folder such as outputs/multiruns/exp_…"),
        (lambda folder: None, "{0} is no folder: give the folder of a multirun, or of runs"),
    ],
)
def test_folders_that_hold_no_cross_validation(aam_facts, tmp_path, make: Any, sentence):
    folder = tmp_path / "exp"
    make(folder)
    code, out, err = aam_facts("cv", folder)
    assert (code, out) == (2, "")
    assert err.startswith(sentence.format(folder))
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("cross_validation*"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["xyz"], f"there is no aam-facts xyz: there is {', '.join(VERBS)}"),
        (["shwo", "x"], f"there is no aam-facts shwo: there is {', '.join(VERBS)}; {DID} show?"),
        (
            ["cv", "outptu=x"],
            f"aam-facts cv takes no outptu=x: there is FOLDER … and output=FOLDER; {DID} output=?",
        ),
        (["cv", "-o"], "aam-facts cv takes no -o: there is FOLDER … and output=FOLDER"),
        (["cv"], "aam-facts cv needs the folder of a multirun, or of several runs"),
    ],
)
def test_a_mistake_gets_one_sentence(aam_facts, words, sentence):
    assert aam_facts(*words) == (2, "", f"{sentence}\n")


def test_help_says_what_there_is(aam_facts):
    code, out, err = aam_facts()
    assert (code, err) == (0, "")
    assert aam_facts("--help") == (code, out, err)
    for verb in VERBS:
        assert f"  aam-facts {verb} …" in out
        code, own, err = aam_facts(verb, "--help")
        assert (code, err) == (0, "")
        assert own.startswith(f"aam-facts {verb} ")


def test_stays_light(loaded_by, multirun):
    assert HEAVY & loaded_by("--help") == set()
    assert HEAVY & loaded_by("cv", "--help") == set()
    assert {"torch", "sklearn", "pandas", "skbio"} & loaded_by("cv", multirun) == set()
