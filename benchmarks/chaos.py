"""Kills a small training again and again, and compares its end with one that nobody killed.

nice python benchmarks/chaos.py [--kills 100] [--seed 0]

Runs of ``aam-train`` are killed by SIGKILL: at random moments from outside, and from within at
chosen operations on files (``doomed``). After each kill every file is looked through, and the run
goes on by ``aam-train resume=``. Prints the table of docs/reliability.md.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from doomed import AAM_TRAIN, TIMEOUT_S, Doom, Doomed
from intact import corrupt_files, differences, torn_lines

from aam.facts.reader import EVENTS, epoch_events, read_events

COMMON = (
    "trainer.epochs=8",
    "trainer.accumulate=2",
    "trainer.num_threads=1",
    "trainer.device=cpu",
    "checkpoint.every_minutes=1e-9",
    "early_stopping.patience=null",
    "data.batch_size=16",
    "data.rarefaction_depth=500",
    "model.dim=16",
    "model.patch_size=10",
    "model.num_clades=16",
    "model.sample_dropout=0.2",
    "logging=none",
    "logging.console=false",
)
STUDIES = {
    "pretrain": ("loop.min_updates=6", "data.token_limit=16", "data.token_selection=random"),
    "finetune": (
        "loop=finetune",
        "loop.min_updates=6",
        "data.target=age",
        "baselines.enabled=false",
    ),
}
AT_RANDOM = "at a random moment"
# Where a kill hits: pattern of file names, up to which operation, whether amid the bytes; weight.
AIMED: dict[str, tuple[str, int, bool]] = {
    "between the renames of a checkpoint": (r"\.pt\b", 40, False),
    "amid the bytes of a checkpoint": (r"\.pt\.", 8, True),
    "amid a line of `events.jsonl`": (r"^events\.jsonl$", 4, True),
    "amid other files": (r"scalars|metrics|\.tsv|writer", 12, True),
    "between the renames of other files": (r"scalars|metrics|\.tsv|writer|\.log", 25, False),
}


@dataclass
class Toll:
    """What the kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    torn: Counter[str] = field(default_factory=Counter)  # last lines cut in two, by kind of kill
    unsaved: int = 0  # kills before anything was saved: the run starts anew
    resumes: int = 0
    runs: int = 0
    epochs: int = 0
    epochs_again: int = 0
    corrupt: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        toll = storm(Path(folder), options.kills, options.seed, STUDIES)
    print(table(toll))
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes; seed {options.seed}")
    sys.exit(bool(toll.corrupt or toll.differences))


def storm(folder: Path, kills: int, seed: int, studies: Mapping[str, Sequence[str]]) -> Toll:
    """Train each study in peace, then kill runs of them, one after the other, so many times."""
    dice, toll = random.Random(seed), Toll()
    whole, seconds = {}, {}
    for name, settings in studies.items():
        started = time.monotonic()
        whole[name] = folder / f"{name}-whole"
        in_peace(new(whole[name], settings))
        events = read_events(whole[name])
        seconds[name] = max(event["total_time_s"] or 0.0 for event in events)
        print(f"{name}: {time.monotonic() - started:.0f} s in peace", file=sys.stderr)
    while toll.kills.total() < kills:
        name = list(studies)[toll.runs % len(studies)]
        run = folder / f"{name}-{toll.runs}"
        survive(run, studies[name], seconds[name], kills, dice, toll)
        toll.runs += 1
        toll.differences += [f"{run.name}: {one}" for one in differences(run, whole[name])]
        events = read_events(run)
        toll.epochs += len(epoch_events(events))
        toll.epochs_again += sum(
            event["moment"] == "on_epoch_end" and event["resumed_from"] is not None
            for event in events
        )
        print(f"{toll.kills.total()} kills in {toll.runs} runs", file=sys.stderr)
        shutil.rmtree(run)
    return toll


def in_peace(arguments: Sequence[str]) -> None:
    """The command itself, in a process that nothing was loaded for."""
    subprocess.run(
        [AAM_TRAIN, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=TIMEOUT_S,
    )


def survive(
    run: Path, settings: Sequence[str], seconds: float, kills: int, dice: random.Random, toll: Toll
) -> None:
    """A run to its end, killed whenever it goes."""
    while True:
        goes_on = (run / "last.pt").exists()
        if goes_on:
            arguments = [f"resume={run}"]
            toll.resumes += 1
        else:
            toll.unsaved += run.exists()
            shutil.rmtree(run, ignore_errors=True)
            arguments = new(run, settings)
        kind = dice.choice([AT_RANDOM, AT_RANDOM, *AIMED]) if toll.kills.total() < kills else None
        told_before = size(run / EVENTS)
        process = Doomed(arguments, run, doom(run, kind, dice) if kind in AIMED else None)
        if kind == AT_RANDOM:
            # Most of the time from the first fact on: before, there is little to spoil.
            if dice.random() < 0.9:
                wait_for_fact(process, run / EVENTS, told_before)
            end = time.monotonic() + dice.uniform(0, seconds / 2)
            while time.monotonic() < end and not process.is_over:
                time.sleep(0.001)
            process.kill()
        code, said = process.ended()
        if code == 0:
            return
        if code != -signal.SIGKILL:
            toll.differences.append(f"{' '.join(arguments)} left with {code}: {said}")
            return
        assert kind is not None
        toll.kills[kind] += 1
        toll.torn[kind] += torn_lines(run)
        toll.corrupt += [f"{run.name}/{one}" for one in corrupt_files(run)]


def new(run: Path, settings: Sequence[str]) -> list[str]:
    return [*COMMON, *settings, f"hydra.run.dir={run}"]


def doom(run: Path, kind: str, dice: random.Random) -> Doom:
    """When the process is to end itself."""
    files, most, is_amid = AIMED[kind]
    share = dice.random() if is_amid else None
    return Doom(run, files, dice.randint(1, most), share)


def wait_for_fact(process: Doomed, events: Path, size_before: int) -> None:
    while size(events) == size_before and not process.is_over:
        time.sleep(0.001)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def table(toll: Toll) -> str:
    rows = ["| killed | kills | last lines torn, and healed |", "|---|---|---|"]
    for kind in (AT_RANDOM, *AIMED):
        rows.append(f"| {kind} | {toll.kills[kind]} | {toll.torn[kind]} |")
    total = toll.kills.total()
    rows += [
        f"| **all** | **{total}** | {toll.torn.total()} |",
        "",
        f"{toll.runs} runs, {toll.resumes} resumes, {toll.unsaved} new starts before anything was "
        f"saved; of {toll.epochs} epochs {toll.epochs_again} were told twice.",
        f"Corrupt files: {len(toll.corrupt)}. Differences at the end: {len(toll.differences)}.",
        *toll.corrupt,
        *toll.differences,
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
