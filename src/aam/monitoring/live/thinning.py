"""Fewer points for drawing, without losing what one looks for: the jumps, the best, the last."""

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

MAX_POINTS = 2_000


def kept(
    curves: Sequence[Sequence[float | None]],
    num_points: int,
    always: Iterable[int] = (),
    limit: int = MAX_POINTS,
) -> list[int]:
    """Which of ``num_points`` points to draw, in their order: all, or about ``limit``.

    Of each stretch, the lowest and the highest point of every curve stay, and so do the first, the
    last, and those of ``always`` (indices).
    """
    if num_points <= limit:
        return list(range(num_points))
    num_stretches = max(1, limit // max(1, 2 * len(curves)))
    bounds = [num_points * place // num_stretches for place in range(num_stretches + 1)]
    stretches = [range(*pair) for pair in pairwise(bounds)]
    extremes = (_extremes(curve, stretch) for stretch in stretches for curve in curves)
    return sorted({0, num_points - 1, *always, *chain.from_iterable(extremes)})


def _extremes(curve: Sequence[float | None], stretch: range) -> list[int]:
    known = [(value, index) for index in stretch if (value := curve[index]) is not None]
    return [min(known)[1], max(known)[1]] if known else [stretch[0]]
