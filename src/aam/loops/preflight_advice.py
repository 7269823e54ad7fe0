"""What a preflight would set otherwise, and why: each as an override that can be copied."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from aam.config import Config
from aam.data.groups import group_like_columns
from aam.data.splits import Split
from aam.data.study import Study
from aam.loops.machine import machine_gib
from aam.loops.preflight_steps import Timed
from aam.training.ranks import is_launched

_SHARE_CUT = 0.05  # of the samples, that is worth a word
_UNEVEN = 10.0  # times between the depths of the deepest and the shallowest tenth
_LONG_S = 24 * 3600.0
# A rule of thumb, and the training samples from which on the models keep to it.
_WEIGHTS_A_SAMPLE = 5000
_LEAST_SAMPLES = {"medium": 940, "base": 340, "small": 50, "tiny": 0}


@dataclass(frozen=True)
class Advice:
    """``override`` as on the command line; ``why`` as a clause."""

    override: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a run; of one that makes no updates, its data."""

    config: Config
    study: Study
    split: Split
    device: torch.device | None = None
    has_encoder: bool = False
    num_weights: int = 0
    times: Timed | None = None
    epoch_s: float = 0.0

    @property
    def may_reshape(self) -> bool:
        """Whether ``model`` has a say: a pretrained encoder brings its own shape."""
        return self.has_encoder and self.config.pretrained is None


def advise(seen: Seen) -> Iterator[Advice]:
    """What comes first matters most."""
    yield from _of_groups(seen)
    yield from _of_tokens(seen)
    yield from _of_depth(seen)
    if seen.times is not None and seen.device is not None:
        yield from _of_batches(seen)
        if seen.may_reshape:
            yield from _of_model(seen)
        yield from _of_machine(seen, seen.times, seen.device)
        yield from _of_time(seen)


def _of_groups(seen: Seen) -> Iterator[Advice]:
    data = seen.config.data
    if data.group_column is None:
        for name in group_like_columns(seen.study, data.targets)[:1]:
            why = f"samples of one {name} may stand on both sides of the split"
            yield Advice(f"data.group_column={name}", why)


def _of_tokens(seen: Seen) -> Iterator[Advice]:
    limit, richness = seen.config.data.token_limit, np.diff(seen.study.counts.indptr)
    share = 0.0 if limit is None else float(np.mean(richness > limit))
    if share > _SHARE_CUT:
        wanted = int(np.quantile(richness, 1 - share / 2))  # half of them would be whole
        why = f"{share:.0%} of the samples have more than data.token_limit={limit} ASVs"
        yield Advice(f"data.token_limit={wanted}", why)


def _of_depth(seen: Seen) -> Iterator[Advice]:
    """Presence depends on depth: of uneven samples the shallow ones look poorer than they are."""
    data = seen.config.data
    reads = np.asarray(seen.study.counts.sum(1)).ravel()
    low, high = np.quantile(reads, [0.1, 0.9])
    is_open = data.rarefaction_depth is None and data.unifrac == "unweighted"
    if is_open and low > 0 and high / low > _UNEVEN:
        why = f"a tenth of the samples have {high / low:.0f} times the reads of another tenth"
        yield Advice(f"data.rarefaction_depth={int(low)}", why)


def _of_batches(seen: Seen) -> Iterator[Advice]:
    num_samples, size = len(seen.split.train), seen.config.data.batch_size
    if 8 <= num_samples < 2 * size:
        why = f"all updates of an epoch see the same {num_samples} training samples"
        if num_samples > size:
            why = f"a pass over {num_samples} training samples is one batch: the rest is left out"
        yield Advice(f"data.batch_size={2 ** int(np.log2(num_samples / 3))}", why)


def _of_model(seen: Seen) -> Iterator[Advice]:
    shape, length = seen.config.model, seen.study.tokens.shape[1] - 1
    near = _nearest_divisor(length, shape.patch_size)
    if near != shape.patch_size and 2 * abs(near - shape.patch_size) <= shape.patch_size:
        why = f"reads of {length} bases end within a patch of {shape.patch_size}"
        yield Advice(f"model.patch_size={near}", why)
    num_samples = len(seen.split.train)
    if seen.num_weights > _WEIGHTS_A_SAMPLE * num_samples:
        smaller = next(name for name, least in _LEAST_SAMPLES.items() if num_samples >= least)
        why = f"{seen.num_weights:,} parameters are many for {num_samples:,} training samples"
        yield Advice(f"model={smaller}", why)


def _nearest_divisor(length: int, patch_size: int) -> int:
    divisors = [size for size in range(1, length + 1) if length % size == 0]
    return min(divisors, key=lambda size: (abs(size - patch_size), size))


def _of_machine(seen: Seen, times: Timed, device: torch.device) -> Iterator[Advice]:
    trainer = seen.config.trainer
    has = machine_gib(device)
    if seen.has_encoder and trainer.memory_gib is None and times.most_gib > 0.8 * has:
        why = f"it takes {times.most_gib:.1f} of the {has:.1f} GiB that there are"
        yield Advice(f"trainer.memory_gib={0.8 * has:.1f}", why)
    if times.one_thread_s is not None and times.one_thread_s < 1.1 * times.update_s:
        why = "more threads do not make an update faster here"
        yield Advice("trainer.num_threads=1", why)
    if device.type == "cuda" and trainer.precision == "fp32":
        yield Advice("env=gpu", "this GPU may compute in bf16 and with compiled layers")
    if device.type == "cuda" and torch.cuda.device_count() > 1 and not is_launched():
        num_gpus = torch.cuda.device_count()
        why = f"{num_gpus} GPUs can share each batch, in place of aam-train"
        yield Advice(f"torchrun --nproc-per-node={num_gpus} -m aam.cli.train", why)


def _of_time(seen: Seen) -> Iterator[Advice]:
    trainer = seen.config.trainer
    seconds = trainer.epochs * seen.epoch_s
    if trainer.max_minutes is None and seconds > _LONG_S:
        hours = f"{seconds / 3600:,.0f} h"
        yield Advice("trainer.max_minutes=1440", f"{trainer.epochs} epochs would take {hours}")
        if seen.may_reshape and seen.config.model.patch_size == 1:
            yield Advice("model.patch_size=10", "a tenth of the tokens, and less of the time")
