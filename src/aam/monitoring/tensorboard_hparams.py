"""What TensorBoard's HParams tab knows of a run: its settings, and how it ended."""

import json
import math
from collections.abc import Iterable
from pathlib import Path

from aam.facts.settings import read_changes, read_choices, read_overrides, read_settings
from aam.monitoring.tensorboard_events import Value

Setting = float | bool | str

# What people compare: choices of groups, and settings (a trailing dot stands for all keys below).
# Any other setting appears where the command line gave it, unless it is one of PLUMBING.
CHOICES = ("loop", "data")
SETTINGS = (
    "loop.",
    "pretrained",
    "data.target",
    "data.rarefaction_depth",
    "data.token_limit",
    "split.fold",
    "split.seed",
    "trainer.seed",
)
# The same, of runs that train by gradients.
TRAINED_CHOICES = ("optimizer", "scheduler")
TRAINED_SETTINGS = (
    "data.batch_size",
    "optimizer.",
    "scheduler.",
    "trainer.epochs",
    "trainer.accumulate",
    "trainer.max_grad_norm",
    "trainer.precision",
    "early_stopping.patience",
)
PLUMBING = (
    "loop.name",
    "loop.max_eval_samples",
    "optimizer._target_",
    "optimizer.eps",
    "scheduler._target_",
    "scheduler.per",
    "scheduler.num_steps",
    "scheduler.total_iters",
    "data.table",
    "data.tree",
    "data.rep_seqs",
    "data.metadata",
    "data.distances",
    "trainer.device",
    "trainer.num_threads",
    "logging.",
    "run_name",
)


def read_hparams(run_dir: Path, *, is_trained: bool) -> dict[str, Setting]:
    """What people compare of a run, by the keys of its settings; what is null is left out.

    Raises
    ------
    UserError
        If the run folder holds no configuration.
    """
    changes = read_changes(run_dir)
    settings = read_settings(run_dir) | dict(map(_split, changes))
    choices, keys = [*CHOICES], [*SETTINGS]
    if is_trained:
        choices += TRAINED_CHOICES
        keys += TRAINED_SETTINGS
        if settings.get("pretrained", "null") == "null":
            choices.append("model")
        else:  # the shape is that of the pretrained model
            keys.append("freeze")
    given = {_split(override)[0] for override in (*read_overrides(run_dir), *changes)}
    chosen = {group: one for group, one in read_choices(run_dir).items() if group in choices}
    found = {
        key: text
        for key, text in settings.items()
        if (key in given or _is_among(key, keys)) and not _is_among(key, PLUMBING)
    }
    values = {key: _value(key, text) for key, text in (chosen | found).items()}
    return {key: value for key, value in values.items() if value is not None}


def session_start(hparams: dict[str, Setting], time_s: float) -> Value:
    """The run's row in the table of runs; ``time_s`` since the epoch of Unix."""
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(start_time_secs=time_s)
    for key, value in hparams.items():
        kind = (
            "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
        )
        setattr(info.hparams[key], f"{kind}_value", value)
    return _session(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(time_s: float, *, failed: bool) -> Value:
    """How the run ended. Before, TensorBoard calls its status unknown."""
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
    info = SessionEndInfo(status=status, end_time_secs=time_s)
    return _session(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _session(tag: str, content: object) -> Value:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    about = metadata.create_summary_metadata(content)
    return Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)


def _split(override: str) -> tuple[str, str]:
    key, _, text = override.partition("=")
    return key.lstrip("+"), text


def _is_among(key: str, names: Iterable[str]) -> bool:
    return any(key == name or (name[-1] == "." and key.startswith(name)) for name in names)


def _value(key: str, text: str) -> Setting | None:
    """A setting as TensorBoard takes it; None if it is null or no single value."""
    if key == "pretrained":
        return None if text == "null" else Path(text).name
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, bool):
        return value
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
