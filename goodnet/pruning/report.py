"""What pruning prints, and its JSON."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from goodnet.cli.table import Direction, print_table
from goodnet.networks.split import Split
from goodnet.pruning.curve import PruningCurve
from goodnet.pruning.sweeping import Pruning


def print_pruned(pruning: Pruning, curve: PruningCurve, saved: Mapping[Fraction, Path]) -> None:
    """Print one row for B and for each X: channels pruned, accuracies and ASR, and the file."""
    headings = {
        "valid_accuracy": "valid",
        "test_accuracy": "test",
        "test_asr": "ASR",
        "goodnet_accuracy": "G test",
        "goodnet_asr": "G ASR",
    }
    percentages = curve.percentages
    shown = [name for name in headings if name in percentages]

    def row(drop: str, pruned: int, file: str) -> list[str]:
        return [drop, str(pruned), *(f"{percentages[name][pruned]:.2f}" for name in shown), file]

    rows = [row("-", 0, "B itself")]
    for drop, pruned in pruning.stops.items():
        if pruned is None:
            rows.append([f"{float(drop):g}", *[""] * (len(shown) + 1), "not reached"])
        else:
            rows.append(row(f"{float(drop):g}", pruned, str(saved[drop])))
    columns = ["X", "pruned", *(headings[name] for name in shown), "network"]
    better: dict[str, Direction] = {
        headings[name]: "down" if name.endswith("asr") else "up" for name in shown
    }
    print_table("B' and G after pruning, in percent", columns, rows, better)


def never_reached(pruning: Pruning, saved: Mapping[Fraction, Path]) -> list[str]:
    """A line for each X for which no network is saved; it tells where an older one still lies."""
    return [
        f"X = {float(drop):g} is never reached: no network is saved for it"
        + (f"; {saved[drop]} is of an earlier run." if saved[drop].exists() else ".")
        for drop, pruned in pruning.stops.items()
        if pruned is None
    ]


def pruned_json(
    split: Split, pruning: Pruning, curve: PruningCurve, saved: Mapping[Fraction, Path]
) -> dict:
    """The same as plain values; `curve` has a value for each number of pruned channels."""
    return {
        "layer": split.layer.name,
        "reason": split.reason,
        "measured_at": split.measured_at,
        "silenced_in": split.silenced_in,
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
        "curve": curve.percentages,
    }
