"""``preflight=true``: load everything, make a few updates, and say what the run would be like.

Nothing is written. Loops that fit at once are looked at as far as their data go.
"""

from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from aam.config import Config, SupervisedConfig
from aam.data.batches import BatchMaker
from aam.data.splits import PARTS, Split
from aam.data.study import Study, load_study
from aam.errors import UserError
from aam.loops import find_prepare
from aam.loops.machine import (
    batch_size_of,
    estimated_gib,
    held_gib,
    machine_gib,
    num_parameters,
)
from aam.loops.preflight_advice import Advice, Seen, advise
from aam.loops.preflight_steps import Timed, timed
from aam.loops.prepared import Prepared
from aam.loops.run import Run
from aam.loops.splitting import split_of
from aam.loops.supervised import load_supervised
from aam.models.encoder import Encoder
from aam.models.memory import BatchSize
from aam.training.distributed import num_ranks

_KEPT = ("last.pt", "previous.pt", "best_model.pt")
_IDLE = 0.8  # CPU time by wall time, below which others use the machine
Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """What was seen: titles with what is said below them, and what might be set otherwise."""

    sections: tuple[tuple[str, Rows], ...]
    advice: tuple[Advice, ...]


def preflight(config: Config) -> Report:
    """Look at the run that the config describes.

    Raises
    ------
    UserError
        As the loop would; or several processes were started.
    NonFiniteError
        If the loss of the first update is NaN or infinite.
    """
    if num_ranks() > 1:
        raise UserError("preflight=true looks in one process: start it without torchrun")
    # They take their time, and nobody would see them.
    config = replace(config, baselines=replace(config.baselines, enabled=False))
    prepare, run = find_prepare(config.loop.name), Run(run_dir=None)
    if prepare is None:
        study, split = _data(config, run)
        seen = Seen(config=config, study=study, split=split)
        return Report((("Data", _of_data(study, split)), _no_steps(config)), tuple(advise(seen)))
    return _of_training(prepare(config, run))


def _of_training(made: Prepared) -> Report:
    config, maker = made.config, made.maker
    size = batch_size_of(config, maker, made.split.train)
    encoder = getattr(made.task.model, "encoder", None)
    estimate = None
    if isinstance(encoder, Encoder):
        estimate = held_gib(made.device), estimated_gib(encoder, config, size)
    seen_by = timed(made)
    epoch_s = made.updates_an_epoch * seen_by.update_s + (seen_by.validation_s or 0)
    seen = Seen(
        config=config,
        study=maker.study,
        split=made.split,
        device=made.device,
        has_encoder=isinstance(encoder, Encoder),
        num_weights=num_parameters(made.task.model),
        times=seen_by,
        epoch_s=epoch_s,
    )
    sections = (
        ("Data", _of_data(maker.study, made.split)),
        ("Batches", _of_batches(config, maker, size, made)),
        ("Model", _of_model(made.task.model)),
        ("Memory, GiB", _of_memory(made, seen_by, estimate)),
        ("Time", _of_time(made, seen_by, epoch_s)),
        ("Disk", _of_disk(seen_by)),
    )
    return Report(sections, tuple(advise(seen)))


def _data(config: Config, run: Run) -> tuple[Study, Split]:
    if isinstance(config.loop, SupervisedConfig):
        data = load_supervised(config, run)
        return data.study, data.split
    study = load_study(config.data, needs_tree=False)
    return study, split_of(study, config, run)


def _no_steps(config: Config) -> tuple[str, Rows]:
    return "Training", [(f"loop={config.loop.name}", "has no updates: it fits at once, in minutes")]


def _of_data(study: Study, split: Split) -> Rows:
    richness = np.diff(study.counts.indptr)
    reads = np.asarray(study.counts.sum(1)).ravel()
    lengths = (study.tokens[:, 1:] != 0).sum(1)
    same = lengths.min() == lengths.max()
    return [
        ("samples", f"{len(richness):,}"),
        ("  in each part", ", ".join(f"{part} {len(getattr(split, part)):,}" for part in PARTS)),
        ("ASVs", f"{study.counts.shape[1]:,}"),
        ("  a sample", f"{np.median(richness):,.0f} (median), {richness.max():,} (most)"),
        ("reads", f"{reads.sum():,.0f}"),
        (
            "  a sample",
            f"{np.median(reads):,.0f} (median), {reads.min():,.0f} to {reads.max():,.0f}",
        ),
        ("bases a read", f"{lengths.max()}" if same else f"{lengths.min()} to {lengths.max()}"),
    ]


