"""From training to predictions elsewhere: real commands, in processes of their own."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aam.data.demo import write_demo

FEW = (
    "trainer.num_threads=1",
    "baselines.num_trees=5",
    "logging.make_plots=false",
    "logging.tensorboard=false",
)


def command(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"aam.cli.{module}", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["sample-id"]: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.mark.parametrize("loop", ["finetune", "probe"])
def test_a_run_predicts_what_it_said_without_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """Train → best model → aam-predict on the same samples, the training files gone."""
    files = write_demo(tmp_path / "study", 3)
    monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / "outputs"))
    data = [
        "data=biom",
        f"data.table={files.table}",
        f"data.tree={files.tree}",
        f"data.metadata={files.metadata}",
        "data.group_column=subject",
        "data.rarefaction_depth=1500",
    ]
    first, second = (tmp_path / name for name in ("pretrain", loop))
    command(
        "train", *data, *FEW, f"hydra.run.dir={first}", "trainer.epochs=1", "loop.min_updates=2"
    )
    chosen = ["loop.min_updates=4", "trainer.epochs=2"] if loop == "finetune" else []
    command(
        "train", f"loop={loop}", "data.target=age", f"pretrained={first}", *chosen, *data, *FEW,
        f"hydra.run.dir={second}",
    )  # fmt: skip
    table = tmp_path / "elsewhere.biom"
    shutil.copy(files.table, table)
    shutil.rmtree(tmp_path / "study")
    shutil.rmtree(first)
    said = command("predict", f"model={second}", f"table={table}", f"output={tmp_path / 'p.tsv'}")
    assert "160 samples predicted" in said
    found, told = rows(tmp_path / "p.tsv"), rows(second / "predictions" / "test.tsv")
    assert len(found) == 160
    assert len(told) == 24
    for name, row in told.items():
        assert float(found[name]["predicted"]) == pytest.approx(float(row["predicted"]), abs=1e-3)
    inside = [
        float(found[name]["lower_90"]) <= float(row["true"]) <= float(found[name]["upper_90"])
        for name, row in rows(second / "predictions" / "val_best.tsv").items()
    ]
    assert sum(inside) >= 0.9 * len(inside)  # what the interval was calibrated on
