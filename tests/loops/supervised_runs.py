"""Small supervised runs on the demo study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from aam.config import (
    BaselinesConfig,
    Config,
    DataConfig,
    FinetuneConfig,
    LoggingConfig,
    LoopConfig,
    ModelConfig,
    PretrainConfig,
    TrainerConfig,
)
from aam.facts.reader import read_events
from aam.loops import find_loop
from aam.loops.run import Run

SHAPE: dict[str, Any] = {
    "dim": 16,
    "num_heads": 2,
    "nucleotide_layers": 1,
    "sample_layers": 1,
    "patch_size": 10,
    "num_clades": 64,
}


def make_config(loop: LoopConfig, *, epochs: int = 2, **changes: Any) -> Config:
    """Few trees, few epochs, age by subject; ``data`` is a dict of changes."""
    data = {"target": "age", "group_column": "subject"} | changes.pop("data", {})
    config = Config(
        loop=loop,
        data=DataConfig(**data),
        model=ModelConfig(**SHAPE),
        optimizer={"_target_": "torch.optim.AdamW", "lr": 3e-3, "weight_decay": 0.01},
        scheduler={"_target_": "aam.training.schedules.constant", "warmup_steps": 0},
        trainer=TrainerConfig(epochs=epochs, device="cpu", num_threads=1),
        logging=LoggingConfig(make_plots=False, tensorboard=False, console=False),
        baselines=BaselinesConfig(num_trees=5),
    )
    return replace(config, **changes)


def finetuning(**changes: Any) -> FinetuneConfig:
    """Few updates an epoch."""
    return FinetuneConfig(**{"min_updates": 2, **changes})


def do(config: Config, run_dir: Path, *, resume: bool = False) -> list[dict[str, Any]]:
    """Run the loop and give its events."""
    run_dir.mkdir(parents=True, exist_ok=True)
    find_loop(config.loop.name)(config, Run(run_dir=run_dir, resume=resume))
    return read_events(run_dir)


def pretrained(run_dir: Path) -> str:
    """A pretrained run of two epochs."""
    do(make_config(PretrainConfig(min_updates=2), data={"target": None}), run_dir)
    return str(run_dir)
