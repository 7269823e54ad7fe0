"""How near a pretraining step comes to this CPU's peak in matrix products, and where the rest goes.

python benchmarks/matmuls.py --set ecam cfs --model tiny small base

The peak is the best rate of square sgemm seen in this process, measured between the steps. The
products of a step are counted from its shapes, forward and backward pass; what is computed again in
the backward pass is work that nobody asked for and does not count. The profile is torch's own, of
some steps on one thread, by kind of operation.
"""

import argparse
import statistics
import time
from collections import defaultdict

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from workload import Step, load, pretraining, shape_of, some_samples, timed, whole_step

from aam.config import ModelConfig
from aam.loops.pretrain_draws import TrainingBatch

SIZES = (512, 1024, 2048)
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "attention kernel": ("scaled_dot_product",),
    "GELU": ("gelu",),
    "layer norm": ("layer_norm",),
    "copies": (
        "aten::copy_", "aten::cat", "aten::clone", "aten::fill_", "aten::zero_", "aten::index_copy",
        "aten::contiguous", "aten::slice_backward", "aten::constant_pad_nd",
    ),
    "embedding and gathering": ("embedding", "index", "gather", "scatter"),
    "optimizer": ("adam", "Optimizer", "foreach"),
}  # fmt: skip
DRAWS = "drawing the batch, UniFrac"
OTHER = "other"


def layer(width: int, lengths: np.ndarray) -> float:
    """Products of one layer's forward pass: four projections, the network, attention."""
    return float((24 * lengths * width**2 + 4 * lengths**2 * width).sum())


def products(shape: ModelConfig, given: TrainingBatch, length: int) -> float:
    """Multiplications and additions of a step's matrix products; a backward pass is two forward."""
    width, clades = shape.dim, shape.num_clades
    batch = given.drawn.batch
    num_samples, num_asvs = len(batch.mask), len(batch.tokens)
    positions = 1 - -length // shape.patch_size
    richness = batch.mask.sum(1).numpy().astype(float)
    num_masked = len(given.view.tokens) if given.view else 0
    per_asv = shape.nucleotide_layers * layer(width, np.array([float(positions)]))
    slots = richness.sum()
    forward = (num_asvs + num_masked) * per_asv
    forward += shape.sample_layers * layer(width, richness)
    forward += 2 * slots * width**2  # the abundance's second layer
    forward += 2 * num_asvs * width * clades + 2 * num_samples * num_asvs * clades
    forward += 2 * num_masked * positions * width * 4 * shape.patch_size
    return 3 * forward


def peak_gflops() -> float:
    """The best of a few sizes."""
    best = 0.0
    for size in SIZES:
        a, b = torch.randn(size, size), torch.randn(size, size)
        for _ in range(3):
            started = time.process_time()
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (time.process_time() - started) / 1e9)
    return best


def shares(step: Step, draw: Step, repeats: int) -> dict[str, float]:
    """Parts of a step's CPU time by kind, of what the profiler saw and of the draws beside it."""
    drawing = sum(timed(draw)[0] for _ in range(repeats))
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        total = sum(timed(step)[0] for _ in range(repeats))
    found: dict[str, float] = defaultdict(float)
    for event in seen.key_averages():
        name = event.key
        kinds = (kind for kind, words in KINDS.items() if any(word in name for word in words))
        found[next(kinds, OTHER)] += event.self_cpu_time_total / 1e6
    inside = sum(found.values())
    found[DRAWS] = drawing
    found[OTHER] += max(0.0, total - inside - drawing)
    whole = sum(found.values())
    return {kind: value / whole for kind, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", nargs="+", default=["ecam", "cfs"])
    parser.add_argument("--model", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--batch", type=int, nargs="+", default=[64])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [*KINDS, DRAWS, OTHER]
    rows, peak = [], peak_gflops()
    for name in options.set:
        study, data, name = load(name)
        for model in options.model:
            shape = shape_of(model, study)
            for size in options.batch:
                samples = some_samples(study, size)
                task = pretraining(study, data, shape, samples)
                step = whole_step(task)
                given = next(iter(task.training_batches(0)))
                needed = products(shape, given, study.tokens.shape[1] - 1)
                step()
                cpu_s = []
                for _ in range(options.repeats):
                    peak = max(peak, peak_gflops())
                    cpu_s.append(timed(step)[0])
                parts = shares(
                    step, lambda task=task: next(iter(task.training_batches(0))), options.repeats
                )
                rows.append((name, model, size, given, needed, statistics.median(cpu_s), parts))
                print(name, model, size, flush=True)
    print(f"\nPeak of one thread: {peak:.0f} GFLOP/s in fp32 (sgemm).\n")
    print(f"| set | model | batch | distinct ASVs | CPU s | samples / CPU-s | GFLOP | share of peak"
          f" | {' | '.join(kinds)} |")  # fmt: skip
    print("|---" * (8 + len(kinds)) + "|")
    for name, model, size, given, needed, cpu_s, parts in rows:
        cells = [f"{100 * parts.get(kind, 0):.0f} %" for kind in kinds]
        distinct = len(given.drawn.batch.tokens)
        print(
            f"| `{name}` | {model} | {size} | {distinct} | {cpu_s:.2f} | {size / cpu_s:.0f} |"
            f" {needed / 1e9:.1f} | {needed / cpu_s / 1e9 / peak:.0%} | {' | '.join(cells)} |"
        )


if __name__ == "__main__":
    main()
