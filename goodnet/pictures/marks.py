"""The marks of the drops X on a picture: where pruning stops, with labels above the panels."""

from collections.abc import Mapping
from fractions import Fraction

from matplotlib.axes import Axes

from goodnet.pictures.canvas import FONT, MARK


def label_stops(stops: Mapping[Fraction, int | None]) -> dict[int, str]:
    """The text for each mark, by its number of pruned channels; one mark can be of several X."""
    marks: dict[int, list[str]] = {}
    for drop in sorted(stops):
        if (pruned := stops[drop]) is not None:
            marks.setdefault(pruned, []).append(f"{float(drop):g}")
    labels = {}
    for pruned, drops in marks.items():
        listed = ", ".join(drops) if len(drops) <= 3 else f"{drops[0]} to {drops[-1]}"
        labels[pruned] = f"X = {listed}: {pruned} channel" + "s" * (pruned != 1)
    return labels


def draw_labels(axes: Axes, channels: int, labels: Mapping[int, str]) -> None:
    """The labels above the panels: a row each, towards the middle, on a line up from the mark.

    In this order of rows no line crosses a label of its own half; one of the other half hides it.
    """
    left = sorted((pruned for pruned in labels if pruned * 2 < channels), reverse=True)
    right = sorted(pruned for pruned in labels if pruned * 2 >= channels)
    axes.set_axis_off()
    axes.set_xlim(-2, 102)
    axes.set_ylim(0, len(labels))
    for row, pruned in enumerate(left + right):
        share = pruned / channels * 100
        axes.plot([share, share], [0, row + 0.9], **MARK)
        axes.annotate(
            labels[pruned],
            (share, row + 0.55),
            (3 if pruned in left else -3, 0),
            textcoords="offset points",
            ha="left" if pruned in left else "right",
            va="center_baseline",
            fontsize=FONT,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