def _of_batches(config: Config, maker: BatchMaker, size: BatchSize, made: Prepared) -> Rows:
    return [
        ("samples a batch", f"{size.samples:,}"),
        ("distinct ASVs a batch", f"{size.asvs:,}, of {size.slots:,} in its samples"),
        ("tokens an ASV", f"{size.positions}"),
        ("updates an epoch", f"{made.updates_an_epoch:,}"),
    ]


def _of_model(model: nn.Module) -> Rows:
    parts: dict[str, nn.Module] = dict(model.named_children())
    encoder = parts.pop("encoder", None)
    if encoder is None:
        return [("parameters", f"{num_parameters(model):,}")]
    levels = {"ASV level": "nucleotides", "sample level": "samples", "clades": "unifrac"}
    rows = [(f"  {name}", num_parameters(getattr(encoder, part))) for name, part in levels.items()]
    rows += [("  heads", sum(map(num_parameters, parts.values())))]
    fixed = sum(one.numel() for one in model.parameters() if not one.requires_grad)
    total = [("parameters", num_parameters(model)), *rows]
    if fixed:
        total.append(("  frozen, of all", fixed))
    return [(name, f"{number:,}") for name, number in total]


def _of_memory(made: Prepared, times: Timed, estimate: tuple[float, float] | None) -> Rows:
    rows: Rows = []
    if estimate is not None:
        held, of_step = estimate
        parts = f"program and study {held:.2f}, a step {of_step:.2f}"
        rows += [("estimated", f"{held + of_step:.2f} ({parts})")]
    rows += [("measured", f"{times.most_gib:.2f} (the most so far)")]
    if made.config.trainer.memory_gib is not None:
        rows += [("trainer.memory_gib", f"{made.config.trainer.memory_gib:.2f}")]
    rows += [("this machine has", f"{machine_gib(made.device):.2f}")]
    encoder = getattr(made.task.model, "encoder", None)
    if isinstance(encoder, Encoder):
        rows += [
            ("computed again", encoder.nucleotides.activation_checkpointing),
            ("ASVs at a time", str(encoder.nucleotides.asv_chunk_size)),
        ]
    return rows


def _of_time(made: Prepared, times: Timed, epoch_s: float) -> Rows:
    trainer = made.config.trainer
    rate = f"{times.samples / times.update_s:,.0f} samples/s"
    rows = [
        ("device", str(made.device)),
        ("first update", f"{_seconds(times.first_s)} (loss {times.loss:.4g})"),
        ("an update", f"{_seconds(times.update_s)} ({rate})"),
    ]
    if made.device.type == "cpu" and times.busy < _IDLE:
        alone = _seconds(times.busy * times.update_s)
        rows += [("  without others", f"about {alone}: the machine is busy")]
    if times.one_thread_s is not None:
        rows += [("  with one thread", _seconds(times.one_thread_s))]
    validation = "none" if not made.num_samples["val"] else "not measured: it would take long"
    if times.validation_s is not None:
        validation = _seconds(times.validation_s)
    rows += [("validation", validation), ("an epoch", _seconds(epoch_s))]
    whole = trainer.epochs * epoch_s
    ends = f"{trainer.epochs} epochs"
    if trainer.max_minutes is not None and whole > 60 * trainer.max_minutes:
        whole, ends = 60 * trainer.max_minutes, "trainer.max_minutes"
    sooner = "" if made.config.early_stopping.patience is None else ", or less by early stopping"
    return [*rows, ("the run", f"{_seconds(whole)} ({ends}{sooner})")]


def _of_disk(times: Timed) -> Rows:
    mib = times.checkpoint_bytes / 2**20
    return [
        ("a checkpoint", f"{mib:,.1f} MiB"),
        ("all of them", f"{len(_KEPT) * mib:,.1f} MiB ({', '.join(_KEPT)})"),
    ]


def _seconds(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
