"""`channels.csv`: each channel's mean activation on clean and on backdoored images.

It stands beside `pruning.csv`, which repair.py writes with it: one row a channel, in the order of
pruning. What decides the order is the column `valid_mean_activation`; the others, of the test
files, are there to look at.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goodnet import tables

VALID_MEAN = "valid_mean_activation"
TEST_MEANS = ("test_mean_activation", "backdoored_mean_activation")
REQUIRED = ("pruned", "channel", VALID_MEAN)


@dataclass(frozen=True)
class ChannelMeans:
    """Mean activations at the measuring point, over all images of a set and all positions."""

    channels: tuple[int, ...]  # (C,) in the order of pruning
    means: dict[str, tuple[float, ...]]  # column -> (C,) in the same order


def write_channels(path: Path, order: Sequence[int], means: Mapping[str, Sequence[float]]) -> None:
    """Write `channels.csv`. `means`: column -> each channel's mean, in channel order, (C,).

    Raises Unusable where that cannot be done.
    """
    columns = [name for name in (VALID_MEAN, *TEST_MEANS) if name in means]
    rows = [
        [pruned, int(channel), *(float(means[name][channel]) for name in columns)]
        for pruned, channel in enumerate(order, 1)
    ]
    tables.write(path, [*REQUIRED[:2], *columns], rows)


def read_channels(path: Path) -> ChannelMeans:
    """Read `channels.csv`. Raises Unusable, which names line and column, where it is none."""
    right = "a channels.csv that repair.py wrote"
    header, cells = tables.read(path, REQUIRED, TEST_MEANS, right)
    columns = [name for name in (VALID_MEAN, *TEST_MEANS) if name in header]
    return ChannelMeans(
        tables.channels(cells),
        {
            name: tuple(tables.number(row, name, -math.inf, math.inf) for row in cells)
            for name in columns
        },
    )
