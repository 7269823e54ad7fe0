"""``torchrun`` on two processes: the same training as one, and an end whatever becomes of one."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.facts.reader import epoch_events, read_events
from aam.facts.schema import validate
from aam.training.checkpoint import BEST, LAST, load_checkpoint

pytestmark = pytest.mark.slow

# A rank that meets with something in its n-th step.
DRIVER = """
import os, signal, sys
from itertools import count
from aam.cli.train import main
from aam.loops.pretrain_task import PretrainTask

mishap, rank, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
steps, plain = count(1), PretrainTask.step

def step(self, given):
    if next(steps) == number and os.environ.get("RANK", "0") == rank:
        if mishap == "error":
            raise MemoryError("no room")
        os.kill(os.getpid(), signal.Signals[mishap])
    return plain(self, given)

PretrainTask.step = step
sys.argv[1:] = sys.argv[4:]
sys.exit(main())
"""
# Everything that is averaged is on, and 15 samples are no even number. No dropout: each rank draws
# its own. SGD, for AdamW makes steps of rounding errors where a gradient is zero.
COMMON = [
    "model.dim=16",
    "data.batch_size=15",
    "optimizer=sgd",
    "optimizer.lr=0.01",  # faster, and rounding errors grow tenfold an update
    "trainer.epochs=2",
    "trainer.accumulate=2",
    "trainer.num_threads=1",
    "logging=none",
    "loop.count_weight=0.1",
]
PRETRAIN = [
    *COMMON,
    "loop.min_updates=6",
    "loop.faith_pd_weight=0.1",
    "data.rarefaction_depth=800",
    "data.token_limit=24",
]
FINETUNE = [
    *COMMON,
    "loop=finetune",
    "data.target=body_site",
    "loop.class_weights=balanced",
    "loop.label_smoothing=0.1",
    "loop.head_dropout=0",
    "loop.unifrac_weight=0.5",
    "loop.min_updates=6",
    "baselines.num_trees=10",
]
Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start a command by so many processes (1: no torchrun); its runs go to a folder of its own."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "driver.py").write_text(DRIVER)

    def run(
        outputs: Path, ranks: int, *arguments: str, mishap: tuple[str, int, int] | None = None
    ) -> subprocess.CompletedProcess[str]:
        program: list[Any] = ["-m", "aam.cli.train"]
        if mishap is not None:
            program = [folder / "driver.py", *mishap]
        if ranks > 1:
            program = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", *program]
        return subprocess.run(
            [sys.executable, *(str(part) for part in program), *arguments],
            env=os.environ
            | {"AAM_CACHE": str(folder), "AAM_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1"}
            | {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5"},  # a suspended rank must be killed
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def only_run(outputs: Path) -> Path:
    """The folder of the one run that was made: of several processes, one makes it."""
    (run,) = (outputs / "runs").iterdir()
    for event in read_events(run):
        validate(event)
    return run


@pytest.fixture(scope="module")
def runs(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, str], Path]:
    """The run of a loop by so many processes and a strategy; each is made once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(loop: str, ranks: int, strategy: str) -> Path:
        key = f"{loop}-{ranks}-{strategy}"
        if key not in made:
            arguments = {"pretrain": PRETRAIN, "finetune": FINETUNE}[loop]
            done = start(folder / key, ranks, *arguments, f"trainer.strategy={strategy}")
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.count("Run folder") == 2  # at the start and at the end, of one rank
            assert "Warning" not in done.stderr
            made[key] = only_run(folder / key)
        return made[key]

    return run


def same_training(found: Path, expected: Path) -> None:
    """Facts, weights and predictions of two runs, but for rounding."""
    assert_close(facts(found), facts(expected), "facts")
    for name in (LAST, BEST):
        one, other = (load_checkpoint(run / name) for run in (found, expected))
        for key in ("model", "optimizer", "stopping", "update", "epoch"):
            assert_close(one[key], other[key], f"{name} {key}")
    tables = sorted(path.name for path in (expected / "predictions").iterdir())
    assert tables == sorted(path.name for path in (found / "predictions").iterdir())
    for name in tables:
        one, other = (columns(run / "predictions" / name) for run in (found, expected))
        assert_close(one, other, name)


def facts(run: Path) -> list[Any]:
    events = read_events(run)
    told: list[Any] = [event["moment"] for event in events if event["moment"] != "on_resume"]
    named = ("epoch", "step", "train_loss", "val_loss", "lr", "metrics", "best")
    told += [{name: event[name] for name in named} for event in epoch_events(events)]
    return [*told, next(e["metrics"] for e in events if e["moment"] == "on_test_end")]


def columns(table: Path) -> list[list[Any]]:
    with table.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    return [[as_number(cell) for cell in row] for row in rows]


def as_number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def assert_close(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_close(found[key], expected[key], f"{where} {key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{where} {index}")
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=where)
    elif isinstance(expected, float):
        # Ranks jump where two distances change places.
        rel = 1e-3 if where.endswith("spearman") else 1e-4
        assert found == pytest.approx(expected, rel=rel, abs=1e-5), where
    else:
        assert found == expected, where


