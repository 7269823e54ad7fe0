"""Trains by every optimizer and every schedule for the same time, and says which learned the most.

python benchmarks/optim.py OUT --data FOLDER [--loop pretrain|finetune] [--minutes 5] [KEY=VALUE …]

FOLDER has table.biom, tree.nwk and metadata.tsv; fine-tuning also wants --pretrained RUN. Runs are
made by ``aam-train --multirun``, one process for all seeds of a combination. What is given at the
end of the command is handed to each run, as model=base.

The same time, and yet nothing depends on how busy the machine is: before anything else two short
runs of each optimizer, alone and with one thread, measure its CPU seconds per epoch (an epoch is
the same number of updates for all), validation included. ``--minutes`` of that are the
``trainer.epochs`` of every run of the optimizer. So a slower optimizer makes fewer updates, each
schedule knows its end, and a run that takes longer, as by ``--jobs 2``, ends with the same figures.

``--rates`` compares learning rates in place of schedules: RATES_TRIED, one seed, constant after
its warmup. RATES holds what came out of it.

The same command again makes what is missing: combinations whose run has ended, by its facts in OUT,
are left out. A run that failed has ended too. ``--report`` makes nothing and prints the table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median

from aam.facts.reader import epoch_events, read_events
from aam.facts.settings import read_choices, read_settings

AAM_TRAIN = Path(sys.executable).with_name("aam-train")
OPTIMIZERS = ("adamw", "adam", "sgd", "lion", "muon", "schedule_free")
SCHEDULERS = (
    "warmup_cosine",
    "cosine",
    "cosine_restarts",
    "plateau",
    "onecycle",
    "linear",
    "polynomial",
    "constant",
)
DEFAULT = ("adamw", "warmup_cosine")
LOSS_AT = 0.7  # the loss to be reached: the default's after this share of its epochs
SEEDS = (0, 1, 2)
CALIBRATING_EPOCHS = {"pretrain": 4, "finetune": 20}  # some seconds in all
# Of each loop, from --rates: those of the lowest final loss.
RATES: dict[str, dict[str, float]] = {
    "pretrain": {
        "adamw": 1e-2,
        "adam": 3e-3,
        "sgd": 1e-1,
        "lion": 1e-3,
        "muon": 1e-2,
        "schedule_free": 2.5e-3,
    },
    "finetune": {
        "adamw": 3e-3,
        "adam": 3e-3,
        "sgd": 3e-3,
        "lion": 1e-3,
        "muon": 1e-3,
        "schedule_free": 1e-2,
    },
}
RATES_TRIED = {
    "adamw": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2),
    "sgd": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "lion": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    "muon": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "schedule_free": (1e-3, 2.5e-3, 1e-2, 3e-2),
}
COMMON = (
    "data=biom",
    "early_stopping.patience=null",
    "logging=none",
    "logging.console=false",
    "trainer.device=cpu",
    "trainer.num_threads=1",
)
Key = tuple[str, str, float, int]
"""Optimizer, schedule, learning rate and seed of a run."""


@dataclass(frozen=True)
class Job:
    """The runs of one process: an optimizer by one schedule, over rates and seeds."""

    optimizer: str
    scheduler: str
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int

    def keys(self) -> list[Key]:
        return [(self.optimizer, self.scheduler, r, s) for r in self.rates for s in self.seeds]

    def without(self, done: dict[Key, "Result"]) -> Iterator["Job"]:
        """What is left of it: one job for each rate, where some of its runs are done."""
        for rate in self.rates:
            left = tuple(s for s in self.seeds if (*self.keys()[0][:2], rate, s) not in done)
            if left:
                yield Job(self.optimizer, self.scheduler, (rate,), left, self.epochs)


@dataclass(frozen=True)
class Result:
    """What the facts of a run that has ended say."""

    losses: tuple[float, ...]  # of validation, by epoch
    steps: tuple[int, ...]  # updates by the end of each epoch
    findings: int
    has_failed: bool

    @classmethod
    def of(cls, run: Path) -> "Result | None":
        """None of a run that has not ended."""
        events = read_events(run)
        moments = {event["moment"] for event in events}
        if not moments & {"on_test_end", "on_exception"}:
            return None
        epochs = epoch_events(events)
        found = {one["kind"] for event in events for one in event["diagnostics"]}
        return cls(
            losses=tuple(epoch["val_loss"] for epoch in epochs),
            steps=tuple(epoch["step"] for epoch in epochs),
            findings=len(found),
            has_failed="on_exception" in moments,
        )

    def rise(self) -> float:
        """How far a loss lay above the lowest before it, at most."""
        return max(b - a for a, b in zip(accumulate(self.losses, min), self.losses, strict=True))

    def updates_to(self, loss: float) -> int | None:
        reached = (step for step, one in zip(self.steps, self.losses, strict=True) if one <= loss)
        return next(reached, None)


def results(folder: Path) -> dict[Key, Result]:
    """All runs in a folder that have ended."""
    found = {}
    for facts in sorted(folder.glob("multiruns/*/run_*/facts/events.jsonl")):
        run = facts.parents[1]
        result = Result.of(run)
        if result is not None:
            choices, settings = read_choices(run), read_settings(run)
            rate, seed = float(settings["optimizer.lr"]), int(settings["trainer.seed"])
            found[choices["optimizer"], choices["scheduler"], rate, seed] = result
    return found


def train(folder: Path, job: Job, fixed: Sequence[str]) -> int:
    """Make the runs of a job, in one process; its exit code."""
    name = f"{job.optimizer}-{job.scheduler}-{job.rates[0]:g}"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *("nice", str(AAM_TRAIN), "--multirun"),
        *(f"optimizer={job.optimizer}", f"scheduler={job.scheduler}"),
        f"optimizer.lr={','.join(map(str, job.rates))}",
        f"trainer.seed={','.join(map(str, job.seeds))}",
        *(f"trainer.epochs={job.epochs}", f"run_name={name}", *fixed),
    ]
    environment = os.environ | {"AAM_OUTPUTS": str(folder), "OMP_NUM_THREADS": "1"}
    print(f"{name}: {len(job.keys())} runs of {job.epochs} epochs", flush=True)
    with (folder / f"{name}.log").open("a") as log:
        done = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        print(f"{name}: exit code {done.returncode}, see {log.name}", flush=True)
    return done.returncode


def train_all(folder: Path, jobs: Sequence[Job], fixed: Sequence[str], at_once: int) -> None:
    """Make the runs that have not ended yet."""
    done = results(folder)
    left = [part for job in jobs for part in job.without(done)]
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda job: train(folder, job, fixed), left))


def seconds_per_epoch(
    folder: Path, optimizers: Sequence[str], loop: str, fixed: Sequence[str]
) -> dict[str, float]:
    """CPU seconds of each optimizer: what some epochs add to a run of one. Measured once."""
    noted, added = folder / "seconds.json", CALIBRATING_EPOCHS[loop]
    known: dict[str, float] = json.loads(noted.read_text()) if noted.is_file() else {}
    for one in optimizers:
        if one not in known:
            rates = (RATES[loop][one],)
            jobs = [Job(one, "constant", rates, (0,), 1 + more) for more in (0, added)]
            short, longer = (cpu_seconds_of(folder, job, fixed) for job in jobs)
            known[one] = (longer - short) / added
            noted.write_text(json.dumps(known))
    return {one: known[one] for one in optimizers}


def cpu_seconds_of(folder: Path, job: Job, fixed: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if train(folder, job, fixed):
        sys.exit(1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wanted(only: str | None) -> list[tuple[str, str]]:
    """The combinations of ``--only muon,adamw/cosine``; all by default."""
    every = [
        (one, other)
        for one in OPTIMIZERS
        for other in SCHEDULERS
        if one != "schedule_free" or other == "constant"
    ]
    if only is None:
        return every
    names = only.split(",")
    return [pair for pair in every if pair[0] in names or "/".join(pair) in names]


def grid_table(done: dict[Key, Result]) -> Iterator[str]:
    """The combinations, the lowest median of final losses first."""
    by_pair: dict[tuple[str, str, float], list[Result]] = {}
    for (optimizer, scheduler, rate, _), result in done.items():
        by_pair.setdefault((optimizer, scheduler, rate), []).append(result)
    target = loss_to_reach([runs for key, runs in by_pair.items() if key[:2] == DEFAULT])
    yield (
        "| optimizer | scheduler | lr | updates | final val loss | best val loss "
        f"| updates to {target:.4g} | largest rise | findings | failed |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    rows = []
    for (optimizer, scheduler, rate), runs in by_pair.items():
        ended = [run for run in runs if not run.has_failed]
        failed, findings = len(runs) - len(ended), sum(run.findings for run in runs)
        start, end = f"| {optimizer} | {scheduler} | {rate:g} |", f"{findings} | {failed} |"
        if not ended:
            rows.append((float("inf"), f"{start} | | | | | {end}"))
            continue
        finals, bests = [run.losses[-1] for run in ended], [min(run.losses) for run in ended]
        reached = [one for run in ended if (one := run.updates_to(target)) is not None]
        updates = f"{median(reached):.0f}" if len(reached) > len(runs) / 2 else "never"
        rise = max(run.rise() for run in ended)
        line = f"{start} {ended[0].steps[-1]} | {spread(finals)} | {spread(bests)} | {updates}"
        rows.append((median(finals), f"{line} | {rise:.2g} | {end}"))
    yield from (line for _, line in sorted(rows))


def loss_to_reach(of_default: Sequence[Sequence[Result]]) -> float:
    """The median loss of the default's seeds after ``LOSS_AT`` of its epochs; NaN without it."""
    runs = [run for runs in of_default for run in runs if not run.has_failed]
    at = [run.losses[max(0, round(LOSS_AT * len(run.losses)) - 1)] for run in runs]
    return median(at) if at else float("nan")


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def rates_table(done: dict[Key, Result]) -> Iterator[str]:
    """Each optimizer's rates, and which of them had the lowest final loss."""
    yield "| optimizer | lr | updates | final val loss | best val loss | largest rise |"
    yield "|---|---|---|---|---|---|"
    best: dict[str, tuple[float, float]] = {}
    for (optimizer, _, rate, _), result in sorted(done.items()):
        if result.has_failed:
            yield f"| {optimizer} | {rate:g} | failed | | | |"
            continue
        final = result.losses[-1]
        best[optimizer] = min(best.get(optimizer, (final, rate)), (final, rate))
        line = f"| {optimizer} | {rate:g} | {result.steps[-1]} | {final:.4g}"
        yield f"{line} | {min(result.losses):.4g} | {result.rise():.2g} |"
    yield f"\nbest: {json.dumps({one: rate for one, (_, rate) in best.items()})}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the runs; one for each loop and budget")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--loop", choices=("pretrain", "finetune"), default="pretrain")
    parser.add_argument("--pretrained", help="run folder, for --loop finetune")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each run")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once, a thread each")
    parser.add_argument("--only", help="as in muon,adamw/cosine")
    parser.add_argument("--rates", action="store_true", help="compare learning rates")
    parser.add_argument("--report", action="store_true", help="make no runs")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    asked = parser.parse_intermixed_args()
    if asked.loop == "finetune" and asked.pretrained is None and not asked.report:
        parser.error("--loop finetune wants --pretrained RUN")
    folder = asked.out / ("rates" if asked.rates else "grid")
    if not asked.report:
        _make(asked, folder)
    table = rates_table if asked.rates else grid_table
    print(*table(results(folder)), sep="\n")


