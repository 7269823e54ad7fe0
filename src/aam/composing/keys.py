"""The keys of the configuration, and which of them a mistyped one may have meant."""

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from difflib import SequenceMatcher
from typing import Any, get_args

from aam.config import LOOPS, Config, LoopConfig

_LIKE_ENOUGH = 0.6


@dataclass(frozen=True)
class Key:
    """A dotted key of the configuration, with the text of its type and of its default."""

    name: str
    type: str
    default: str


def known_keys(schema: type = Config, prefix: str = "") -> Iterator[Key]:
    """Every key that the dataclasses have; ``NAME`` stands for the free keys of a mapping."""
    for field in fields(schema):
        name = prefix + field.name
        if field.type is LoopConfig:
            yield from _keys_of_loops(name + ".")
            continue
        if isinstance(field.type, type) and is_dataclass(field.type):
            yield from known_keys(field.type, name + ".")
            continue
        values = get_args(field.type)[1:]
        if values and isinstance(values[0], type) and is_dataclass(values[0]):
            yield from known_keys(values[0], name + ".NAME.")
        else:
            yield Key(name, _type_text(field), _default_text(field))


def keys_of_loops(prefix: str = "loop.") -> dict[str, tuple[str, ...]]:
    """Loop → the names of the keys that it reads."""
    return {
        loop: tuple(key.name for key in known_keys(schema, prefix))
        for loop, schema in LOOPS.items()
    }


def _keys_of_loops(prefix: str) -> Iterator[Key]:
    """The keys of every loop, with the loops that read them."""
    readers: dict[Key, list[str]] = {}
    for loop, schema in LOOPS.items():
        for key in known_keys(schema, prefix):
            if key.name != prefix + "name":
                readers.setdefault(key, []).append(loop)
    yield Key(prefix + "name", "str", "pretrain")
    for key, loops in readers.items():
        yield replace(key, type=f"{key.type}; loop={', '.join(loops)}")


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The known key that is most like this one, or None if none is.

    The last part of the key counts most: ``epochs`` is ``trainer.epochs``, and ``learning_rate`` is
    ``lr`` by its initials.
    """
    section, _, leaf = key.rpartition(".")
    best, best_likeness = None, 0.0
    for other in known:
        other_section, _, other_leaf = other.rpartition(".")
        likeness = _likeness(leaf, other_leaf)
        if likeness < _LIKE_ENOUGH:
            continue
        likeness += SequenceMatcher(None, section, other_section).ratio() / 4
        if likeness > best_likeness:
            best, best_likeness = other, likeness
    return best


def _likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if other in _initials(one) or one in _initials(other):
        return 0.9
    words = set(one.split("_")), set(other.split("_"))
    shared = 0.7 if words[0] & words[1] else 0.0
    return max(shared, SequenceMatcher(None, one, other).ratio())


def _initials(leaf: str) -> tuple[str, ...]:
    words = leaf.split("_")
    return ("".join(word[:1] for word in words),) if len(words) > 1 else ()


def _type_text(field: Field[Any]) -> str:
    return field.type.__name__ if isinstance(field.type, type) else str(field.type)


def _default_text(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "[]" if str(field.type).startswith("list") else "{}"
    if field.default is None or isinstance(field.default, bool):
        return "null" if field.default is None else str(field.default).lower()
    return str(field.default)