@pytest.mark.parametrize(
    ("loop", "ranks", "strategy"),
    [
        ("pretrain", 2, "ddp"),
        ("pretrain", 2, "fsdp"),
        ("finetune", 3, "auto"),
    ],
)
def test_several_ranks_train_as_one(
    runs: Callable[[str, int, str], Path], loop: str, ranks: int, strategy: str
) -> None:
    alone, together = runs(loop, 1, "auto"), runs(loop, ranks, strategy)
    same_training(together, alone)
    assert [read_events(run)[0]["meta"]["num_ranks"] for run in (alone, together)] == [1, ranks]


def test_a_signal_to_one_rank_stops_all_and_any_number_go_on(
    start: Start, runs: Callable[[str, int, str], Path], tmp_path: Path
) -> None:
    """FSDP is stopped in the midst of an epoch, DDP in another, and one process ends it."""
    done = start(tmp_path, 2, *PRETRAIN, "trainer.strategy=fsdp", mishap=("SIGTERM", 1, 3))
    run = only_run(tmp_path)
    assert "exitcode: 85) local_rank: 0" in done.stderr  # torchrun itself ends with 1
    assert f"stopped by SIGTERM; go on with: aam-train resume={run}" in done.stderr
    done = start(tmp_path, 2, f"resume={run}", "trainer.strategy=ddp", mishap=("SIGUSR1", 0, 7))
    assert "exitcode: 85) local_rank: 0" in done.stderr
    done = start(tmp_path, 1, f"resume={run}", "trainer.strategy=auto")
    assert done.returncode == 0, done.stderr
    events = read_events(only_run(tmp_path))
    stops = [(event["reason"], event["step"]) for event in events if event["reason"]]
    assert stops == [("SIGTERM", 2), ("SIGUSR1", 6)]
    same_end = [event for event in events if event["moment"] not in ("on_resume", "on_stop")]
    whole = runs("pretrain", 1, "auto")
    assert [event["moment"] for event in same_end] == [e["moment"] for e in read_events(whole)]
    one, other = (load_checkpoint(folder / LAST) for folder in (run, whole))
    assert_close(one["model"], other["model"], "model")
    assert_close(one["optimizer"], other["optimizer"], "optimizer")


@pytest.mark.parametrize(
    ("mishap", "told"),
    [
        (("SIGKILL", 1, 3), "rank 1 (process {pid} on {host}) died"),
        (("error", 1, 3), "rank 1 (process {pid} on {host}) ended with MemoryError: no room"),
        (("SIGSTOP", 1, 3), "the other ranks could not be heard any more: "),
    ],
)
def test_a_lost_rank_ends_the_run_and_is_named(
    start: Start, tmp_path: Path, mishap: tuple[str, int, int], told: str
) -> None:
    patience = ["trainer.wait_minutes=0.1"] if mishap[0] == "SIGSTOP" else []
    done = start(tmp_path, 2, *PRETRAIN, *patience, mishap=mishap)
    assert done.returncode == 1
    run = only_run(tmp_path)
    event = read_events(run)[-1]
    assert event["moment"] == "on_exception"
    assert event["error"]["type"] == "RankLostError"
    assert (event["epoch"], event["step"]) == (0, 1)
    begin, _, _ = told.partition("{pid}")
    _, _, end = told.rpartition("{host}")
    assert event["error"]["message"].startswith(begin)
    assert end in event["error"]["message"]
    assert f"What was saved is intact; go on with: aam-train resume={run}" in done.stderr
    assert load_checkpoint(run / LAST)["update"] == 0


def test_the_first_rank_may_die_too(start: Start, tmp_path: Path) -> None:
    done = start(tmp_path, 2, *PRETRAIN, mishap=("SIGKILL", 0, 3))
    assert done.returncode == 1
    assert f"exitcode: {-signal.SIGKILL}) local_rank: 0" in done.stderr
    moments = [event["moment"] for event in read_events(only_run(tmp_path))]
    assert moments == ["on_start"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trainer.epochs=many"], "trainer.epochs: value 'many' of type 'str'"),
        (["data.batch_size=2"], "3 processes cannot share batches of 2 samples: start fewer"),
        (
            ["loop=random_forest", "data.target=age"],
            "loop=random_forest fits at once, in one process: start it without torchrun",
        ),
        (["--multirun", "trainer.seed=0,1"], "a sweep starts each of its jobs as one process"),
    ],
)
def test_what_ranks_cannot_do_is_one_sentence(
    start: Start, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = start(tmp_path, 3, *arguments, "logging=none")
    assert done.returncode == 1
    assert "exitcode: 2) local_rank: 0" in done.stderr
    assert "SIGKILL" not in done.stderr  # nobody had to be forced
    assert done.stderr.count(told) == 1
