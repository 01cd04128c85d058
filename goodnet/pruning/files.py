"""What pruning leaves in files: a network for each X and its goodnet, pruning.csv, channels.csv."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from goodnet.lab import PrunedFiles
from goodnet.metrics import percent
from goodnet.networks.goodnet import goodnet_network
from goodnet.networks.loading import load_network, write_copy, write_network
from goodnet.networks.split import Split, silenced_arrays
from goodnet.pruning.curve import (
    TEST_MEANS,
    VALID_MEAN,
    PruningCurve,
    write_channels,
    write_curve,
)
from goodnet.pruning.sweeping import Pruning, RowCounts


def write_pruned(
    files: PrunedFiles,
    source: Path,
    network: keras.Model,
    split: Split,
    pruning: Pruning,
    tests: Sequence[RowCounts | None],
) -> PruningCurve:
    """Write all `files`; the curve that stands in one of them.

    `network` is what `load_network(source)` gave, `split` it split. tests: what was counted on a
    clean and on a backdoored test set, None for what is not at hand. Raises Unusable where a file
    cannot be written.
    """
    for drop, pruned in pruning.stops.items():
        if pruned is not None:
            arrays = silenced_arrays(split, pruning.order[:pruned])
            changes = zip(split.variables, split.arrays, arrays, strict=True)
            write_copy(source, files.networks[drop], network, changes)
            if drop in files.goodnets:
                goodnet = goodnet_network(network, load_network(files.networks[drop]))
                write_network(goodnet, files.goodnets[drop])
    percentages = _percentages(pruning.valid, *tests)
    curve = PruningCurve(pruning.order, pruning.mean_activation, percentages)
    write_curve(files.curve, curve)
    write_channels(files.channels, pruning.order, _channel_means(pruning.valid, *tests))
    return curve


def _percentages(
    valid: RowCounts, clean: RowCounts | None, backdoored: RowCounts | None
) -> dict[str, tuple[float, ...]]:
    """The percentage columns of pruning.csv, one value for each number of pruned channels."""
    columns = {"valid_accuracy": (valid, valid.hits)}
    if clean:
        columns["test_accuracy"] = (clean, clean.hits)
    if backdoored:
        columns["test_asr"] = (backdoored, backdoored.hits)
    if clean:
        columns["goodnet_accuracy"] = (clean, clean.goodnet_hits)
    if backdoored:
        columns["goodnet_asr"] = (backdoored, backdoored.goodnet_hits)
    if clean:
        columns["goodnet_clean_rejected"] = (clean, clean.rejected)
    if backdoored:
        columns["goodnet_backdoored_rejected"] = (backdoored, backdoored.rejected)
    return {
        name: tuple(percent(int(count), rows.images) for count in counts)
        for name, (rows, counts) in columns.items()
    }


def _channel_means(
    valid: RowCounts, clean: RowCounts | None, backdoored: RowCounts | None
) -> dict[str, np.ndarray]:
    """The columns of channels.csv, in channel order, of the sets that are at hand."""
    sets = zip((VALID_MEAN, *TEST_MEANS), (valid, clean, backdoored), strict=True)
    return {name: rows.mean_activation for name, rows in sets if rows}
