"""What the benchmarks of pretraining steps share: data, models as shipped, and the measuring.

Shapes: N samples, A ASVs.
"""

import gc
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from scipy.sparse import csr_matrix
from torch import nn

from aam.composing.config_files import config_dir
from aam.config import DataConfig, ModelConfig, PretrainConfig
from aam.data.batches import BatchMaker
from aam.data.sequences import START
from aam.data.splits import Split
from aam.data.study import Study, load_study
from aam.loops.pretrain_draws import Draws
from aam.loops.pretrain_task import PretrainTask
from aam.losses.targets import UnifracTargets
from aam.models.pretrain import PretrainModel
from aam.phylogeny.newick import parse_newick
from aam.phylogeny.tree import Tree
from aam.prediction.models import make_encoder
from aam.training.optimizers import build_optimizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
OPTIMIZER = {"_target_": "torch.optim.AdamW", "lr": 1e-4, "weight_decay": 0.01}
MAX_GRAD_NORM = 1.0
MIB = 2**20
SEQUENCE_LENGTH = 150
POPULARITY_SD = 2.0  # of the log: a few ASVs are in most samples, most of them in few
Step = Callable[[], None]


@dataclass(frozen=True)
class Measured:
    """What one step cost."""

    cpu_s: float
    wall_s: float
    peak_mib: float


def shape_of(model: str, study: Study, **changes: object) -> ModelConfig:
    """The shape that ``model=`` ships, for the reads of a study."""
    shipped = yaml.safe_load((config_dir() / "model" / f"{model}.yaml").read_text(encoding="utf-8"))
    length = study.tokens.shape[1] - 1
    return replace(ModelConfig(**shipped), max_length=length, **changes)


def load(name: str) -> tuple[Study, DataConfig, str]:
    """The named set, or the demo study where it is not there."""
    folder = DATA / name
    if (folder / "table.biom").exists():
        files = {"table": str(folder / "table.biom"), "tree": str(folder / "tree.nwk")}
        data = DataConfig(name="biom", **files)
    else:
        name, data = "demo", DataConfig()
    return load_study(data), data, name


def some_samples(study: Study, number: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(len(study.sample_ids))[:number]


def pretraining(
    study: Study,
    data: DataConfig,
    shape: ModelConfig,
    samples: np.ndarray,
    *,
    num_slots: int | None = None,
) -> PretrainTask:
    """The task of ``loop=pretrain`` whose only training batch is of these samples."""
    model = PretrainModel(make_encoder(shape, data), dim=shape.dim).train()
    none = np.empty(0, np.int64)
    draws = Draws(
        maker=BatchMaker(
            study,
            rarefaction_depth=data.rarefaction_depth,
            token_limit=num_slots or data.token_limit,
            random_tokens=False,
        ),
        targets=UnifracTargets(study, data),
        split=Split(train=samples, val=none, test=none),
        loop=PretrainConfig(),
        batch_size=len(samples),
        seed=0,
    )
    return PretrainTask(model, draws, torch.device("cpu"))


def whole_step(task: PretrainTask) -> Step:
    """Draw the batch and its distances, forward and backward pass, clipping, update."""
    return updating(task.model, lambda: task.step(next(iter(task.training_batches(0)))).loss)


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


def timed(step: Step) -> tuple[float, float]:
    """CPU and wall seconds of a step."""
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return time.process_time() - cpu, time.perf_counter() - wall


def in_child(tiny: Callable[[], Step], make: Callable[[], Step], num_steps: int = 1) -> Measured:
    """The fastest of some steps, and the peak memory of all, in a forked child of its own.

    Memory is the child's ru_maxrss, less what it held after a ``tiny`` step, which has paid for
    libraries that are loaded late. A fork starts its ru_maxrss anew, so no child sees another's
    peak. Call it before this process has run a step.
    """

    def measure(sender) -> None:
        tiny()()
        gc.collect()
        before = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        step = make()
        cpu_s, wall_s = min(timed(step) for _ in range(num_steps))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sender.send(Measured(cpu_s, wall_s, (peak - before * resource.getpagesize()) / MIB))

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=measure, args=(sender,))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        child.join()


def random_newick(names: list[str], random: np.random.Generator) -> str:
    """Join two random lineages until one is left (a coalescent tree's shape), the root.

    It has no branch of its own: ``ssu`` would not count it, as scikit-bio and we do.
    """
    lineages = [f"{name}:{random.exponential():.9f}" for name in names]
    while len(lineages) > 1:
        i, j = sorted(random.choice(len(lineages), 2, replace=False).tolist())
        right, left = lineages.pop(j), lineages[i]
        lineages[i] = f"({left},{right}):{random.exponential():.9f}"
    return lineages[0].rpartition(":")[0] + ";"


def random_table(
    num_samples: int, num_asvs: int, richness: int, random: np.random.Generator
) -> csr_matrix:
    """Every sample holds ``richness`` ASVs, the popular ones more often, with log-normal counts."""
    popularity_A = POPULARITY_SD * random.standard_normal(num_asvs)
    columns = []
    for _ in range(num_samples):
        # The largest of log weight + Gumbel noise: a draw by weight without replacement.
        race_A = popularity_A + random.gumbel(size=num_asvs)
        columns.append(np.sort(np.argpartition(race_A, -richness)[-richness:]))
    counts = np.ceil(random.lognormal(1, 2, size=num_samples * richness)).astype(np.int64)
    indptr = np.arange(num_samples + 1) * richness
    return csr_matrix((counts, np.concatenate(columns), indptr), shape=(num_samples, num_asvs))


def synthetic_study(num_samples: int, num_asvs: int, richness: int) -> Study:
    """A study of random reads, tree and counts."""
    random = np.random.default_rng(0)
    names = [f"t{k}" for k in range(num_asvs)]
    newick = parse_newick(random_newick(names, random))
    place = {name: position for position, name in enumerate(newick.tip_names)}
    whole = Tree(np.arange(num_asvs), newick.start, newick.stop, newick.length)
    tokens = random.integers(1, 5, size=(num_asvs, 1 + SEQUENCE_LENGTH), dtype=np.uint8)
    tokens[:, 0] = START
    return Study(
        sample_ids=tuple(f"S{k:05d}" for k in range(num_samples)),
        counts=random_table(num_samples, num_asvs, richness, random),
        sequences=tuple(names),
        tokens=tokens,
        tree=whole.shear(np.array([place[name] for name in names])),
        metadata=None,
        files={},
    )
