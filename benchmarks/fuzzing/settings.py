"""The settings of a run, as commands show them and as a run goes on with them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fuzzing.documents import document_reader
from fuzzing.mutations import mutated_text
from fuzzing.worker import Reader

CONFIG = """\
loop:
  name: pretrain
  nuc_weight: 0.01
data:
  name: biom
  table: /data/t.biom
  covariates: []
  target: null
model: &shape
  dim: 32
  max_length: 300
optimizer:
  _target_: torch.optim.AdamW
  lr: 0.0001
  betas: [0.9, 0.999]
trainer:
  epochs: 50
  seed: 0
run_name: 'on'
"""
_YAML_TOKENS = (
    "&a ", "*a", "<<: *shape", "!!python/object/apply:os.system ['touch ran']", "!!binary ",
    "!!timestamp ", "!!set ", "!!int ", "!!float ", "!!omap ", "2001-99-99", "1:99:99", "0o9",
    ".nan", ".inf", "? ", "- ", ": ", "{", "}", "[", "]", "|", ">", "%YAML 9.9", "---", "...", "~",
    "!", "@",
    "!!python/name:os.system ", "{a: b}: c", "[1]: c", "=", "0x", "null: null", "\\", '"\\ud800"',
    '"\\x00"', "1e400", "loop.name",
)  # fmt: skip


def read_settings(folder: Path) -> None:
    """The settings as commands show them."""
    from aam.facts.settings import read_overrides, read_settings

    read_overrides(folder)
    settings = read_settings(folder)
    " ".join([*settings, *settings.values()]).encode()


@contextmanager
def explained() -> Iterator[None]:
    """As commands do: what Hydra refuses is told in our words."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from aam.composing.explain import explain
    from aam.errors import UserError

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, [])) from None


def read_resumed(folder: Path) -> None:
    """The settings as a run goes on with them."""
    from aam.cli.resume import taken_up

    with explained():
        taken_up([f"resume={folder}"])


def broken_yaml(rng: random.Random) -> bytes:
    """Broken text, aliases that multiply, deep nesting."""
    kind = rng.random()
    if kind < 0.05:
        depth = rng.choice((3, 8, 30))
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, depth)]
        return "\n".join([*lines, CONFIG]).encode()
    if kind < 0.08:
        sign = rng.choice(("[", "{a: ", "- ", "? "))
        return (CONFIG + "deep: " + sign * rng.choice((50, 900, 20_000))).encode()
    return mutated_text(rng, CONFIG, _YAML_TOKENS)


def readers() -> tuple[Reader, ...]:
    """Both of them."""
    run = {"last.pt": "x", ".hydra/hydra.yaml": "hydra: {runtime: {cwd: /data}}\n"}
    file = ".hydra/config.yaml"
    shown = document_reader("config.yaml", file, CONFIG.encode, broken_yaml, read_settings)
    resumed = document_reader(
        "config.yaml of resume=", file, CONFIG.encode, broken_yaml, read_resumed, run
    )
    return shown, replace(resumed, modules=("aam.cli.resume", "aam.composing.compose"))
