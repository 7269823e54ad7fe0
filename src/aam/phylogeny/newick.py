"""A Newick reader that gives arrays instead of a tree of objects.

Nodes are numbered as they open in the text, which is preorder; tips are numbered as they appear,
which is depth-first leaf order. A node's tips are then the run ``start .. stop - 1`` of the leaf
order, and nothing here depends on how deep the tree is.

Source of the grammar: Felsenstein's Newick standard and Olsen's interpretation of it (PHYLIP).
"""

import re
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from aam.inputs import parse_number, short

_TOKEN = re.compile(
    r"""\s+ | \[[^\]]*\]
    | (?P<mark>[(),:;])
    | '(?P<quoted>(?:[^']|'')*)'
    | (?P<plain>[^\s()\[\]':;,]+(?:''[^\s()\[\]':;,]*)*)
    | (?P<unclosed>['\[])
    | (?P<stray>\])""",
    re.VERBOSE,
)


class NewickError(ValueError):
    """The text is not one Newick tree; the message completes "the file ..."."""


@dataclass(frozen=True)
class Newick:
    """One rooted tree: its tips in leaf order, its nodes (with the root) in preorder."""

    tip_names: list[str]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    length: NDArray[np.float64]
    num_without_length: int
    num_root_children: int


def parse_newick(text: str) -> Newick:
    """Parse one tree; support values and other labels of inner nodes are read over.

    Unquoted labels are kept as written (a ``_`` stays a ``_``), quoted ones lose their quotes, and
    an unnamed tip is called "". The root's own branch length counts, as it does for scikit-bio.

    Raises
    ------
    NewickError
        Saying what is wrong and at which character.
    """
    if not text.strip():
        raise NewickError("is empty")
    reader = _Reader()
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        try:
            reader.read(kind, match[kind])
        except NewickError as error:
            raise NewickError(f"{error} (at character {match.start() + 1})") from None
    return reader.finish()


class _Reader:
    """The state between two tokens: which node is being read, and what may follow."""

    def __init__(self) -> None:
        self.tip_names: list[str] = []
        self.start: list[int] = []
        self.stop: list[int] = []
        self.length: list[float | None] = []
        self.open: list[int] = []
        self.node = -1
        self.num_root_children = 0
        # One of: node (one must begin), label, length, number (after a colon), end, done.
        self.expect = "node"

    def read(self, kind: str, value: str) -> None:
        if self.expect == "done":
            raise NewickError("holds more than one tree, or text after the closing ';'")
        if kind == "unclosed":
            raise NewickError(
                f"opens a {'quote' if value == chr(39) else 'comment'} and never closes it"
            )
        if kind == "stray":
            raise NewickError("has a ']' that closes nothing")
        if kind == "mark":
            self._mark(value)
        else:
            # scikit-bio doubles the quotes of a label even where it does not quote the label.
            self._word(value.replace("''", "'"), kind)

    def finish(self) -> Newick:
        if self.expect != "done":
            inside = f" inside {len(self.open)} open parentheses" if self.open else ""
            raise NewickError(f"ends{inside} before the closing ';' of the tree: is it truncated?")
        length = np.array([0.0 if x is None else x for x in self.length])
        return Newick(
            tip_names=self.tip_names,
            start=np.array(self.start, dtype=np.int64),
            stop=np.array(self.stop, dtype=np.int64),
            length=length,
            num_without_length=sum(x is None for x in self.length[1:]),
            num_root_children=self.num_root_children,
        )

    def _mark(self, mark: str) -> None:
        if self.expect == "number":
            raise NewickError(f"has no branch length between ':' and '{mark}'")
        if mark == "(":
            if self.expect != "node":
                raise NewickError("has a '(' where ',' or ')' should stand")
            self.open.append(self._begin())
            return
        if self.expect == "node":
            self._tip("")
        if mark == ":":
            if self.expect == "end":
                raise NewickError("has two branch lengths on one node")
            self.expect = "number"
        elif mark == ",":
            if not self.open:
                raise NewickError("has a ',' outside of all parentheses")
            self.expect = "node"
        elif mark == ")":
            if not self.open:
                raise NewickError("has a ')' that closes nothing")
            self.node = self.open.pop()
            self.stop[self.node] = len(self.tip_names)
            self.expect = "label"
        else:
            if self.open:
                raise NewickError(f"has a ';' inside {len(self.open)} open parentheses")
            self.expect = "done"

    def _word(self, word: str, kind: str) -> None:
        if self.expect == "node":
            self._tip(word)
        elif self.expect == "label":
            self.expect = "length"
        elif self.expect == "number":
            self.length[self.node] = _branch_length(word if kind == "plain" else "")
            self.expect = "end"
        else:
            raise NewickError(
                f"has {short([word])[0]!r} where ',' or ')' should stand (quote labels with spaces)"
            )

    def _begin(self) -> int:
        self.node = len(self.start)
        self.num_root_children += len(self.open) == 1
        self.start.append(len(self.tip_names))
        self.stop.append(len(self.tip_names))
        self.length.append(None)
        return self.node

    def _tip(self, name: str) -> None:
        self._begin()
        self.tip_names.append(name)
        self.stop[self.node] += 1
        self.expect = "length"


def _branch_length(word: str) -> float:
    try:
        length = parse_number(word)
    except ValueError:
        length = float("nan")
    if not isfinite(length):
        raise NewickError(f"has {short([word])[0]!r} for a branch length")
    return length
