"""channels: which channels clean images use, and which the trigger uses."""

from matplotlib.figure import Figure

from goodnet.pictures.canvas import (
    BOTTOM,
    DARK,
    LABEL_ROW,
    LIGHT,
    MARK,
    PANEL,
    TOP,
    Style,
    add_axes,
    add_panel,
    finish,
    make_figure,
)
from goodnet.pictures.findings import Findings
from goodnet.pictures.marks import draw_labels, label_stops
from goodnet.pruning.curve import TEST_MEANS, VALID_MEAN

TALL = PANEL + 0.3  # inches
BACKDOORED: Style = {"color": DARK, "linewidth": 1.1}


def draw_channels(findings: Findings) -> Figure:
    """Each channel's mean activation on clean and on backdoored images, in pruning order.

    Left of a mark lies what is pruned at that X. Clean test images where they are at hand, else
    those of validation.
    """
    assert findings.channels is not None  # PICTURES says that this picture needs them
    means, channels = findings.channels.means, len(findings.channels.channels)
    stops = {x: k for x, k in findings.stops.items() if k is None or k <= channels}
    labels = label_stops(stops)
    strip = len(labels) * LABEL_ROW
    figure = make_figure(BOTTOM + TALL + strip + TOP)
    axes = add_panel(figure, BOTTOM, TALL, "Mean activation")
    edges = [k / channels * 100 for k in range(channels + 1)]
    test, backdoored = TEST_MEANS
    clean = test if test in means else VALID_MEAN
    label = "clean images" if clean == test else "clean images (validation)"
    axes.stairs(means[clean], edges, fill=True, color=LIGHT, label=label)
    if backdoored in means:
        axes.stairs(means[backdoored], edges, label="backdoored images", **BACKDOORED)
    for pruned in labels:
        axes.axvline(edges[pruned], zorder=1, **MARK)
    axes.set_xlim(-2, 102)
    axes.set_xticks(range(0, 101, 20))
    if labels:
        draw_labels(add_axes(figure, BOTTOM + TALL, strip), channels, labels)
    return finish(figure, [axes], f"Channels in the order of pruning (% of {channels})")
