"""The pictures of a pruning curve, drawn from `pruning.csv` alone, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from goodnet.pictures.canvas import (
    BOTTOM,
    FONT,
    GAP,
    GOODNET,
    LABEL_ROW,
    MARK,
    MARKED,
    PANEL,
    REPAIRED,
    TOP,
    VALIDATION,
    add_axes,
    finished,
    new_figure,
    percent_panel,
)
from goodnet.pruning.curve import VALID, PruningCurve

DRAWN = ("test_accuracy", "test_asr", "goodnet_accuracy", "goodnet_asr")


def draw(curve: PruningCurve, reached: Mapping[Fraction, int | None]) -> dict[str, Figure]:
    """The pictures by name, asr only where the curve has `test_asr`; see below."""
    figures = {"clean": clean_figure(curve)}
    if "test_asr" in curve.percentages:
        figures["asr"] = asr_figure(curve)
    return figures | {"pruning": pruning_figure(curve, reached)}


def clean_figure(curve: PruningCurve) -> Figure:
    """Clean accuracy against the number of channels pruned: validation, and B' and G on test."""
    figure = new_figure(BOTTOM + 2.2 + TOP)
    axes = percent_panel(figure, BOTTOM, 2.2, "Clean accuracy (%)")
    _against_channels(axes, curve, "test_accuracy", "B', test", REPAIRED)
    _against_channels(axes, curve, "goodnet_accuracy", "G, test", GOODNET)
    dots = VALIDATION | {"markevery": -(-len(curve.channels) // 32)}  # some 32 dots
    style = dots if "test_accuracy" in curve.percentages else REPAIRED
    _against_channels(axes, curve, VALID, "B', validation", style)
    return finished(figure, [axes], "Channels pruned")


def asr_figure(curve: PruningCurve) -> Figure:
    """Attack success rate against the number of channels pruned, of B' and of G."""
    figure = new_figure(BOTTOM + 2.2 + TOP)
    axes = percent_panel(figure, BOTTOM, 2.2, "Attack success rate (%)")
    _against_channels(axes, curve, "test_asr", "B'", REPAIRED)
    _against_channels(axes, curve, "goodnet_asr", "G", GOODNET)
    return finished(figure, [axes], "Channels pruned")


def pruning_figure(curve: PruningCurve, reached: Mapping[Fraction, int | None]) -> Figure:
    """Clean accuracy over attack success rate, as steps, with each X marked where it falls.

    `reached`: for each X the number of pruned channels (see `find_stops`); an X that is
    never reached (None) is not marked. The style is that of scikit-learn's example
    plot_cost_complexity_pruning.
    """
    has_test, has_asr = "test_accuracy" in curve.percentages, "test_asr" in curve.percentages
    labels = mark_labels(reached)
    strip = len(labels) * LABEL_ROW
    upper = BOTTOM + (PANEL + GAP) * has_asr
    figure = new_figure(upper + PANEL + strip + TOP)
    accuracy = "Clean accuracy (%)" if has_test else "Validation accuracy (%)"
    panels = [percent_panel(figure, upper, PANEL, accuracy)]
    columns = ("test_accuracy", "goodnet_accuracy") if has_test else (VALID,)
    _steps(panels[0], curve, columns, labels)
    if has_asr:
        panels[0].tick_params(labelbottom=False)
        panels.append(percent_panel(figure, BOTTOM, PANEL, "Attack success rate (%)"))
        _steps(panels[1], curve, ("test_asr", "goodnet_asr"), labels)
    for axes in panels:
        axes.set_xlim(-2, 102)
        axes.set_xticks(range(0, 101, 20))
    if labels:
        label_strip(add_axes(figure, upper + PANEL, strip), len(curve.channels), labels)
    return finished(figure, panels, f"Channels pruned (% of {len(curve.channels)})")


def _against_channels(
    axes: Axes, curve: PruningCurve, column: str, label: str, style: Mapping
) -> None:
    if column in curve.percentages:
        percentages = curve.percentages[column]
        axes.plot(range(len(percentages)), percentages, label=label, **style)
        axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))


def _steps(
    axes: Axes, curve: PruningCurve, columns: Sequence[str], marks: Mapping[int, str]
) -> None:
    """B', and G where at hand, in one panel; behind a step is the level of what it leads to."""
    channels = len(curve.channels)
    shares = [pruned / channels * 100 for pruned in range(channels + 1)]
    for column, label, style in zip(columns, ("B'", "G"), (REPAIRED, GOODNET), strict=False):
        if column in curve.percentages:
            percentages = curve.percentages[column]
            axes.step(shares, percentages, where="post", label=label, **style)
    for pruned in marks:
        axes.axvline(shares[pruned], zorder=1, **MARK)
    if marks:
        levels = [curve.percentages[columns[0]][pruned] for pruned in marks]
        label = "B' at a drop of X points (validation)"
        axes.plot([shares[pruned] for pruned in marks], levels, label=label, **MARKED)


def mark_labels(reached: Mapping[Fraction, int | None]) -> dict[int, str]:
    """The text for each mark, by its number of pruned channels; one mark can be of several X."""
    marks: dict[int, list[str]] = {}
    for drop in sorted(reached):
        if (pruned := reached[drop]) is not None:
            marks.setdefault(pruned, []).append(f"{float(drop):g}")
    labels = {}
    for pruned, drops in marks.items():
        listed = ", ".join(drops) if len(drops) <= 3 else f"{drops[0]} to {drops[-1]}"
        labels[pruned] = f"X = {listed}: {pruned} channel" + "s" * (pruned != 1)
    return labels


def label_strip(axes: Axes, channels: int, labels: Mapping[int, str]) -> None:
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
