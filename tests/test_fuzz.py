"""A share of ``benchmarks/fuzz.py``, and that it notices what it is there to notice."""

import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from aam.errors import UserError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
INPUTS = 12  # of each reader


def test_no_input_of_any_reader_is_a_defect() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "fuzz.py", "--inputs", str(INPUTS), "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert done.returncode == 0, done.stderr
    assert len(rows) >= 20
    for name, inputs, valid, refused, _, _, defects in rows:
        assert (inputs, defects) == (str(INPUTS), "0"), name
        assert int(valid) + int(refused) == INPUTS
        assert int(refused) > 0 or name in ("events.jsonl", "writer.json"), name  # never refused


def crash(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(_: Path) -> None:
    while True:
        pass


def raise_error(_: Path) -> None:
    raise KeyError("x")


def warn(_: Path) -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def waste(_: Path) -> None:
    bytearray(3 * 2**30)


def run_code(folder: Path) -> None:
    from fuzzing.worker import MARKER

    (folder.parent / MARKER).touch()


def say_too_little(_: Path) -> None:
    raise UserError("wrong")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (crash, "died with exit code -11"),
        (hang, "hung for 0.5 s"),
        (raise_error, "KeyError: 'x'"),
        (warn, "RuntimeWarning: overflow"),
        (waste, "MemoryError"),
        (run_code, "ran code from the file"),
        (say_too_little, "refused in 5 letters: 'wrong'"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_every_kind_of_defect_is_noticed(
    read: Callable[[Path], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the inputs after it are read all the same."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from fuzzing.worker import Reader, fuzz

    def write(rng: random.Random, folder: Path) -> None:
        (folder / "input").write_text("odd" if rng.random() < 0.5 else "even")

    def write_whole(folder: Path) -> None:
        (folder / "input").write_text("even")

    def read_odd(folder: Path) -> None:
        if (folder / "input").read_text() == "odd":
            read(folder)

    tally = fuzz(Reader("r", write, write_whole, read_odd), range(4), seed=0, hangs_s=0.5)
    odd = [n for n in range(4) if random.Random(f"r 0 {n}").random() < 0.5]
    assert 0 < len(odd) < 4
    assert sorted(tally.defects) == odd
    assert all(said in what for what in tally.defects.values())
    assert (tally.inputs, tally.valid) == (4, 4 - len(odd))
