"""A whole pretraining step against the plain way (benchmarks/plain.py), in one process.

python benchmarks/step.py --threads 1

A step is: cut the batch from the table, its UniFrac distances, forward pass, both losses, backward
pass, clipping, update. Both ways get the same samples, widths and depths (a base a position). They
take turns, so that a busy machine slows both; times are medians.

Peak memory is that of one step in a forked child of its own: the child's ru_maxrss, less what it
held after a step on two samples of eight slots, which has paid for libraries that are loaded late.
A fork starts its ru_maxrss anew, so no side sees another's peak.

--levers adds the ways between the two. Each differs from the one above it in what its name says
(but the plain way masks the bases of all slots, and ours those of some ASVs, in a pass of its own).
"""

import argparse
import gc
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from plain import PlainModel, PlainStep
from torch import nn

from aam.config import DataConfig, ModelConfig, PretrainConfig
from aam.data.batches import Batch, BatchMaker
from aam.data.splits import Split
from aam.data.study import Study, load_study
from aam.loops.pretrain_draws import Draws
from aam.loops.pretrain_task import PretrainTask
from aam.losses.targets import UnifracTargets
from aam.models.encoder import Encoder
from aam.models.pretrain import PretrainModel
from aam.training.optim import build_optimizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHAPES = {
    "base": {
        "dim": 128,
        "num_heads": 4,
        "nucleotide_layers": 4,
        "sample_layers": 4,
        "num_clades": 256,
    },
    "small": {
        "dim": 64,
        "num_heads": 4,
        "nucleotide_layers": 2,
        "sample_layers": 2,
        "num_clades": 256,
    },
}
OPTIMIZER = {"_target_": "torch.optim.AdamW", "lr": 1e-4, "weight_decay": 0.01}
MAX_GRAD_NORM = 1.0
MIB = 2**20
PLAIN, OURS = "plain", "ours"
LEAN, FAST = "ours, whole layers recomputed", "ours, nothing recomputed"
Step = Callable[[], None]


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
    setting: Setting, checkpointing: str, spread: Callable[[Batch, int], Batch] | None = None
) -> Step:
    shape = asdict(replace(setting.shape, activation_checkpointing=checkpointing))
    data = setting.data
    encoder = Encoder(**shape, unifrac=data.unifrac, unifrac_alpha=data.unifrac_alpha)
    model = PretrainModel(encoder, dim=setting.shape.dim).train()
    none = np.empty(0, np.int64)
    draws = Draws(
        maker=setting.maker(),
        targets=UnifracTargets(setting.study, data),
        split=Split(train=setting.samples, val=none, test=none),
        loop=PretrainConfig(),
        batch_size=len(setting.samples),
        seed=0,
    )
    task = PretrainTask(model, draws, torch.device("cpu"))

    def loss() -> torch.Tensor:
        given = next(iter(task.training_batches(0)))
        if spread is not None:
            batch = spread(given.drawn.batch, setting.num_slots)
            given = replace(given, drawn=replace(given.drawn, batch=batch))
        return task.step(given).loss

    return updating(model, loss)


def updating(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Step:
    optimizer = build_optimizer(OPTIMIZER, model)

    def step() -> None:
        value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        if not torch.isfinite(value):
            raise RuntimeError(f"the loss is {float(value)}")

    return step


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


WAYS: dict[str, Callable[[Setting], Step]] = {
    PLAIN: plain_step,
    "no dropout": lambda setting: plain_step(setting, dropout=0.0),
    "own layers, head at masked bases, packed samples": lambda setting: our_step(
        setting, "layer", every_slot
    ),
    "no empty slots": lambda setting: our_step(setting, "layer", every_filled_slot),
    LEAN: lambda setting: our_step(setting, "layer"),
    OURS: lambda setting: our_step(setting, "feedforward"),
    FAST: lambda setting: our_step(setting, "none"),
}


def peak_mib(make: Callable[[Setting], Step], setting: Setting) -> float:
    """The most memory of one step, in a child of its own."""

    def measure(sender) -> None:
        make(setting.tiny())()
        gc.collect()
        before = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        make(setting)()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sender.send((peak - before * resource.getpagesize()) / MIB)

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=measure, args=(sender,))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        child.join()


def timed(step: Step) -> tuple[float, float]:
    """CPU and wall seconds of a step."""
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return time.process_time() - cpu, time.perf_counter() - wall


def report(setting: Setting, names: list[str], peaks: dict[str, float], repeats: int) -> None:
    steps = {name: WAYS[name](setting) for name in names}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, step in steps.items():
            seconds[name].append(timed(step))
    median = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)]
        for name, runs in seconds.items()
    }
    for name, (cpu, wall) in median.items():
        times = median[PLAIN][0] / cpu
        less = peaks[PLAIN] / peaks[name]
        print(
            f"| {setting.num_slots} | {name} | {cpu:.1f} | {wall:.1f} | {times:.1f} |"
            f" {peaks[name]:.0f} | {less:.1f} |",
            flush=True,
        )


def load(name: str) -> tuple[Study, DataConfig, str]:
    """The named set, or the demo study where it is not there."""
    folder = DATA / name
    if (folder / "table.biom").exists():
        files = {"table": str(folder / "table.biom"), "tree": str(folder / "tree.nwk")}
        data = DataConfig(name="biom", **files)
    else:
        name, data = "demo", DataConfig()
    return load_study(data), data, name


def settings(options: argparse.Namespace) -> list[Setting]:
    study, data, name = load(options.set)
    samples = np.random.default_rng(0).permutation(len(study.sample_ids))[: options.batch]
    length = study.tokens.shape[1] - 1
    shape = ModelConfig(**SHAPES[options.model], patch_size=1, max_length=length)
    common = Setting(study=study, data=data, samples=samples, num_slots=0, shape=shape)
    found = [replace(common, num_slots=slots) for slots in options.slots]
    print(
        f"`{name}`, {len(samples)} samples a batch, reads of {length} bases, `{options.model}`"
        f" ({shape.dim} wide, {shape.nucleotide_layers} + {shape.sample_layers} layers,"
        f" patch_size 1), {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    )
    for setting in found:
        batch = setting.maker().training(samples, np.random.default_rng(0))
        print(
            f"S = {setting.num_slots}: {len(samples) * setting.num_slots} slots,"
            f" {int(batch.mask.sum())} of them filled, {len(batch.tokens)} distinct ASVs"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="cfs", help="folder of real data")
    parser.add_argument("--slots", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", choices=sorted(SHAPES), default="base")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--levers", action="store_true", help="also the ways between the two")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    names = list(WAYS) if options.levers else [PLAIN, LEAN, OURS, FAST]
    prepared = settings(options)
    # Memory first: a child must be forked before this process has run a step.
    peaks = [{name: peak_mib(WAYS[name], setting) for name in names} for setting in prepared]
    print("\n| S | way | CPU s | wall s | times faster | peak memory, MiB | times less |")
    print("|---|---|---|---|---|---|---|")
    for setting, peak in zip(prepared, peaks, strict=True):
        report(setting, names, peak, options.repeats)


if __name__ == "__main__":
    main()
