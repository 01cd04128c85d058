"""What pruning came to: the columns of its CSV files, the table on stdout, the JSON."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from defense.channels import TEST_MEANS, VALID_MEAN
from defense.metrics import percent
from defense.printing import print_table
from defense.split import Split
from defense.sweeping import Pruning, RowCounts


def curve_percentages(
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


def channel_means(
    valid: RowCounts, clean: RowCounts | None, backdoored: RowCounts | None
) -> dict[str, np.ndarray]:
    """The columns of channels.csv, in channel order, of the sets that are at hand."""
    sets = zip((VALID_MEAN, *TEST_MEANS), (valid, clean, backdoored), strict=True)
    return {name: rows.mean_activation for name, rows in sets if rows}


def print_repairs(
    stops: Mapping[Fraction, int | None],
    percentages: Mapping[str, Sequence[float]],
    saved: Mapping[Fraction, Path],
) -> None:
    """Print one row for B and for each X: channels pruned, accuracies and ASR, and the file."""
    headings = {
        "valid_accuracy": "valid",
        "test_accuracy": "test",
        "test_asr": "ASR",
        "goodnet_accuracy": "G test",
        "goodnet_asr": "G ASR",
    }
    shown = [name for name in headings if name in percentages]

    def row(drop: str, pruned: int, file: str) -> list[str]:
        return [drop, str(pruned), *(f"{percentages[name][pruned]:.2f}" for name in shown), file]

    rows = [row("-", 0, "B itself")]
    for drop, pruned in stops.items():
        if pruned is None:
            rows.append([f"{float(drop):g}", *[""] * (len(shown) + 1), "not reached"])
        else:
            rows.append(row(f"{float(drop):g}", pruned, str(saved[drop])))
    columns = ["X", "channels pruned", *(headings[name] for name in shown), "network"]
    better = {headings[name]: "down" if name.endswith("asr") else "up" for name in shown}
    print_table("B' and G after pruning, in percent", columns, rows, better)


def repairs_json(
    split: Split,
    pruning: Pruning,
    percentages: Mapping[str, Sequence[float]],
    saved: Mapping[Fraction, Path],
) -> dict:
    """What repair.py found, as plain values; `curve` has a value for each number pruned."""
    return {
        "layer": split.layer.name,
        "reason": split.reason,
        "measured_at": split.measured_at,
        "order": pruning.order,
        "mean_activation": pruning.mean_activation,
        "networks": [
            {
                "drop": float(drop),
                "pruned": pruned,
                "network": None if pruned is None else str(saved[drop]),
            }
            for drop, pruned in pruning.stops.items()
        ],
        "curve": percentages,
    }
