"""The pruning curve, and `pruning.csv`, the file that carries it from repair.py to plot.py.

One row for each number of pruned channels, 0 to all; everything in percent, with every digit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from goodnet import tables
from goodnet.errors import Unusable

VALID = "valid_accuracy"
TEST_COLUMNS = (
    "test_accuracy",
    "test_asr",
    "goodnet_accuracy",
    "goodnet_asr",
    "goodnet_clean_rejected",
    "goodnet_backdoored_rejected",
)
REQUIRED = ("pruned", "channel", "mean_activation", VALID)
# A percentage is count / n * 100, rounded to a double, so a drop of exactly X points can come out
# some 1e-14 short of X. Counts that differ are 100 / n points apart, far more than this.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class PruningCurve:
    """What B becomes as its C channels are pruned one after the other."""

    channels: tuple[int, ...]  # (C,) in the order of pruning
    mean_activation: tuple[float, ...]  # (C,) in the same order
    percentages: dict[str, tuple[float, ...]]  # column -> (C + 1,), the first value is B's own


def first_reaching(curve: PruningCurve, drops: Iterable[Fraction]) -> dict[Fraction, int | None]:
    """For each drop X, the first number of pruned channels that costs X points or more.

    The points are of clean validation accuracy, against B's own. None where X is never reached.
    """
    own, *rest = curve.percentages[VALID]
    return {
        drop: next((k for k, now in enumerate(rest, 1) if own - now >= drop - TOLERANCE), None)
        for drop in drops
    }


def write_curve(path: Path, curve: PruningCurve) -> None:
    """Write `pruning.csv`. Raises Unusable where that cannot be done."""
    columns = [name for name in (VALID, *TEST_COLUMNS) if name in curve.percentages]
    channels = ["", *map(int, curve.channels)]
    means = ["", *map(float, curve.mean_activation)]
    percentages = [map(float, curve.percentages[name]) for name in columns]
    rows = zip(range(len(channels)), channels, means, *percentages, strict=True)
    tables.write(path, [*REQUIRED[:3], *columns], rows)


def read_curve(path: Path) -> PruningCurve:
    """Read `pruning.csv`; columns that it does not know are passed over.

    Raises Unusable, which names line and column, where the file is not such a curve.
    """
    header, cells = tables.read(path, REQUIRED, TEST_COLUMNS, "a pruning.csv that repair.py wrote")
    columns = [name for name in (VALID, *TEST_COLUMNS) if name in header]
    if len(cells) < 2:
        raise Unusable(f"{path}: needs a row for each channel, and row 0; it has {len(cells)} rows")
    _check_order(cells)
    return PruningCurve(
        tables.channels(cells[1:]),
        tuple(tables.number(row, "mean_activation", -math.inf, math.inf) for row in cells[1:]),
        {name: tuple(tables.number(row, name, 0, 100) for row in cells) for name in columns},
    )


def _check_order(cells: list[dict[str, str]]) -> None:
    for pruned, row in enumerate(cells):
        if row["pruned"] != str(pruned):
            raise Unusable(
                f"{row['']}, column pruned: is {row['pruned']!r}, not {pruned}; "
                "rows are missing or out of order"
            )
    for name in ("channel", "mean_activation"):
        if cells[0][name]:
            raise Unusable(f"{cells[0]['']}, column {name}: must be empty, as nothing is pruned")
