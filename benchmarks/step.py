"""A whole pretraining step against the plain way (benchmarks/plain.py).

python benchmarks/step.py --model tiny small base

A step is: cut the batch from the table, its UniFrac distances, forward pass, both losses, backward
pass, clipping, update. Both ways get the same samples, widths and depths. The plain way reads a
base a position, as the literature does; ours is the model as shipped, ``patch_size`` included, and
once more with a base a position where that differs. Steps run in forked children, the ways taking
turns, so that a busy machine slows all; seconds are medians, memory the peak.

--levers adds the ways between the two. Each differs from the one above it in what its name says
(but the plain way masks the bases of all slots, and ours those of some ASVs, in a pass of its own).
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from plain import PlainModel, PlainStep
from workload import (
    Measured,
    Step,
    in_child,
    load,
    pretraining,
    shape_of,
    some_samples,
    updating,
    whole_step,
)

from aam.config import DataConfig, ModelConfig, PretrainConfig
from aam.data.batches import Batch, BatchMaker
from aam.data.study import Study
from aam.losses.targets import UnifracTargets

PLAIN, OURS, BASES = "plain", "ours", "ours, a base a position"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all ways have in common."""

    study: Study
    data: DataConfig
    samples: np.ndarray
    num_slots: int
    shape: ModelConfig

    def maker(self) -> BatchMaker:
        return BatchMaker(
            self.study,
            rarefaction_depth=self.data.rarefaction_depth,
            token_limit=self.num_slots,
            random_tokens=False,
        )

    def tiny(self) -> "Setting":
        """The same with next to nothing in it."""
        return replace(self, samples=self.samples[:2], num_slots=8)

    def told(self) -> str:
        batch = self.maker().training(self.samples, np.random.default_rng(0))
        return (
            f"{len(self.samples) * self.num_slots} slots, {int(batch.mask.sum())} of them filled,"
            f" {len(batch.tokens)} distinct ASVs"
        )


def plain_step(setting: Setting, dropout: float = 0.1) -> Step:
    model = PlainModel(setting.shape, dropout).train()
    step = PlainStep(
        model=model,
        maker=setting.maker(),
        targets=UnifracTargets(setting.study, setting.data),
        loop=PretrainConfig(),
        num_slots=setting.num_slots,
        generator=torch.Generator().manual_seed(0),
    )
    return updating(model, lambda: step.loss(setting.samples, np.random.default_rng(0)))


def our_step(
    setting: Setting, spread: Callable[[Batch, int], Batch] | None = None, **changes: object
) -> Step:
    shape = replace(setting.shape, **changes)
    task = pretraining(
        setting.study, setting.data, shape, setting.samples, num_slots=setting.num_slots
    )
    if spread is None:
        return whole_step(task)

    def loss() -> torch.Tensor:
        given = next(iter(task.training_batches(0)))
        batch = spread(given.drawn.batch, setting.num_slots)
        return task.step(replace(given, drawn=replace(given.drawn, batch=batch))).loss

    return updating(task.model, loss)


def every_filled_slot(batch: Batch, _: int) -> Batch:
    """An ASV as often as samples hold it."""
    index = torch.zeros_like(batch.asv_index)
    index[batch.mask] = torch.arange(int(batch.mask.sum()))
    return replace(batch, tokens=batch.tokens[batch.asv_index[batch.mask]], asv_index=index)


def every_slot(batch: Batch, num_slots: int) -> Batch:
    """Besides, a sequence of padding for each empty slot, up to the limit."""
    filled = every_filled_slot(batch, num_slots)
    num_empty = len(batch.mask) * num_slots - len(filled.tokens)
    empty = torch.zeros((num_empty, filled.tokens.shape[1]), dtype=torch.uint8)
    empty[:, 0] = filled.tokens[0, 0]
    return replace(filled, tokens=torch.cat([filled.tokens, empty]))


def recomputing(kind: str, spread: Callable[[Batch, int], Batch] | None = None) -> dict:
    return {"spread": spread, "patch_size": 1, "activation_checkpointing": kind}


LEVERS: dict[str, Callable[[Setting], Step]] = {
    "no dropout": lambda setting: plain_step(setting, dropout=0.0),
    "own layers, head at masked bases, packed samples": lambda setting: our_step(
        setting, **recomputing("layer", every_slot)
    ),
    "no empty slots": lambda setting: our_step(setting, **recomputing("layer", every_filled_slot)),
    "each ASV once": lambda setting: our_step(setting, **recomputing("layer")),
    "feed-forward halves recomputed": lambda setting: our_step(
        setting, **recomputing("feedforward")
    ),
    "nothing recomputed": lambda setting: our_step(setting, **recomputing("none")),
}


def ways(shape: ModelConfig, levers: bool) -> dict[str, Callable[[Setting], Step]]:
    found: dict[str, Callable[[Setting], Step]] = {PLAIN: plain_step}
    if levers:
        found |= LEVERS
    if shape.patch_size > 1:
        found[BASES] = lambda setting: our_step(setting, patch_size=1)
    return found | {OURS: our_step}


def report(model: str, setting: Setting, levers: bool, repeats: int) -> None:
    runs: dict[str, list[Measured]] = {}
    for _ in range(repeats):
        for name, way in ways(setting.shape, levers).items():
            measured = in_child(lambda way=way: way(setting.tiny()), lambda way=way: way(setting))
            runs.setdefault(name, []).append(measured)
    cpu_s = {name: statistics.median(one.cpu_s for one in each) for name, each in runs.items()}
    peak = {name: max(one.peak_mib for one in each) for name, each in runs.items()}
    for name in runs:
        label = f"{name} (patch {setting.shape.patch_size})" if name == OURS else name
        print(
            f"| {model} | {setting.num_slots} | {label} | {cpu_s[name]:.2f} |"
            f" {len(setting.samples) / cpu_s[name]:.2f} | {cpu_s[PLAIN] / cpu_s[name]:.1f} |"
            f" {peak[name]:.0f} | {peak[PLAIN] / peak[name]:.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="cfs", help="folder of real data")
    parser.add_argument("--slots", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--levers", action="store_true", help="also the ways between the two")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    study, data, name = load(options.set)
    samples = some_samples(study, options.batch)
    print(
        f"`{name}`, {len(samples)} samples a batch, reads of {study.tokens.shape[1] - 1} bases,"
        f" {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    )
    settings = [
        Setting(
            study=study, data=data, samples=samples, num_slots=slots, shape=shape_of(model, study)
        )
        for model in options.model
        for slots in options.slots
    ]
    for setting in settings[: len(options.slots)]:
        print(f"S = {setting.num_slots}: {setting.told()}")
    print(
        "\n| model | S | way | CPU s | samples / CPU-s | times faster | peak memory, MiB"
        " | times less |\n|---|---|---|---|---|---|---|---|"
    )
    models = [model for model in options.model for _ in options.slots]
    for model, setting in zip(models, settings, strict=True):
        report(model, setting, options.levers, options.repeats)


if __name__ == "__main__":
    main()
