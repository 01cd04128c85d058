"""tradeoff: what is left of the attack against what is left of the network."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from goodnet.judging.record import AnswerRecord, Record, name_networks
from goodnet.pictures.canvas import (
    BOTTOM,
    DARK,
    FONT,
    GOODNET,
    LABEL_ROW,
    LIGHT,
    MARK,
    TOP,
    Style,
    add_percent_panel,
    finish,
    make_figure,
    write_names,
)
from goodnet.pictures.findings import Findings
from goodnet.pruning.curve import PruningCurve

POINT: Style = {"linestyle": "", "markeredgecolor": "black", "markeredgewidth": 0.8, "zorder": 4}
B_POINT = POINT | {"marker": "s", "color": "black", "markersize": 5}
REPAIRED_POINT = POINT | {"marker": "o", "color": LIGHT, "markersize": 6}
GOODNET_POINT = POINT | {"marker": "D", "color": DARK, "markersize": 3.2, "zorder": 5}
PRUNED: Style = {"color": LIGHT, "linewidth": 2.2, "marker": "o", "markersize": 2.2}
# Columns of clean accuracy and of attack success rate, the label of their line and its style.
LINES = (
    ("test_accuracy", "test_asr", "B', pruned more and more", PRUNED),
    ("goodnet_accuracy", "goodnet_asr", "its G", GOODNET | {"linewidth": 0.9}),
)


class Point(NamedTuple):
    """A place in the picture, in percent."""

    accuracy: float
    asr: float


def draw_tradeoff(findings: Findings) -> Figure | None:
    """Clean accuracy against attack success rate, of every row of the curve and every network.

    None where there is nothing to draw: no test columns and no networks.
    """
    curve, record = findings.curve, findings.attacked
    lines = sum({line[0], line[1]} <= curve.percentages.keys() for line in LINES)
    if not lines and record is None:
        return None
    names = name_networks(record)[1:] if record else []
    below = LABEL_ROW * len(names) + 0.04
    bottom = below + BOTTOM + 0.14 * (lines + bool(record) > 1)  # a legend of two lines
    figure = make_figure(bottom + 2.4 + TOP)
    axes = add_percent_panel(figure, bottom, 2.4, "Attack success rate (%)")
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 109)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.add_patch(Ellipse((100, 0), 30, 40, facecolor="0.88", zorder=0.5))
    axes.text(84, 14, "where one\nwants to be", fontsize=FONT, ha="right", va="center")
    _draw_lines(axes, curve)
    if record:
        _draw_networks(axes, record)
    write_names(figure, names, below)
    return finish(figure, [axes], "Clean accuracy (%)", below, columns=3)


def _draw_lines(axes: Axes, curve: PruningCurve) -> None:
    for accuracy, asr, label, style in LINES:
        if {accuracy, asr} <= curve.percentages.keys():
            axes.plot(curve.percentages[accuracy], curve.percentages[asr], label=label, **style)


def _draw_networks(axes: Axes, record: Record) -> None:
    """B, and each B' with a number, on a line to its G."""
    b, *repaired = record.networks
    own = _point(b.itself)
    points = [_point(network.itself) for network in repaired]
    goodnets = [_point(network.goodnet) for network in repaired if network.goodnet]
    for one, other in zip(points, goodnets, strict=True):
        axes.plot(*zip(one, other, strict=True), zorder=3, **MARK)
    axes.plot(*own, label="B", **B_POINT)
    if repaired:
        axes.plot(*zip(*points, strict=True), label="saved B'", **REPAIRED_POINT)
        axes.plot(*zip(*goodnets, strict=True), label="saved G", **GOODNET_POINT)
    texts: dict[Point, list[str]] = {}
    for number, at in enumerate(points, 1):
        texts.setdefault(at, []).append(str(number))
    taken = [own, *points, *goodnets]
    for at, numbers in texts.items():
        place = _free_place(at, taken)
        taken.append(place)
        axes.text(*place, ", ".join(numbers), fontsize=FONT, ha="center", va="center", zorder=6)


def _point(answers: AnswerRecord) -> Point:
    return Point(answers.judgement.clean_accuracy, answers.judgement.attack_success_rate)


def _free_place(at: Point, taken: Sequence[Point]) -> Point:
    """A place close to a point that keeps clear of what is taken."""
    x, y = at
    near = [(x, y + 6), (x, y - 6), (x - 3.5, y), (x + 3.5, y), (x - 3, y + 6), (x - 3, y - 6)]
    places = [Point(*place) for place in near]
    for place in places:
        clear = all(abs(place.accuracy - a) > 2.6 or abs(place.asr - b) > 5 for a, b in taken)
        if clear and -1 <= place.accuracy <= 101 and 0 <= place.asr <= 107:
            return place
    return places[0]
