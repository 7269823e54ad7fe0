"""Epochs a minute of fine-tuning, with the nucleotide level frozen and without.

    python benchmarks/frozen.py --data FOLDER --pretrained RUN --target age_days --group subject

An epoch is one pass over the training samples in batches of 64 and a validation, as the engine
makes them. The ways take turns; medians over the rounds. *Encoded anew* is how most programs use a
frozen level: no gradient, but the ASVs of every batch go through it again. *Kept* is ours: each ASV
of the study goes through it once.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from aam.config import Config, DataConfig, FinetuneConfig, SplitConfig, TrainerConfig
from aam.loops.finetune import EncoderPredictor, prepare
from aam.loops.run import Run
from aam.loops.target_task import TargetTask
from aam.training.gradients import clipped
from aam.training.optimizers import build_optimizer

OPTIMIZER = {"_target_": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 0.01}


class Forgetful(EncoderPredictor):
    """Encodes the ASVs of each batch, though nothing of it changes."""

    def _asvs(self, batch):
        return self._model.encoder.nucleotides(batch.tokens)


@dataclass(frozen=True)
class Way:
    freeze: str
    is_kept: bool


WAYS = {
    "`freeze=none`": Way("none", True),
    "`freeze=nucleotide`, encoded anew": Way("nucleotide", False),
    "`freeze=nucleotide`, kept": Way("nucleotide", True),
    "`freeze=all`, kept": Way("all", True),
}


class Trainee:
    """A task and its optimizer, an epoch at a time."""

    def __init__(self, way: Way, asked: argparse.Namespace) -> None:
        folder = asked.data
        config = Config(
            loop=FinetuneConfig(name="finetune", min_updates=1),
            data=DataConfig(
                name="biom",
                table=str(folder / "table.biom"),
                metadata=str(folder / "metadata.tsv"),
                target=asked.target,
                group_column=asked.group,
            ),
            split=SplitConfig(),
            pretrained=str(asked.pretrained),
            freeze=way.freeze,
            optimizer=OPTIMIZER,
            trainer=TrainerConfig(num_threads=asked.threads, device="cpu"),
        )
        task = prepare(config, Run(run_dir=None)).task
        assert isinstance(task, TargetTask)
        if not way.is_kept:
            task.predictor.__class__ = Forgetful
        self.task, self.epoch = task, 0
        self.optimizer = build_optimizer(OPTIMIZER, task.model)
        self.num_samples = task.num_steps() * config.data.batch_size

    def train(self) -> None:
        self.task.model.train()
        for batch in self.task.training_batches(self.epoch):
            self.task.step(batch).loss.backward()
            clipped(self.task.model, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.task.model.eval()
        with torch.no_grad():
            self.task.evaluate("val")
        self.epoch += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pretrained", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--group")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    trainees = {name: Trainee(way, asked) for name, way in WAYS.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for round_ in range(asked.rounds + 1):
        for name, trainee in trainees.items():
            wall, cpu = time.perf_counter(), time.process_time()
            trainee.train()
            if round_:  # the first one fills caches
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    print("| way | wall s an epoch | CPU s | epochs a minute | times faster than the first |")
    print("|---|---|---|---|---|")
    first = None
    for name, epochs in taken.items():
        wall, cpu = (statistics.median(column) for column in zip(*epochs, strict=True))
        first = first or wall
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {60 / wall:.0f} | {first / wall:.1f} |")


if __name__ == "__main__":
    main()
