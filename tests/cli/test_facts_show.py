"""``aam-facts show``: what a person and a program learn of one run."""

import json
import math
import re
from pathlib import Path

from aam.facts.reader import read_events
from aam.facts.recorder import Recorder

OLDER = Path(__file__).parents[1] / "fixtures" / "older_run"
FINDING = {"kind": "plateau", "evidence": "flat since epoch 1", "advice": "stop"}


def section(out: str, title: str) -> list[str]:
    """The lines of a section, without their indent."""
    lines = out.split(f"\n\n{title}\n")[1].split("\n\n")[0].splitlines()
    return [line.removeprefix("  ") for line in lines]


def test_a_run_that_was_stopped_and_went_on(aam_facts, record, monkeypatch, tmp_path):
    file = {"path": "/data/table.biom", "sha256": "0123456789abcdef", "num_bytes": 3}
    run = record("run_x", ("on_stop", {"reason": "request of Ana"}), inputs={"table": file})
    monkeypatch.chdir(tmp_path)
    out = aam_facts("show", "x")[1]
    assert out.startswith("run_x: pretrain, stopped (2 of 4 epochs, 01:00 of training, last fact ")
    assert out.splitlines()[1:3] == [str(run), "Stopped by request of Ana"]
    assert section(out, "What ran")[:2] == [
        "command    aam-train --multirun run_name=x,y",
        "in         /home/ana/study",
    ]
    assert section(out, "What ran")[3] == (
        "versions   aam 0.1.0, python 3, torch 2, numpy 2; no git checkout"
    )
    assert section(out, "Data") == [
        "table    /data/table.biom        sha256 0123456789ab…",
        "samples  8 train, 2 val, 2 test",
    ]
    assert section(out, "Epochs") == [
        "                 first    best    last",
        "epoch                1       2       2",
        "train_loss      0.2500  0.1250  0.1250",
        "val_loss        0.5000  0.2500  0.2500",
        "lr              0.0010  0.0010  0.0010",
        "val unifrac_r2  0.5000  0.7500  0.7500",
    ]
    assert section(out, "Files") == [
        "best_model.pt, last.pt, model.pt",
        "predictions/val_unifrac.tsv",
        "figures/losses-on_epoch_end.png",
    ]
    assert section(out, "Next")[0].split("  ")[-1] == "aam-train resume=outputs/runs/run_x"

    recorder = Recorder(run, loop="pretrain", metric_names=["unifrac_r2"], resume=True)
    meta = read_events(run)[0]["meta"] | {"command": "aam-train resume=run_x trainer.epochs=9"}
    recorder.emit("on_resume", epoch=1, meta=meta)
    recorder.emit(
        "on_epoch_end", epoch=1, step=20, val_loss=math.nan, best=None, diagnostics=[FINDING]
    )
    recorder.close()
    (run / "predictions" / "val_unifrac.tsv").unlink()
    out = aam_facts("show", "x")[1]
    assert section(out, "What ran")[-1] == "           aam-train resume=run_x trainer.epochs=9"
    assert section(out, "Epochs")[:2] == [
        "             first    best  last",
        "epoch            1       1     2",
    ]
    assert section(out, "Diagnosis") == ["plateau, flat since epoch 1", "  Stop"]
    assert "gone: predictions/val_unifrac.tsv" in section(out, "Files")


def test_the_document(aam_facts, record):
    error = {"type": "NonFiniteError", "message": "loss is nan", "traceback": "…"}
    run = record("run_x", ("on_exception", {"error": error}))
    code, out, err = aam_facts("show", run, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["state"] == "failed"
    assert told["error"] == error
    assert told["meta"] == read_events(run)[0]["meta"]
    assert {place: point["epoch"] for place, point in told["curve"].items()} == {
        "first": 0, "best": 1, "last": 1,
    }  # fmt: skip
    assert told["curve"]["best"]["metrics"]["val"] == {"unifrac_r2": 0.75}
    assert told["artifacts"] == {"val_unifrac": "predictions/val_unifrac.tsv"}
    assert told["missing"] == []
    # To repeat it exactly would fail exactly so again.
    assert not any("resume=" in step["command"] for step in told["next"])


def test_a_supervised_run_of_an_earlier_version_stands_beside_its_baselines(aam_facts):
    code, out, err = aam_facts("show", OLDER)
    assert (code, err) == (0, "")
    assert out.startswith("older_run: finetune, finished (11 epochs, 00:15 of training, ")
    assert section(out, "Data")[-2:] == [
        "target      group (classification)",
        "split       kfold, fold 0 (from 0) of 10",
    ]
    test = section(out, "Test")
    columns = ["AUROC", "Accuracy", "Balanced accuracy", "F1"]
    assert re.split(r" {2,}", test[0]) == ["Test set (18 samples)", *columns]
    assert re.split(r" {2,}", test[4]) == ["> aam (finetune)", "0.637", "0.556", "0.550", "0.550"]
    assert "The linear model on CLR is better than the model by 0.200 in AUROC." in test
    assert section(out, "Diagnosis")[0].startswith("overfitting, validation - training loss grew ")
    assert section(out, "Diagnosis")[-1] == "Came and went: instability (epochs 3-5)"
