"""What watching costs: training with everything on against everything off, a fact, and a listing.

python benchmarks/monitoring.py [KEY=VALUE …]

Words are settings of the trained runs, as for ``aam-train``. Runs with and without listeners take
turns in one process, so that the machine is the same for both. Set OMP_NUM_THREADS=1. Prints the
Markdown tables of docs/performance.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from aam.facts.reader import EVENTS
from aam.facts.recorder import Recorder

BIN = Path(sys.executable).parent
EVERYTHING = ["logging=plots_full", "logging.histogram_every_epochs=3"]
NOTHING = ["logging=none", "logging.console=false"]
MIB = 2**20


class Stopwatch:
    """Listener that takes the time of the training, and of what is finished after it."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def on_event(self, event: dict[str, Any]) -> None:
        self.at[event["moment"]] = time.perf_counter()

    def on_progress(self, progress: object) -> None:
        pass

    def close(self) -> None:
        pass

    def training_s(self) -> float:
        return self.at["on_train_end"] - self.at["on_start"]


def train(overrides: list[str], run_dir: Path) -> tuple[float, float]:
    """Seconds of a training, facts and checkpoints included, and of all that is done after it."""
    from hydra import compose, initialize_config_dir

    from aam.composing.compose import VERSION_BASE, as_config, register
    from aam.composing.config_files import config_dir
    from aam.loops import find_loop, session
    from aam.loops.run import Run

    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        config = as_config(compose("config", overrides=overrides))
    run_dir.mkdir()
    watch, listeners = Stopwatch(), session.listeners
    session.listeners = lambda *given: [*listeners(*given), watch]
    try:
        find_loop(config.loop.name)(config, Run(run_dir=run_dir))
    finally:
        session.listeners = listeners
    return watch.training_s(), time.perf_counter() - watch.at["on_train_end"]


@contextmanager
def live_page(folder: Path) -> Iterator[None]:
    """``aam-monitor`` beside the runs, with somebody who looks at the list."""
    from urllib.request import urlopen

    command = [BIN / "aam-monitor", folder, "port=0", "open=false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as monitor:
        assert monitor.stdout is not None
        url = next(w for line in monitor.stdout for w in line.split() if w.startswith("http"))
        with urlopen(url) as page:
            page.read()
        yield
        monitor.terminate()


def compare_throughput(overrides: list[str], pairs: int, folder: Path) -> None:
    both: dict[str, list[float]] = {"on": [], "off": []}
    after: list[float] = []
    train([*overrides, *NOTHING, "trainer.epochs=1"], folder / "warm")
    with live_page(folder):
        for pair in range(pairs):
            for name, extra in (("on", EVERYTHING), ("off", NOTHING)):
                with silence():
                    seconds, rest = train([*overrides, *extra], folder / f"{name}{pair}")
                both[name].append(seconds)
                after += [rest] if name == "on" else []
                print(f"  {name} {seconds:.2f} s", file=sys.stderr)
    ratios = [off / on for on, off in zip(both["on"], both["off"], strict=True)]
    print("| training | everything off, s | everything on, s | throughput on / off | after it, s |")
    print("|---|---|---|---|---|")
    label = " ".join(overrides) or "demo data, `model=tiny`"
    cells = [f"{median(both['off']):.2f}", f"{median(both['on']):.2f}", f"{median(ratios):.3f}"]
    print(f"| {label} | {' | '.join(cells)} | {median(after):.1f} |")
    print(f"\nRatios of the {pairs} pairs: {', '.join(f'{one:.3f}' for one in ratios)}\n")


@contextmanager
def silence() -> Iterator[None]:
    """Have the console write where nobody reads, but write."""
    before = sys.stdout
    with Path(os.devnull).open("w") as sys.stdout:
        try:
            yield
        finally:
            sys.stdout = before


def epoch_fields(epoch: int) -> dict[str, Any]:
    names = ("total_loss", "unifrac_loss", "nuc_loss", "nuc_accuracy", "unifrac_mae", "unifrac_r2")
    figures = {name: 1.23456789 / (epoch + 3 + place) for place, name in enumerate(names)}
    return {
        "epoch": epoch,
        "step": 10 * (epoch + 1),
        "train_loss": figures["total_loss"],
        "val_loss": figures["unifrac_loss"],
        "lr": 1e-4 / (epoch + 1),
        "metrics": {"train": figures | {"grad_norm": 1.0}, "val": figures},
        "epoch_time_s": 1.234567,
        "total_time_s": 1.234567 * (epoch + 1),
        "throughput": 123.4567,
        "max_memory_mib": 1234.5,
        "best": {"epoch": epoch, "metric": "val_loss", "value": 0.123456},
    }


def measure_events(num_epochs: int, folder: Path) -> None:
    run_dir = folder / "long"
    recorder = Recorder(run_dir, loop="pretrain", metric_names=("total_loss",))
    meta = {"num_epochs": num_epochs, "note": "only the fields that the recorder asks for"}
    recorder.emit("on_start", meta=meta)
    seconds, sizes = [], [0]
    for epoch in range(num_epochs):
        fields = epoch_fields(epoch)
        start = time.perf_counter()
        recorder.emit("on_epoch_end", **fields)
        seconds.append(time.perf_counter() - start)
        if (epoch + 1) % (num_epochs // 2) == 0:
            sizes.append((run_dir / EVENTS).stat().st_size)
    recorder.close()
    first, last = seconds[: num_epochs // 10], seconds[-num_epochs // 10 :]
    print("| one `on_epoch_end`, written and on disk | median, ms |")
    print("|---|---|")
    print(f"| the first {len(first):,} epochs | {1e3 * median(first):.2f} |")
    print(f"| the last {len(last):,} of {num_epochs:,} | {1e3 * median(last):.2f} |\n")
    halves = [(after - before) / MIB for before, after in pairwise(sizes)]
    print(f"`events.jsonl` after {num_epochs:,} epochs: {sum(halves):.1f} MiB; ", end="")
    print(f"its first half {halves[0]:.2f} MiB, its second {halves[1]:.2f} MiB.\n")


def measure_listing(num_runs: int, repeats: int, folder: Path) -> None:
    template = folder / "template"
    recorder = Recorder(template, loop="pretrain", metric_names=("total_loss",))
    recorder.emit("on_start", meta={"num_epochs": 60})
    for epoch in range(60):
        recorder.emit("on_epoch_end", **epoch_fields(epoch))
        recorder.emit("on_validation_improved", **epoch_fields(epoch))
    recorder.emit("on_train_end", epoch=59)
    recorder.close()
    runs = folder / "listed" / "runs"
    for number in range(num_runs):
        shutil.copytree(template, runs / f"run_{number:03d}")
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run(
            [BIN / "aam-facts", "ls", folder / "listed", "--json"], capture_output=True, check=True
        )
        seconds.append(time.perf_counter() - start)
    text = json.loads(done.stdout)
    listed = len(text if isinstance(text, list) else text["runs"])
    print(f"`aam-facts ls` over {listed} runs of 60 epochs, the whole command: ", end="")
    print(f"{min(seconds):.2f} to {max(seconds):.2f} s in {repeats} calls.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=10_000, help="of the long run of facts")
    parser.add_argument("--runs", type=int, default=500, help="folders to list")
    given = parser.parse_args()
    overrides = ["trainer.num_threads=1", *given.overrides]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare_throughput(overrides, given.pairs, folder)
        measure_events(given.epochs, folder)
        measure_listing(given.runs, 5, folder)


if __name__ == "__main__":
    main()
