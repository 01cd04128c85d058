"""Where pruning stops: the rule by which repair.py saves networks and plot.py marks them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction


def find_stops(
    points_lost: Sequence[Fraction | float], drops: Iterable[Fraction]
) -> dict[Fraction, int | None]:
    """For each drop X, the first number of pruned channels that costs X points or more.

    `points_lost`: what 0, 1, … pruned channels cost, in percentage points of clean validation
    accuracy against B's own. None where X is never reached.
    """
    return {
        drop: next((k for k in range(1, len(points_lost)) if points_lost[k] >= drop), None)
        for drop in drops
    }
