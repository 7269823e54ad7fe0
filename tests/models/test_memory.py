import os
import subprocess
import sys
from dataclasses import replace

import pytest

from aam.config import ModelConfig
from aam.models.memory import MARGIN, BatchSize, least_need, need, settled, within

SIZE = BatchSize(samples=8, slots=2000, asvs=800, learned_asvs=1000, positions=151)
WIDE = ModelConfig(dim=128, num_heads=4, nucleotide_layers=4, sample_layers=4, patch_size=1)
NARROW = ModelConfig(dim=64, num_heads=4, nucleotide_layers=4, sample_layers=4, patch_size=1)
# The peak of an update, less what the process holds after one on next to nothing, which has paid
# for libraries that are loaded late.
MEASURE = """
import gc, sys
from aam.config import Config, DataConfig, ModelConfig, PretrainConfig, TrainerConfig
from aam.loops.machine import batch_size_of, num_parameters
from aam.loops.preflight_steps import update
from aam.loops.pretrain import prepare
from aam.loops.run import Run
from aam.loops.updates import Updates
from aam.models.memory import need
from aam.training.optimizers import build_optimizer

def updated(batch_size):
    shape = {"dim": 128, "num_heads": 4, "nucleotide_layers": 2, "sample_layers": 1}
    run = prepare(Config(
        data=DataConfig(batch_size=batch_size, token_limit=256 if batch_size > 2 else 8),
        model=ModelConfig(**shape, activation_checkpointing=sys.argv[1], asv_chunk_size=64),
        optimizer={"_target_": "torch.optim.AdamW", "lr": 1e-4, "weight_decay": 0.01},
        trainer=TrainerConfig(num_threads=1, device="cpu"),
    ), Run(run_dir=None))
    update(Updates(run, build_optimizer(run.config.optimizer, run.task.model)))
    return run

def bytes_of(what):
    with open("/proc/self/status", encoding="ascii") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(what))

updated(2)
gc.collect()
before = bytes_of("VmRSS")
run = updated(64)
size = batch_size_of(run.config, run.maker, run.split.train)
print(bytes_of("VmHWM") - before, need(run.config.model, size, num_parameters(run.task.model)))
"""


def chosen(shape: ModelConfig) -> tuple[str | None, int | None]:
    return shape.activation_checkpointing, shape.asv_chunk_size


def test_without_a_bound_what_was_measured_to_be_fast_is_taken():
    assert chosen(settled(WIDE)) == ("feedforward", 64)
    assert chosen(settled(NARROW)) == ("none", 64)


def test_settings_that_are_given_win():
    given = replace(WIDE, activation_checkpointing="none", asv_chunk_size=100)
    assert settled(given) == given
    assert within(given, SIZE, 10**6, 1e12) == given
    assert within(given, SIZE, 10**6, 1e9) is None  # no other is tried


@pytest.mark.parametrize("shape", [WIDE, NARROW])
def test_a_narrower_bound_takes_the_next_choice(shape):
    """Each choice is taken down to the bytes that it needs, and none of those before it."""
    bound, found = 1e12, []
    while (one := within(shape, SIZE, 10**6, bound)) is not None:
        found.append(chosen(one))
        assert MARGIN * need(one, SIZE, 10**6) <= bound
        bound = 0.9999 * MARGIN * need(one, SIZE, 10**6)
    kinds = ["none", "feedforward", "layer"][shape is WIDE :]
    assert found == [(kind, chunk) for kind in kinds for chunk in (64, 32, 16, 8)]
    assert bound == pytest.approx(0.9999 * least_need(shape, SIZE, 10**6))


@pytest.mark.parametrize("key", ["samples", "slots", "asvs", "learned_asvs", "positions"])
def test_more_of_anything_takes_more(key):
    more = replace(SIZE, **{key: 3 * getattr(SIZE, key)})
    assert need(settled(WIDE), more, 10**6) > need(settled(WIDE), SIZE, 10**6)


def test_nothing_is_kept_of_asvs_that_are_not_learned_from():
    frozen = replace(SIZE, learned_asvs=0)
    assert need(settled(WIDE), frozen, 10**6) < 0.2 * need(settled(WIDE), SIZE, 10**6)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "kind",
    ["feedforward", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("none", "layer"))],
)
def test_the_estimate_is_near_the_peak_of_a_step(tmp_path, kind):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "AAM_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, kind],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    measured, estimated = map(float, done.stdout.split())
    assert measured / MARGIN < estimated < 1.4 * measured
