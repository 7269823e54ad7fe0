"""The words after ``aam-facts VERB`` and ``aam-monitor``, read one way for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from aam.errors import UserError

JSON = "--json"


@dataclass(frozen=True)
class Words:
    """What was given: ``named`` are folders and names of runs, ``values`` those of keys."""

    command: str
    """As in ``aam-facts show``."""
    named: tuple[str, ...]
    values: Mapping[str, str]
    is_json: bool

    def only_named(self) -> str:
        """The one run that the verb is about.

        Raises
        ------
        UserError
            If none is given, or several.
        """
        if len(self.named) != 1:
            given = f"not {len(self.named)}" if self.named else "and none is given"
            raise UserError(
                f"{self.command} takes one RUN, {given}: give its folder, a part of its "
                "name, or latest"
            )
        return self.named[0]

    def choice(self, key: str, among: Iterable[str], default: str) -> str:
        """The value of a key that has a few.

        Raises
        ------
        UserError
            If it is none of them.
        """
        return self.choices(key, among, [default])[0] if key in self.values else default

    def choices(self, key: str, among: Iterable[str], default: Sequence[str] = ()) -> list[str]:
        """The values of a key, given with commas between them.

        Raises
        ------
        UserError
            If one is none of those there are.
        """
        if key not in self.values:
            return list(default)
        known = list(among)
        values = self.values[key].split(",")
        for value in values:
            if value not in known:
                near = get_close_matches(value, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UserError(
                    f"{key}={value} is unknown to {self.command}: there is {', '.join(known)}{hint}"
                )
        return values


def read_words(
    verb: str,
    words: Sequence[str],
    *,
    program: str = "aam-facts",
    named: str,
    keys: Mapping[str, str] | None = None,
    has_json: bool = True,
) -> Words:
    """Sort the words of a verb.

    Parameters
    ----------
    named
        What stands for the words without a key in an error: ``RUN``, ``FOLDER …``.
    keys
        The keys that there are → what their value is, in capitals: ``{"output": "FILE"}``.

    Raises
    ------
    UserError
        If a word is an option or a key that the verb does not have, a key is given twice, or empty.
    """
    keys = keys or {}
    command = f"{program} {verb}".rstrip()
    others: list[str] = []
    values: dict[str, str] = {}
    for word in words:
        key, mark, value = word.partition("=")
        if word == JSON and has_json:
            continue
        if mark and key in keys:
            if not value:
                raise UserError(f"{key}= is empty: give it a value, or leave it out")
            if key in values:
                raise UserError(f"{key}= is given twice: give it once")
            values[key] = value
        elif word.startswith("-") or (mark and not Path(word).exists()):
            options = [
                named,
                *(f"{one}={keys[one]}" for one in keys),
                *([JSON] if has_json else []),
            ]
            raise UserError(f"{command} takes no {word}: there is {_said(options, key, keys)}")
        else:
            others.append(word)
    return Words(command, tuple(others), values, JSON in words and has_json)


def _said(options: Sequence[str], key: str, keys: Mapping[str, str]) -> str:
    """Those there are, and the nearest one."""
    from aam.composing.keys import nearest

    *rest, last = options
    near = nearest(key, keys)
    return (f"{', '.join(rest)} and {last}" if rest else last) + (
        f"; did you mean {near}=?" if near else ""
    )
