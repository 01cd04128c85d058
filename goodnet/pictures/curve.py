"""clean, asr and pruning: the pictures of a pruning curve, drawn from `pruning.csv` alone."""

from collections.abc import Collection, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from goodnet.pictures.canvas import (
    BOTTOM,
    GAP,
    GOODNET,
    LABEL_ROW,
    MARK,
    MARKED,
    PANEL,
    REPAIRED,
    TOP,
    VALIDATION,
    Style,
    add_axes,
    add_percent_panel,
    finish,
    make_figure,
)
from goodnet.pictures.findings import Findings
from goodnet.pictures.marks import draw_labels, label_stops
from goodnet.pruning.curve import VALID, PruningCurve


def draw_clean(findings: Findings) -> Figure:
    """Clean accuracy against the number of channels pruned: validation, and B' and G on test."""
    curve = findings.curve
    figure = make_figure(BOTTOM + 2.2 + TOP)
    axes = add_percent_panel(figure, BOTTOM, 2.2, "Clean accuracy (%)")
    _plot_by_channels(axes, curve, "test_accuracy", "B', test", REPAIRED)
    _plot_by_channels(axes, curve, "goodnet_accuracy", "G, test", GOODNET)
    dots = VALIDATION | {"markevery": -(-len(curve.channels) // 32)}  # some 32 dots
    style = dots if "test_accuracy" in curve.percentages else REPAIRED
    _plot_by_channels(axes, curve, VALID, "B', validation", style)
    return finish(figure, [axes], "Channels pruned")


def draw_asr(findings: Findings) -> Figure:
    """Attack success rate against the number of channels pruned, of B' and of G."""
    curve = findings.curve
    figure = make_figure(BOTTOM + 2.2 + TOP)
    axes = add_percent_panel(figure, BOTTOM, 2.2, "Attack success rate (%)")
    _plot_by_channels(axes, curve, "test_asr", "B'", REPAIRED)
    _plot_by_channels(axes, curve, "goodnet_asr", "G", GOODNET)
    return finish(figure, [axes], "Channels pruned")


def draw_pruning(findings: Findings) -> Figure:
    """Clean accuracy over attack success rate, as steps, with each X marked where it falls.

    An X that is never reached is not marked. The style is that of scikit-learn's example
    plot_cost_complexity_pruning.
    """
    curve = findings.curve
    has_test, has_asr = "test_accuracy" in curve.percentages, "test_asr" in curve.percentages
    labels = label_stops(findings.stops)
    strip = len(labels) * LABEL_ROW
    upper = BOTTOM + (PANEL + GAP) * has_asr
    figure = make_figure(upper + PANEL + strip + TOP)
    accuracy = "Clean accuracy (%)" if has_test else "Validation accuracy (%)"
    panels = [add_percent_panel(figure, upper, PANEL, accuracy)]
    columns = ("test_accuracy", "goodnet_accuracy") if has_test else (VALID,)
    _draw_steps(panels[0], curve, columns, labels)
    if has_asr:
        panels[0].tick_params(labelbottom=False)
        panels.append(add_percent_panel(figure, BOTTOM, PANEL, "Attack success rate (%)"))
        _draw_steps(panels[1], curve, ("test_asr", "goodnet_asr"), labels)
    for axes in panels:
        axes.set_xlim(-2, 102)
        axes.set_xticks(range(0, 101, 20))
    if labels:
        draw_labels(add_axes(figure, upper + PANEL, strip), len(curve.channels), labels)
    return finish(figure, panels, f"Channels pruned (% of {len(curve.channels)})")


def _plot_by_channels(
    axes: Axes, curve: PruningCurve, column: str, label: str, style: Style
) -> None:
    if column in curve.percentages:
        percentages = curve.percentages[column]
        axes.plot(range(len(percentages)), percentages, label=label, **style)
        axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))


def _draw_steps(
    axes: Axes, curve: PruningCurve, columns: Sequence[str], marks: Collection[int]
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