def _make(asked: argparse.Namespace, folder: Path) -> None:
    data, rates = asked.data.resolve(), RATES[asked.loop]
    fixed = [*COMMON, f"loop={asked.loop}", f"data.table={data}/table.biom"]
    fixed += [f"data.tree={data}/tree.nwk", f"data.metadata={data}/metadata.tsv"]
    fixed += ["data.group_column=subject"]
    if asked.loop == "finetune":
        fixed += ["data.target=age_days", "baselines.enabled=false", "freeze=nucleotide"]
        fixed += [f"pretrained={Path(asked.pretrained).resolve()}"]
    else:
        fixed += ["model=small"]
    fixed += asked.overrides
    pairs = wanted(asked.only)
    optimizers = sorted({one for one, _ in pairs}, key=OPTIMIZERS.index)
    if not pairs:
        sys.exit(f"--only {asked.only} names no combination")
    seconds = seconds_per_epoch(asked.out / "calibration", optimizers, asked.loop, fixed)
    epochs = {one: max(1, int(60 * asked.minutes / seconds[one])) for one in optimizers}
    for one in optimizers:
        print(f"{one}: {seconds[one]:.2f} s an epoch, {epochs[one]} epochs", flush=True)
    jobs = [Job(one, other, (rates[one],), SEEDS, epochs[one]) for one, other in pairs]
    if asked.rates:
        jobs = [Job(one, "constant", RATES_TRIED[one], (0,), epochs[one]) for one in optimizers]
    train_all(folder, jobs, fixed, asked.jobs)


if __name__ == "__main__":
    main()
