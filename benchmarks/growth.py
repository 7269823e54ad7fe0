"""How a pretraining step grows with the table, the batch and the model, on synthetic studies.

python benchmarks/growth.py --figure docs/images/growth.png

One thing is changed at a time, from 5,000 samples of 300 ASVs (of 20,000), batches of 32 and
``model=small`` (64 wide). Each step runs in a forked child of its own (benchmarks/workload.py):
the fastest of the repeats, and the peak memory of all. The study itself is in memory before.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from workload import MIB, Measured, in_child, pretraining, shape_of, synthetic_study, whole_step

from aam.config import DataConfig
from aam.data.study import Study
from aam.monitoring import style

NUM_ASVS = 20_000
PANELS = {
    "samples": "samples in the table",
    "richness": "ASVs a sample",
    "width": "width of the model",
    "batch": "samples a batch",
}


@dataclass(frozen=True)
class Point:
    """What one step is made of."""

    samples: int = 5_000
    richness: int = 300
    width: int = 64
    batch: int = 32


SERIES: dict[str, list[Point]] = {
    "samples": [replace(Point(), samples=value) for value in (1_000, 5_000, 20_000)],
    "richness": [replace(Point(), richness=value) for value in (50, 100, 300, 1_000)],
    "width": [replace(Point(), width=value) for value in (32, 64, 128, 256)],
    "batch": [replace(Point(), batch=value) for value in (16, 32, 64, 128, 256)],
}


@dataclass(frozen=True)
class Found:
    """A measured point."""

    point: Point
    distinct: int
    study_mib: float
    cost: Measured


def measure(point: Point, study: Study, repeats: int) -> Found:
    """Some of the study's samples as one training batch."""
    shape = shape_of("small", study, dim=point.width, num_heads=point.width // 16)
    samples = np.random.default_rng(1).choice(len(study.sample_ids), point.batch, replace=False)
    data = DataConfig()
    counts = study.counts
    held = (counts.data, counts.indices, counts.indptr, study.tokens)
    return Found(
        point=point,
        distinct=len(np.unique(counts[samples].indices)),
        study_mib=sum(part.nbytes for part in held) / MIB,
        cost=in_child(
            lambda: whole_step(pretraining(study, data, shape, samples[:2], num_slots=8)),
            lambda: whole_step(pretraining(study, data, shape, samples)),
            repeats,
        ),
    )


def points() -> Iterator[Point]:
    """Each of them once, those of one study together."""
    once = {point for series in SERIES.values() for point in series}
    yield from sorted(once, key=lambda one: (one.richness, one.samples, one.width, one.batch))


def draw(found: dict[Point, Found], path: Path) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    with style.applied():
        figure = style.new_figure(
            16,
            8,
            "What a pretraining step costs as things grow",
            f"synthetic studies of {NUM_ASVS:,} ASVs, reads of 150 bases; one thread; else 5,000"
            " samples of 300 ASVs, batches of 32, 64 wide; dashed: in proportion",
        )
        rows = figure.subplots(2, len(SERIES), sharey="row")
        for column, (name, series) in enumerate(SERIES.items()):
            values = [getattr(point, name) for point in series]
            costs = [found[point].cost for point in series]
            for axes, heights, color in (
                (rows[0, column], [cost.cpu_s for cost in costs], style.BLUE),
                (rows[1, column], [cost.peak_mib for cost in costs], style.VERMILLION),
            ):
                in_step = [heights[0] * value / values[0] for value in values]
                axes.plot(values, in_step, color=style.GREY, linestyle=(0, (4, 4)), linewidth=1.2)
                axes.plot(values, heights, color=color, marker="o")
                axes.set_xscale("log")
                axes.set_yscale("log")
                axes.set_xticks(values, [f"{value:,}" for value in values], minor=False)
                axes.set_xticks([], minor=True)
                axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
                axes.yaxis.set_minor_formatter(NullFormatter())
            rows[1, column].set_xlabel(PANELS[name])
        rows[0, 0].set_ylabel("CPU seconds a step")
        rows[1, 0].set_ylabel("peak memory of a step, MiB")
        # The line of what does not grow with the samples would hide all others.
        for row, quantity in enumerate(("cpu_s", "peak_mib")):
            heights = [getattr(one.cost, quantity) for one in found.values()]
            rows[row, 0].set_ylim(min(heights) / 1.6, max(heights) * 1.6)
        figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figure", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[Point, Found] = {}
    key, study = None, None
    for point in points():
        if key != (point.samples, point.richness):
            key = (point.samples, point.richness)
            study = synthetic_study(point.samples, NUM_ASVS, point.richness)
        assert study is not None
        found[point] = measure(point, study, options.repeats)
    print(
        "| what grows | | distinct ASVs | study, MiB | CPU s | samples / CPU-s | peak memory, MiB |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, series in SERIES.items():
        for one in (found[point] for point in series):
            print(
                f"| {PANELS[name]} | {getattr(one.point, name):,} | {one.distinct:,} |"
                f" {one.study_mib:.0f} | {one.cost.cpu_s:.2f} |"
                f" {one.point.batch / one.cost.cpu_s:.1f} | {one.cost.peak_mib:,.0f} |"
            )
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
