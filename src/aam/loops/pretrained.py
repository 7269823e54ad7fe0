"""The encoder that a supervised loop starts from: a pretrained one, or a fresh one."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from aam.config import Config, DataConfig, ModelConfig
from aam.errors import UserError, shown
from aam.loops.run import Run
from aam.models.encoder import Encoder
from aam.prediction.models import load_into, make_encoder, saved_group
from aam.training.checkpoint import LAST, MODEL, load_checkpoint, load_newest
from aam.training.distributed import of_first
from aam.training.safe_load import part, understood

# What does not shape the weights, and may differ from the pretrained encoder's.
FREE = ("sample_dropout", "asv_chunk_size", "activation_checkpointing")
_PREFIX = "encoder."
PRETRAINED = "pretrained"  # its key among a run's inputs


def build_encoder(config: Config, run: Run) -> tuple[Encoder, Config]:
    """The encoder, with the weights of ``pretrained=`` where that is given, and the config of it.

    The config that comes back has the shape and the UniFrac metric of the pretrained encoder, which
    need not be set again. A run that goes on finds both in its own checkpoint, and its weights come
    with the rest of its state.

    Raises
    ------
    UserError
        There is no such checkpoint, it holds no encoder, or ``model.*`` asks for another shape; or
        a fresh encoder is to be frozen.
    """
    if config.pretrained is None:
        if config.freeze != "none" or config.loop.name == "probe":
            what = "loop=probe" if config.loop.name == "probe" else f"freeze={config.freeze}"
            raise UserError(
                f"{what} keeps the encoder as it is, and a fresh one knows nothing; "
                "set pretrained= to the folder of a pretraining run"
            )
        return make_encoder(config.model, config.data), config
    path, state = of_first(lambda: _checkpoint(config, run))
    with understood(path):
        saved = part(state, "config")
        data = saved_group(DataConfig, saved["data"])
        shape = asdict(saved_group(ModelConfig, saved["model"]))
        config = replace(
            config,
            model=_shape(shape, config.model, path),
            data=replace(config.data, unifrac=data.unifrac, unifrac_alpha=data.unifrac_alpha),
        )
        weights = {
            name.removeprefix(_PREFIX): tensor
            for name, tensor in part(state, "model").items()
            if name.startswith(_PREFIX)
        }
        if not weights:
            raise UserError(f"pretrained={path} holds no encoder: give a run of loop=pretrain")
        make = partial(make_encoder, config.model, config.data)
        return load_into(make, config.model, weights), config


def _checkpoint(config: Config, run: Run) -> tuple[Path, dict[str, Any]]:
    """Where the encoder comes from, and the config and the model there."""
    if run.resume and run.run_dir is not None:
        path = run.run_dir / LAST
        state, _ = load_newest(run.run_dir)
    else:
        path = checkpoint_of(str(config.pretrained), "pretrained")
        state = load_checkpoint(path)
    return path, {key: state[key] for key in ("config", "model") if key in state}


def inputs_of(config: Config, files: Mapping[str, Path]) -> dict[str, Path]:
    """The files that a supervised run read, the checkpoint among them.

    A run that goes on does without it, and it may be gone by then.
    """
    if config.pretrained is None:
        return dict(files)
    path = Path(config.pretrained).expanduser()
    path = path / MODEL if path.is_dir() else path
    return {**files, PRETRAINED: path} if path.exists() else dict(files)


def checkpoint_of(given: str, key: str) -> Path:
    """The checkpoint that a run folder or a file stands for."""
    path = Path(given).expanduser()
    if path.is_dir():
        if not (path / MODEL).exists():
            raise UserError(f"{key}={path} has no {MODEL}: give the folder of a run that has ended")
        return path / MODEL
    return path


def _shape(saved: dict[str, Any], asked: ModelConfig, path: Path) -> ModelConfig:
    """The pretrained shape with this run's free settings.

    A shape that nobody asked for (the default) gives way; any other must be the same.
    """
    wanted, default = asdict(asked), asdict(ModelConfig())
    shape = [key for key in default if key not in FREE]
    differing = [key for key in shape if wanted[key] != saved[key]]
    if differing and any(wanted[key] != default[key] for key in shape):
        named = [f"model.{key}={wanted[key]} (pretrained: {saved[key]})" for key in differing]
        raise UserError(
            f"model= does not fit pretrained={path}: {shown(named, 10)}; leave model= out, and the "
            "shape of the pretrained encoder is taken"
        )
    free = {key: wanted[key] for key in FREE}
    return ModelConfig(**{key: saved[key] for key in shape} | free)
