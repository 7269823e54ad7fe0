"""What of its settings a run may change when it goes on."""

from collections.abc import Mapping
from typing import Any

from aam.config.root import FILE_KEYS

# A trailing dot stands for all keys below.
CHANGEABLE = (
    "trainer.epochs",
    "trainer.max_minutes",
    "trainer.device",
    "trainer.num_threads",
    "trainer.memory_gib",
    "trainer.compile",
    "model.asv_chunk_size",
    "model.activation_checkpointing",
    "trainer.strategy",
    "trainer.wait_minutes",
    "trainer.max_grad_norm",
    "checkpoint.",
    "early_stopping.patience",
    "optimizer.lr",
    "monitor",
    "logging.",
)
_FREE = ("optimizer.", "scheduler.")


def is_changeable(key: str) -> bool:
    """Whether a dotted key may differ from the run as it was started."""
    return any(key == one or (one[-1] == "." and key.startswith(one)) for one in CHANGEABLE)


def illicit_changes(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Dotted key → what it was and what it is, of settings that may not differ and do.

    A key that only one of them has belongs to another version of the program, unless its group has
    free keys.
    """
    was, is_now = _flat(before), _flat(now)
    free = {key for key in was.keys() | is_now.keys() if key.startswith(_FREE)}
    return {
        key: (was.get(key), is_now.get(key))
        for key in was.keys() & is_now.keys() | free
        # Files may lie elsewhere now: what is in them is compared, where it matters.
        if was.get(key) != is_now.get(key) and key not in FILE_KEYS and not is_changeable(key)
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        is_group = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if is_group else {prefix + name: value}
    return flat
