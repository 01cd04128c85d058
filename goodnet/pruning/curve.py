"""The files that carry a pruning from repair.py to plot.py: `pruning.csv` and `channels.csv`.

`pruning.csv` is the pruning curve: one row for each number of pruned channels, 0 to all;
everything in percent, with every digit. `channels.csv` has one row a channel, in the order of
pruning. What decides the order is its column `valid_mean_activation`; the others, of the test
files, are there to look at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
CURVE_COLUMNS = ("pruned", "channel", "mean_activation")  # and then the percentages
VALID_MEAN = "valid_mean_activation"
TEST_MEANS = ("test_mean_activation", "backdoored_mean_activation")
CHANNEL_COLUMNS = ("pruned", "channel")  # and then the means
# A percentage is count / n * 100, rounded to a double, so a drop of exactly X points can come out
# some 1e-14 short of X. Counts that differ are 100 / n points apart, far more than this.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class PruningCurve:
    """What B becomes as its C channels are pruned one after the other."""

    channels: tuple[int, ...]  # (C,) in the order of pruning
    mean_activation: tuple[float, ...]  # (C,) in the same order
    percentages: dict[str, tuple[float, ...]]  # column -> (C + 1,), the first value is B's own


@dataclass(frozen=True)
class ChannelMeans:
    """Mean activations at the measuring point, over all images of a set and all positions."""

    channels: tuple[int, ...]  # (C,) in the order of pruning
    means: dict[str, tuple[float, ...]]  # column -> (C,) in the same order


def points_lost(curve: PruningCurve) -> list[float]:
    """What 0, 1, … pruned channels cost, in points of clean validation accuracy, for `find_stops`.

    TOLERANCE is added, so that a drop of exactly X points is never less than X.
    """
    valid = curve.percentages[VALID]
    return [valid[0] - now + TOLERANCE for now in valid]


def write_curve(path: Path, curve: PruningCurve) -> None:
    """Write `pruning.csv`. Raises Unusable where that cannot be done."""
    columns = [name for name in (VALID, *TEST_COLUMNS) if name in curve.percentages]
    channels = ["", *map(int, curve.channels)]
    means = ["", *map(float, curve.mean_activation)]
    percentages = [map(float, curve.percentages[name]) for name in columns]
    rows = zip(range(len(channels)), channels, means, *percentages, strict=True)
    tables.write(path, [*CURVE_COLUMNS, *columns], rows)


def read_curve(path: Path) -> PruningCurve:
    """Read `pruning.csv`; columns that it does not know are passed over.

    Raises Unusable, which names line and column, where the file is not such a curve.
    """
    right = "a pruning.csv that repair.py wrote"
    table = tables.read(path, (*CURVE_COLUMNS, VALID), TEST_COLUMNS, right)
    columns = [name for name in (VALID, *TEST_COLUMNS) if name in table.columns]
    rows = table.rows
    if len(rows) < 2:
        raise Unusable(f"needs a row for each channel, and row 0; it has {len(rows)} rows", path)
    _check_order(rows)
    return PruningCurve(
        tables.read_channels(rows[1:]),
        tables.read_numbers(rows[1:], "mean_activation"),
        {name: tables.read_numbers(rows, name, 0, 100) for name in columns},
    )


def _check_order(rows: Sequence[tables.Row]) -> None:
    for pruned, row in enumerate(rows):
        if (text := row.texts["pruned"]) != str(pruned):
            reason = f"is {text!r}, not {pruned}; rows are missing or out of order"
            raise row.refusal("pruned", reason)
    for name in ("channel", "mean_activation"):
        if rows[0].texts[name]:
            raise rows[0].refusal(name, "must be empty, as nothing is pruned")


def write_channels(path: Path, order: Sequence[int], means: Mapping[str, Sequence[float]]) -> None:
    """Write `channels.csv`. `means`: column -> each channel's mean, in channel order, (C,).

    Raises Unusable where that cannot be done.
    """
    columns = [name for name in (VALID_MEAN, *TEST_MEANS) if name in means]
    rows = [
        [pruned, int(channel), *(float(means[name][channel]) for name in columns)]
        for pruned, channel in enumerate(order, 1)
    ]
    tables.write(path, [*CHANNEL_COLUMNS, *columns], rows)


def read_channels(path: Path) -> ChannelMeans:
    """Read `channels.csv`. Raises Unusable, which names line and column, where it is none."""
    right = "a channels.csv that repair.py wrote"
    table = tables.read(path, (*CHANNEL_COLUMNS, VALID_MEAN), TEST_MEANS, right)
    columns = [name for name in (VALID_MEAN, *TEST_MEANS) if name in table.columns]
    return ChannelMeans(
        tables.read_channels(table.rows),
        {name: tables.read_numbers(table.rows, name) for name in columns},
    )
