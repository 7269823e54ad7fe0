"""What can go wrong within a tree of plain values: JSON, YAML, the content of a checkpoint."""

import random
from collections.abc import Callable, Iterator
from typing import Any

ODD = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), "", " ", "x", "x" * 70_000, "\n", "a\nb\tc", "\0",
    "\x1b[31m", "\ud800", "\u202e", "٣", "nan", "1", "../../etc/passwd", "${oc.env:HOME}",
    "os.system", [], {}, [[]], [None], [1, "a", None], {"": {}}, {"id": 1}, [{}], "ACGT", "a" * 32,
)  # fmt: skip

Path = tuple[Any, ...]


def mutated_value(
    rng: random.Random, value: Any, odd: Callable[[random.Random], Any] | None = None
) -> Any:
    """A copy with one to three places changed; ``odd`` draws values that suit the format."""
    value = _copy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _changed(rng, value, odd or odd_value)
    return value


def odd_value(rng: random.Random) -> Any:
    """A value that few readers expect."""
    kind = rng.random()
    if kind < 0.9:
        return _copy(rng.choice(ODD))
    if kind < 0.95:
        return nested(rng.choice((10, 100, 900)), rng.random() < 0.5)
    return [rng.randrange(-9, 10**6) for _ in range(rng.choice((3, 1000)))]


def nested(depth: int, in_lists: bool) -> Any:
    """Lists in lists, or mappings in mappings."""
    value: Any = 0
    for _ in range(depth):
        value = [value] if in_lists else {"a": value}
    return value


def _changed(rng: random.Random, value: Any, odd: Callable[[random.Random], Any]) -> Any:
    places = list(_places(value, ()))
    path = rng.choice(places)
    if not path:
        return odd(rng) if rng.random() < 0.1 else value
    parent = _at(value, path[:-1])
    key = path[-1]
    match rng.randrange(7):
        case 0 | 1 | 2:
            parent[key] = odd(rng)
        case 3:
            del parent[key]
        case 4:
            parent[key] = [parent[key]]
        case 5:
            parent[key] = _copy(_at(value, rng.choice(places)))
        case _:
            if isinstance(parent, dict):
                parent[rng.choice(("x", "", "name", "a.b", "id", "0"))] = odd(rng)
            else:
                parent.extend(_copy(parent) * rng.choice((1, 1, 30)))
    return value


def _places(value: Any, path: Path) -> Iterator[Path]:
    yield path
    if isinstance(value, dict | list) and len(path) < 20:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*path, key))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _copy(value: Any) -> Any:
    """Of mappings and lists; what they hold is shared. Not ``deepcopy``: it recurses too soon."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
