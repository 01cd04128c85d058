"""What pruning leaves in files: a network for each X and its goodnet, pruning.csv, channels.csv."""

from collections.abc import Mapping
from pathlib import Path

import keras

from goodnet.files import alone_in
from goodnet.lab import PrunedFiles
from goodnet.metrics import percent
from goodnet.networks.goodnet import goodnet_network
from goodnet.networks.loading import LoadedNetwork, load_network
from goodnet.networks.split import Split, silenced_arrays
from goodnet.networks.writing import Change, write_copy, write_network
from goodnet.pruning.curve import (
    TEST_MEANS,
    VALID_MEAN,
    PruningCurve,
    write_channels,
    write_curve,
)
from goodnet.pruning.sweeping import Pruning, RowCounts
from goodnet.vetting import quarantine

Counted = Mapping[str, RowCounts | None]  # on "valid", "clean" and "backdoored" images
# Of pruning.csv: the column, the images it is of, and which of their counts.
COLUMNS = (
    ("valid_accuracy", "valid", "hits"),
    ("test_accuracy", "clean", "hits"),
    ("test_asr", "backdoored", "hits"),
    ("goodnet_accuracy", "clean", "goodnet_hits"),
    ("goodnet_asr", "backdoored", "goodnet_hits"),
    ("goodnet_clean_rejected", "clean", "rejected"),
    ("goodnet_backdoored_rejected", "backdoored", "rejected"),
)


def write_pruned(
    files: PrunedFiles,
    loaded: LoadedNetwork,
    split: Split,
    pruning: Pruning,
    clean: RowCounts | None,
    backdoored: RowCounts | None,
) -> PruningCurve:
    """Write all `files`; the curve that stands in one of them.

    `split`: the loaded network, split. clean, backdoored: what was counted on test sets, None for
    what is not at hand. Raises Unusable where a file cannot be written.
    """
    counted = {"valid": pruning.valid, "clean": clean, "backdoored": backdoored}
    curve = curve_of(pruning, clean, backdoored)
    with alone_in(files.curve.parent):  # so that all are of one run
        for drop, pruned in pruning.stops.items():
            if pruned is not None:
                arrays = silenced_arrays(split, pruning.order[:pruned])
                changes = zip(split.variables, split.arrays, arrays, strict=True)
                write_copy(loaded, files.networks[drop], [Change(*each) for each in changes])
                if drop in files.goodnets:
                    repaired = _read_back(files.networks[drop])
                    write_network(goodnet_network(loaded.model, repaired), files.goodnets[drop])
        write_curve(files.curve, curve)
        write_channels(files.channels, pruning.order, _channel_means(counted))
    return curve


def curve_of(
    pruning: Pruning, clean: RowCounts | None = None, backdoored: RowCounts | None = None
) -> PruningCurve:
    """The pruning curve, with the columns of what was counted on test sets, where it was."""
    counted = {"valid": pruning.valid, "clean": clean, "backdoored": backdoored}
    return PruningCurve(pruning.order, pruning.mean_activation, _percentages(counted))


def _read_back(path: Path) -> keras.Model:
    with quarantine.opened([path], []) as held:
        return load_network(held.network(path)).model


def _percentages(counted: Counted) -> dict[str, tuple[float, ...]]:
    """The percentage columns of pruning.csv, one value for each number of pruned channels."""
    percentages = {}
    for column, image_set, figure in COLUMNS:
        if rows := counted[image_set]:
            counts = getattr(rows, figure)
            percentages[column] = tuple(percent(int(count), rows.images) for count in counts)
    return percentages


def _channel_means(counted: Counted) -> dict[str, list[float]]:
    """The columns of channels.csv, in channel order, of the sets that are at hand."""
    sets = zip((VALID_MEAN, *TEST_MEANS), counted.values(), strict=True)
    return {column: rows.mean_activation.tolist() for column, rows in sets if rows}
