"""Whole folders: of a run that the doctor looks at, of a sweep that was given to a scheduler."""

import os
import random
from pathlib import Path

from fuzzing.documents import SIGN, broken_events, broken_json, events, json_text
from fuzzing.mutations import mutated_text
from fuzzing.settings import CONFIG, explained
from fuzzing.texts import PREDICTIONS, SCALARS
from fuzzing.worker import Reader

_METRICS = {"train_loss": [1.0, 1.0], "val_loss": [1.1, 1.1], "best_epoch": 1, "best_val_loss": 1.1}
RUN = {
    "facts/events.jsonl": "\n".join(map(json_text, events())) + "\n",
    "facts/scalars.csv": SCALARS,
    "facts/writer.json": json_text(SIGN),
    "training_metrics.json": json_text(_METRICS),
    "p.tsv": PREDICTIONS,
    ".hydra/config.yaml": CONFIG,
    ".hydra/overrides.yaml": "- trainer.epochs=50\n",
    ".hydra/resume-1.yaml": "- trainer.epochs=100\n",
    ".hydra/hydra.yaml": "hydra: {runtime: {choices: {loop: pretrain, scheduler: constant}}}\n",
}
_VALUES = {"facts/writer.json": SIGN, "training_metrics.json": _METRICS}
JOBS = (
    "# One job a line\n"
    "aam-train trainer.seed=0 hydra.run.dir=/x/run_1_job000 resume=auto  # job000\n"
    "aam-train 'data.table=/a b.biom' hydra.run.dir=/x/run_1_job001 resume=auto  # job001\n"
)
SUBMIT = (
    "started_in: /home/me\nsubmit: {backend: local, shared_filesystem: true}\n"
    "files: {t.biom: /data/t.biom}\n"
)
LOG = (
    "000 (012.000.000) 2026-11-21 20:27:10 Job submitted from host: <127.0.0.1:9618>\n...\n"
    "001 (012.000.000) 2026-11-21 20:27:15 Job executing on host: <127.0.0.1:9618>\n...\n"
    "012 (012.000.000) 2026-11-21 20:27:15 Job was held.\n\tthe table t is gone\n...\n"
    "005 (012.000.000) 2026-11-21 20:27:25 Job terminated.\n"
    "\t(1) Normal termination (return value 0)\n...\n"
)
OUR_LOG = "2026-11-21T20:27:10Z 7_3 submitted\n2026-11-21T20:27:15Z 7_3 started n1\n"
SWEEP = {
    "submit.yaml": SUBMIT,
    "jobs.txt": JOBS,
    "jobs/job000.log": LOG,
    "jobs/job001.log": OUR_LOG,
}


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, one in content.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(one)


def write_run(folder: Path, content: dict[str, bytes]) -> None:
    """With a sign of life that is old: of a run that goes on, less is looked at."""
    write(folder, content)
    os.utime(folder / "facts/writer.json", (0, 0))


def write_broken_run(rng: random.Random, folder: Path) -> None:
    content = {name: text.encode() for name, text in RUN.items()}
    for name in rng.sample(list(RUN), rng.choice((1, 1, 2))):
        if name == "facts/events.jsonl":
            content[name] = broken_events(rng)
        elif name in _VALUES:
            content[name] = broken_json(rng, _VALUES[name])
        else:
            content[name] = mutated_text(rng, RUN[name])
    write_run(folder, content)


def write_broken_sweep(rng: random.Random, folder: Path) -> None:
    content = {name: text.encode() for name, text in SWEEP.items()}
    name = rng.choice(list(SWEEP))
    words = ("# job000", "aam-train ", "hydra.run.dir=", "&a ", "*a", "...\n", "005 (", "exited 1 ")
    content[name] = mutated_text(rng, SWEEP[name], words)
    write(folder, content)


def examine(folder: Path) -> None:
    """As ``aam-facts doctor`` and ``aam-facts show``."""
    from aam.facts.settings import read_choices, read_whole_settings
    from aam.monitoring.runs.doctor.checkup import examine

    for one in examine(folder):
        " ".join((one.level, one.where, one.what, one.advice)).encode()
    str(read_choices(folder)).encode()
    str(read_whole_settings(folder)).encode()


def read_sweep(folder: Path) -> None:
    """As ``aam-submit status``."""
    from aam.submit.experiment import load
    from aam.submit.status import standings, told

    with explained():
        experiment = load(folder)
        "\n".join(told(standings(experiment))).encode()
        for job in experiment.jobs():
            experiment.files_of(job)


def readers() -> tuple[Reader, ...]:
    """Both of them."""
    return (
        Reader(
            "run folder", write_broken_run,
            lambda folder: write_run(folder, {name: text.encode() for name, text in RUN.items()}),
            examine,
        ),
        Reader(
            "sweep folder", write_broken_sweep,
            lambda folder: write(folder, {name: text.encode() for name, text in SWEEP.items()}),
            read_sweep, ("aam.submit.status", "aam.submit.backends.local", "aam.composing.compose"),
        ),
    )  # fmt: skip
