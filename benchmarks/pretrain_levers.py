"""What holds pretraining back: one lever at a time, at equal CPU time.

    python benchmarks/pretrain_levers.py --set ecam --cpu-seconds 120 [--only batch_32 lr_3e-3 …]

Every variant is the program's own task and model with one thing changed. The CPU seconds of its
updates are measured first and give it a number of updates, over which the learning rate follows a
cosine: so what else the machine does changes no figure but that number (``--costs`` gives the
seconds of an update, as measured at a quieter time). Judged in eval mode over all pairs of the test
part, whose subjects were never trained on. Prints one Markdown row a variant, for ``docs/log.md``.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aam.config import Config, DataConfig, ModelConfig, PretrainConfig
from aam.data.batches import BatchMaker
from aam.data.splits import split_samples
from aam.data.study import Study, load_study
from aam.loops.pretrain_draws import Draws, TrainingBatch
from aam.loops.pretrain_task import PretrainTask
from aam.losses.targets import UnifracTargets
from aam.losses.unifrac import unifrac_loss
from aam.models.pretrain import PretrainModel
from aam.prediction.models import make_encoder
from aam.training.optimizers import parameter_groups

GROUPS = {"ecam": "subject", "ibd-crohns": "host_subject_id", "american-gut": "subject"}


class PooledHead(nn.Module):
    """Embeddings from the pooled vector, not from clades: what most ports of the model do."""

    def __init__(self, dim: int, size: int, *, sums: bool, tanimoto: bool) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(size))  # read by the Faith's PD head
        self.sums, self.tanimoto = sums, tanimoto
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim * (1 + sums), size)

    def forward(self, asv, asv_index, counts, mask, pooled):
        if self.sums:
            summed = (self.norm(asv)[asv_index] * mask.unsqueeze(-1)).sum(1) / 20
            pooled = torch.cat([pooled, summed], dim=1)
        z = self.project(pooled)
        return F.softplus(z) if self.tanimoto else z

    def distances(self, z: Tensor, other: Tensor | None = None) -> Tensor:
        other = z if other is None else other
        if not self.tanimoto:
            gap = torch.cdist(z, other, compute_mode="donot_use_mm_for_euclid_dist")
            return 1 - torch.exp(-gap)
        shared = z @ other.T
        own, others = z.square().sum(1, keepdim=True), other.square().sum(1)
        return 1 - (shared + 1e-6) / (own + others - shared + 1e-6)


class RichnessInput(nn.Module):
    """The program's head, told each sample's log richness through its context."""

    def __init__(self, head: nn.Module, size: int) -> None:
        super().__init__()
        self.head = head
        self.richness = nn.Linear(1, size)
        nn.init.zeros_(self.richness.weight)
        nn.init.zeros_(self.richness.bias)

    def forward(self, asv, asv_index, counts, mask, pooled):
        z = self.head(asv, asv_index, counts, mask, pooled)
        log_richness = mask.sum(1, keepdim=True).clamp_min(1).log() - 4
        return z * self.richness(log_richness).exp()

    def distances(self, z: Tensor, other: Tensor | None = None) -> Tensor:
        return self.head.distances(z, other)

    @property
    def log_scale(self) -> nn.Parameter:  # read by the Faith's PD head
        return self.head.log_scale


def plain_start(model: PretrainModel) -> None:
    """The clades as torch would start them."""
    model.encoder.unifrac.propensity.reset_parameters()


def pooled(sums: bool, tanimoto: bool) -> Callable[[PretrainModel], None]:
    def change(model: PretrainModel) -> None:
        head = model.encoder.unifrac
        dim, size = head.propensity.in_features, head.propensity.out_features
        model.encoder.unifrac = PooledHead(dim, size, sums=sums, tanimoto=tanimoto)

    return change


def richness_input(model: PretrainModel) -> None:
    head = model.encoder.unifrac
    model.encoder.unifrac = RichnessInput(head, head.propensity.out_features)


# name → (model keys, data keys, loop keys, learning rate, change of the model, residual loss)
VARIANTS: dict[str, dict] = {
    "as_shipped": {},
    "head_euclid_pooled": {"change": pooled(False, False)},
    "head_euclid_pooled_and_sums": {"change": pooled(True, False)},
    "head_tanimoto_pooled": {"change": pooled(False, True)},
    "head_tanimoto_pooled_and_sums": {"change": pooled(True, True)},
    "plain_start": {"change": plain_start},
    "no_context": {"model": {"sample_layers": 0}},
    "richness_input": {"change": richness_input},
    "residual_loss": {"residual": True},
    "patch_1": {"model": {"patch_size": 1}},
    "patch_3": {"model": {"patch_size": 3}},
    "patch_5": {"model": {"patch_size": 5}},
    "gradient_33": {"loop": {"gradient_asvs": 1 / 3}},
    "patch_5_gradient_33": {"model": {"patch_size": 5}, "loop": {"gradient_asvs": 1 / 3}},
    "batch_16": {"data": {"batch_size": 16}},
    "batch_32": {"data": {"batch_size": 32}},
    "batch_128": {"data": {"batch_size": 128}},
    "lr_3e-4": {"lr": 3e-4},
    "lr_5e-4": {"lr": 5e-4},
    "lr_2e-3": {"lr": 2e-3},
    "lr_4e-3": {"lr": 4e-3},
    "clades_128": {"model": {"num_clades": 128}},
    "clades_512": {"model": {"num_clades": 512}},
    "nuc_weight_0": {"loop": {"nuc_weight": 0.0}},
    "nuc_weight_0.1": {"loop": {"nuc_weight": 0.1}},
    "layers_1": {"model": {"nucleotide_layers": 1}},
    "layers_4": {"model": {"nucleotide_layers": 4}},
    "width_128": {"model": {"dim": 128}},
    "masked_asvs_10": {"loop": {"masked_asvs": 0.1}},
    "rarefied_2000": {"data": {"rarefaction_depth": 2000}},
}


def richness_surface(study: Study, task: PretrainTask) -> Callable[[np.ndarray], np.ndarray]:
    """What richness alone explains of the distances: a quadratic fit over training pairs."""
    richness = np.log(np.diff(study.counts.indptr))

    def terms(samples: np.ndarray) -> np.ndarray:
        low = np.minimum.outer(richness[samples], richness[samples])
        high = np.maximum.outer(richness[samples], richness[samples])
        return np.stack([np.ones_like(low), low, high, low * high, low**2, high**2], axis=-1)

    samples = task.draws.split.train[:: max(1, len(task.draws.split.train) // 256)]
    ids = [study.sample_ids[i] for i in samples]
    pairs = np.triu_indices(len(samples), 1)
    true = task.draws.targets.distances(study.counts[samples], ids)[pairs]
    fit, *_ = np.linalg.lstsq(terms(samples)[pairs], true, rcond=None)
    return lambda rows: terms(rows) @ fit


def run(name: str, options: argparse.Namespace, study: Study, base: Config) -> str:
    variant = VARIANTS[name]
    torch.manual_seed(options.seed)
    config = replace(
        base,
        model=replace(base.model, **variant.get("model", {})),
        data=replace(base.data, **variant.get("data", {})),
        loop=replace(base.loop, **variant.get("loop", {})),
    )
    task = make_task(config, study, options.seed)
    variant.get("change", lambda model: None)(task.model)
    rate = variant.get("lr", options.lr)
    optimizer = torch.optim.AdamW(parameter_groups(task.model, 0.01), lr=rate)
    surface = richness_surface(study, task) if variant.get("residual") else None
    row_of = {sample: row for row, sample in enumerate(study.sample_ids)}
    batches = (given for epoch in itertools.count() for given in task.training_batches(epoch))

    def update(factor: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        given = next(batches)
        if surface is None:
            loss = task.step(given).loss
        else:
            loss = residual_step(task, given, surface, row_of)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        optimizer.step()

    cost = options.costs.get(name) or seconds_of(lambda: update(0.0))
    updates = int(options.cpu_seconds / cost)
    for done in range(updates):
        warmup = min(1.0, (done + 1) / (0.1 * updates))
        update(warmup * 0.5 * (1 + math.cos(math.pi * done / updates)))
    task.model.eval()
    with torch.no_grad():
        metrics = task.evaluate("test").metrics
    figures = [metrics[f"unifrac_{key}"] for key in ("loss", "r2", "spearman")]
    figures.append(metrics.get("nuc_accuracy", math.nan))
    return "| {} | {} | {:.5f} | {:.3f} | {:.3f} | {:.3f} |".format(name, updates, *figures)


def seconds_of(update: Callable[[], None]) -> float:
    """CPU seconds of an update: the median of six, without two that warm up."""
    seconds = []
    for _ in range(8):
        before = time.process_time()
        update()
        seconds.append(time.process_time() - before)
    return statistics.median(seconds[2:])


def residual_step(task: PretrainTask, given: TrainingBatch, surface, row_of) -> Tensor:
    """The loss with what richness explains taken out: the model learns what is left."""
    batch = given.drawn.batch
    rows = np.array([row_of[sample] for sample in batch.sample_ids])
    encoded = task.model.encoder(batch.tokens, batch.asv_index, batch.counts, batch.mask)
    predicted = task.model.encoder.unifrac.distances(encoded.clades_BK)
    explained = surface(rows)
    residual = torch.from_numpy(given.true_BB - explained).float()
    offset = torch.from_numpy(explained).float()
    pairs = np.triu_indices(len(rows), 1)
    spread = float(residual[pairs].std())
    return unifrac_loss((predicted - offset) / spread, residual / spread) * 0.01


def make_task(config: Config, study: Study, seed: int) -> PretrainTask:
    column = config.data.group_column
    groups = None if column is None else study.column("data.group_column", column).values
    split = split_samples(
        study.sample_ids, val_fraction=0.15, test_fraction=0.15, seed=0, groups=groups
    )
    draws = Draws(
        maker=BatchMaker(
            study,
            rarefaction_depth=config.data.rarefaction_depth,
            token_limit=1024,
            random_tokens=False,
        ),
        targets=UnifracTargets(study, config.data),
        split=split,
        loop=config.loop,
        batch_size=config.data.batch_size,
        seed=seed,
    )
    model = PretrainModel(make_encoder(config.model, config.data), dim=config.model.dim)
    return PretrainTask(model, draws, torch.device("cpu"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="ecam")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cpu-seconds", type=float, default=120)
    parser.add_argument("--costs", type=json.loads, default={}, help='{"patch_5": 0.4, …}')
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.data / options.set
    data = DataConfig(
        name="biom",
        table=str(folder / "table.biom"),
        tree=str(folder / "tree.nwk"),
        metadata=str(folder / "metadata.tsv"),
        group_column=GROUPS.get(options.set),
        batch_size=options.batch_size,
    )
    small = ModelConfig(
        dim=64, num_heads=4, nucleotide_layers=2, sample_layers=2, patch_size=10, num_clades=256
    )
    base = Config(data=data, model=small, loop=PretrainConfig())
    study = load_study(data)
    print("| variant | updates | test MSE | test R² | Spearman | bases right |")
    print("|---|---|---|---|---|---|")
    for name in options.only:
        print(run(name, options, study, base), flush=True)


if __name__ == "__main__":
    main()
