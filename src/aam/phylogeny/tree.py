"""The rooted tree over the ASVs of a table, as arrays.

Shapes: A ASVs (columns of the table), U distinct ASVs of a batch, E edges.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aam.errors import UserError, shown
from aam.inputs import decode_text, read_bytes, short
from aam.phylogeny.newick import Newick, NewickError, parse_newick
from aam.qza import ZIP_MAGIC, read_member

_log = logging.getLogger(__name__)
_MOST_LENGTH = 1e300  # of all branches: sums of them must stay numbers


class MissingTipsError(UserError):
    """ASVs that the tree has no tip for; under other names it may have."""

    def __init__(self, sentence: str, num_missing: int) -> None:
        super().__init__(sentence)
        self.num_missing = num_missing


@dataclass(frozen=True)
class Tree:
    """A rooted tree whose tips are the columns of a table.

    Tips are numbered in depth-first leaf order, so the tips under any edge are one run of numbers,
    and the mass under it is the difference of two cumulative sums. Edges stand in preorder, each
    node's edge being the one above it. An edge that leads to the same tips as the edge below it is
    merged with it, and the edges from the tips' common ancestor up to the root are kept: scikit-bio
    counts them too.
    """

    tip_order: NDArray[np.int64]
    """``[A]`` the leaf position of each column."""
    start: NDArray[np.int64]
    """``[E]`` the first leaf position under each edge."""
    stop: NDArray[np.int64]
    """``[E]`` the leaf position after the last one under each edge."""
    length: NDArray[np.float64]
    """``[E]`` branch lengths, in the unit of the file."""

    def shear(self, columns: NDArray[np.int64]) -> "Tree":
        """The tree of some columns ``[U]`` (distinct), which become columns 0 .. U - 1.

        Distances between samples that hold only these ASVs are the same on the sheared tree.
        """
        positions = self.tip_order[columns]
        kept = np.zeros(len(self.tip_order) + 1, dtype=np.int64)
        kept[positions + 1] = 1
        rank = np.cumsum(kept)  # rank[p]: how many kept tips stand before leaf position p
        start, stop = rank[self.start], rank[self.stop]
        occupied = np.flatnonzero(stop > start)
        start, stop = start[occupied], stop[occupied]
        # In preorder, edges over the same tips follow each other once the empty ones are gone.
        first = np.ones(len(occupied), dtype=bool)
        first[1:] = (start[1:] != start[:-1]) | (stop[1:] != stop[:-1])
        heads = np.flatnonzero(first)
        length = np.add.reduceat(self.length[occupied], heads) if len(heads) else np.zeros(0)
        return Tree(tip_order=rank[positions], start=start[heads], stop=stop[heads], length=length)


def read_tree(path: Path, tip_names: Sequence[str]) -> Tree:
    """Read a Newick file or a QIIME 2 ``Phylogeny[Rooted]`` artifact for the columns of a table.

    Tip ``k`` of the tree is ``tip_names[k]``; tips that no column names are pruned. Names are
    matched as they are written; a column that finds no tip so is matched once more with ``_`` and
    space taken as the same, because unquoted Newick labels cannot hold a space. Inner labels
    (support values) are read over. A root with more than two children is taken as the root.

    Raises
    ------
    UserError
        The file is no Newick tree, has negative or absurdly long branches or, above ``tip_names``,
        none but 0, names one of them twice, or lacks some (``MissingTipsError``).
    """
    content = read_bytes(path, "the tree")
    if content.startswith(ZIP_MAGIC):
        content = read_member(path, "Phylogeny[Rooted]", "tree.nwk")
    try:
        newick = parse_newick(decode_text(content, "the tree", path))
    except NewickError as error:
        raise UserError(f"the tree {path} {error}; give one tree in Newick format") from None
    _refuse_lengths(newick, path)
    positions = _match(newick.tip_names, tip_names, path)
    whole = Tree(
        tip_order=np.arange(len(newick.tip_names), dtype=np.int64),
        start=newick.start,
        stop=newick.stop,
        length=newick.length,
    )
    tree = whole.shear(positions)
    if not tree.length.any():
        raise UserError(
            f"the tree {path} has no branch length above 0 between its root and the"
            f" {len(tip_names)} ASVs of the table, so that all distances would be 0;"
            " give a tree with branch lengths"
        )
    _give_notice(newick, positions, path)
    return tree


def _refuse_lengths(newick: Newick, path: Path) -> None:
    negative = np.flatnonzero(newick.length < 0)
    if len(negative):
        tips = [newick.tip_names[newick.start[edge]] for edge in negative]
        raise UserError(
            f"{len(negative)} branch lengths of the tree {path} are negative, at or above the tips"
            f" {shown(short(tips))}; give a tree whose lengths are all 0 or more"
        )
    if newick.length.max() > _MOST_LENGTH / len(newick.length):
        raise UserError(
            f"the tree {path} has a branch of length {newick.length.max():g}, too long to be added"
            " up; give a tree with sensible lengths"
        )


def _give_notice(newick: Newick, positions: NDArray[np.int64], path: Path) -> None:
    if newick.num_without_length:
        _log.warning(
            "%d of the %d branches of the tree %s have no length and were given length 0",
            newick.num_without_length,
            len(newick.length) - 1,
            path,
        )
    if newick.num_root_children > 2:
        _log.warning(
            "the root of the tree %s has %d children, as an unrooted tree's has;"
            " it is taken as the root",
            path,
            newick.num_root_children,
        )
    pruned = np.setdiff1d(np.arange(len(newick.tip_names)), positions)
    if len(pruned):
        _log.info(
            "%d of the %d tips of the tree %s are not in the table and were pruned: %s",
            len(pruned),
            len(newick.tip_names),
            path,
            shown(short(newick.tip_names[position] for position in pruned)),
        )


def _match(tips: Sequence[str], wanted: Sequence[str], path: Path) -> NDArray[np.int64]:
    """The leaf position of every wanted name, ``[A]``."""
    found, missing = _look_up(tips, range(len(tips)), wanted, path)
    if missing:
        taken = set(found.values())
        free = [position for position in range(len(tips)) if position not in taken]
        respelled = {name.replace("_", " "): name for name in missing}
        spaced = [name.replace("_", " ") for name in tips]
        more, _ = _look_up(spaced, free, list(respelled), path)
        found |= {respelled[name]: position for name, position in more.items()}
        missing = [name for name in missing if name not in found]
        if more:
            _log.warning(
                "%d ASVs were matched to tips of the tree %s by taking '_' and ' ' as the same: %s",
                len(more),
                path,
                shown(short(respelled[name] for name in more)),
            )
    if missing:
        raise MissingTipsError(
            f"{len(missing)} of {len(wanted)} ASVs are not tips of the tree {path}:"
            f" {shown(short(missing))} (its tips are named like {shown(short(tips), 2)});"
            " give the tree that was made for this table",
            len(missing),
        )
    return np.array([found[name] for name in wanted], dtype=np.int64)


def _look_up(
    tips: Sequence[str], positions: Sequence[int], wanted: Sequence[str], path: Path
) -> tuple[dict[str, int], list[str]]:
    """Positions of the wanted names among the tips at ``positions``, and the names not found."""
    found: dict[str, int] = {}
    repeated: set[str] = set()
    asked = set(wanted)
    for position in positions:
        name = tips[position]
        if name in asked:
            if name in found:
                repeated.add(name)
            found[name] = position
    if repeated:
        raise UserError(
            f"{len(repeated)} names stand at more than one tip of the tree {path}:"
            f" {shown(short(sorted(repeated)))}; every tip needs its own name"
        )
    return found, [name for name in wanted if name not in found]
