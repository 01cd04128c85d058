"""Pictures that explain: the trade-off, the channels a trigger uses, the answers to it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from goodnet.judging.judged_json import JudgedFiles
from goodnet.metrics import percent
from goodnet.pictures.canvas import (
    BOTTOM,
    DARK,
    FONT,
    GOODNET,
    LABEL_ROW,
    LEFT,
    LIGHT,
    MARK,
    PANEL,
    TOP,
    WIDTH,
    add_axes,
    finished,
    new_figure,
    panel,
    percent_panel,
    shortened,
)
from goodnet.pictures.curve import label_strip, mark_labels
from goodnet.pruning.curve import TEST_MEANS, TOLERANCE, VALID_MEAN, ChannelMeans, PruningCurve

CLASSES = 6  # that the picture of answers names
ABREAST = 5  # networks in a row of it
POINT = {"linestyle": "", "markeredgecolor": "black", "markeredgewidth": 0.8, "zorder": 4}
B_POINT = POINT | {"marker": "s", "color": "black", "markersize": 5}
REPAIRED_POINT = POINT | {"marker": "o", "color": LIGHT, "markersize": 6}
GOODNET_POINT = POINT | {"marker": "D", "color": DARK, "markersize": 3.2, "zorder": 5}


def draw(
    curve: PruningCurve,
    reached: Mapping[Fraction, int | None],
    channels: ChannelMeans | None,
    judged: JudgedFiles | None,
) -> dict[str, Figure]:
    """The pictures by name, as far as the figures for them are at hand; see below."""
    figures = {
        "tradeoff": tradeoff_figure(curve, judged),
        "channels": channels and channels_figure(channels, reached),
        "answers": judged and answers_figure(judged),
    }
    return {name: figure for name, figure in figures.items() if figure}


def of_one_run(curve: PruningCurve, judged: JudgedFiles) -> bool:
    """Whether B has the same figures in both, which it has not on other images."""
    own = judged.networks[0].itself.judgement
    both = (("test_accuracy", own.clean_accuracy), ("test_asr", own.attack_success_rate))
    return all(
        abs(curve.percentages[name][0] - rate) < TOLERANCE
        for name, rate in both
        if name in curve.percentages
    )


def network_names(judged: JudgedFiles) -> list[str]:
    """A name for each network: that of its file, or the whole path where that is not enough."""
    paths = [network.file.name for network in judged.networks]
    names = [path.rpartition("/")[2] for path in paths]
    return names if len(set(names)) == len(names) else paths


def tradeoff_figure(curve: PruningCurve, judged: JudgedFiles | None) -> Figure | None:
    """Clean accuracy against attack success rate, of every row of the curve and every network.

    None where there is nothing to draw: no test columns and no networks.
    """
    rows = [
        ("test_accuracy", "test_asr", "B', pruned more and more", _line(LIGHT, 2.2)),
        ("goodnet_accuracy", "goodnet_asr", "its G", GOODNET | {"linewidth": 0.9}),
    ]
    rows = [row for row in rows if row[0] in curve.percentages and row[1] in curve.percentages]
    if not rows and judged is None:
        return None
    names = network_names(judged)[1:] if judged else []
    below = LABEL_ROW * len(names) + 0.04
    bottom = below + BOTTOM + 0.14 * (len(rows) + bool(judged) > 1)  # a legend of two lines
    figure = new_figure(bottom + 2.4 + TOP)
    axes = percent_panel(figure, bottom, 2.4, "Attack success rate (%)")
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 109)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.add_patch(Ellipse((100, 0), 30, 40, facecolor="0.88", zorder=0.5))
    axes.text(84, 14, "where one\nwants to be", fontsize=FONT, ha="right", va="center")
    for accuracy, asr, label, style in rows:
        axes.plot(curve.percentages[accuracy], curve.percentages[asr], label=label, **style)
    if judged:
        _networks(axes, judged)
    _key(figure, names, below)
    return finished(figure, [axes], "Clean accuracy (%)", below, columns=3)


def _key(figure: Figure, names: Sequence[str], top: float) -> None:
    """The names of the repaired networks, by number, from `top` inches down."""
    for row, name in enumerate(names):
        y = (top - (row + 0.5) * LABEL_ROW) / figure.get_figheight()
        text = f"{row + 1}  {shortened(name, 48)}"
        figure.text(LEFT / WIDTH, y, text, fontsize=FONT, va="center_baseline", parse_math=False)


def _line(color: str, width: float) -> dict:
    return {"color": color, "linewidth": width, "marker": "o", "markersize": width}


def _networks(axes: Axes, judged: JudgedFiles) -> None:
    """B, and each B' with a number, on a line to its G."""

    def point(answered) -> tuple[float, float]:
        return answered.judgement.clean_accuracy, answered.judgement.attack_success_rate

    b, *repaired = judged.networks
    points = [point(network.itself) for network in repaired]
    goodnets = [point(network.goodnet) for network in repaired]
    for one, other in zip(points, goodnets, strict=True):
        axes.plot(*zip(one, other, strict=True), zorder=3, **MARK)
    axes.plot(*point(b.itself), label="B", **B_POINT)
    if repaired:
        axes.plot(*zip(*points, strict=True), label="saved B'", **REPAIRED_POINT)
        axes.plot(*zip(*goodnets, strict=True), label="saved G", **GOODNET_POINT)
    texts: dict[tuple[float, float], list[str]] = {}
    for number, at in enumerate(points, 1):
        texts.setdefault(at, []).append(str(number))
    taken = [point(b.itself), *points, *goodnets]
    for at, numbers in texts.items():
        x, y = _free_place(at, taken)
        taken.append((x, y))
        axes.text(x, y, ", ".join(numbers), fontsize=FONT, ha="center", va="center", zorder=6)


def _free_place(at: tuple[float, float], taken: Sequence[tuple[float, float]]) -> tuple:
    """A place close to a point, in percent, that keeps clear of what is taken."""
    x, y = at
    places = [(x, y + 6), (x, y - 6), (x - 3.5, y), (x + 3.5, y), (x - 3, y + 6), (x - 3, y - 6)]
    for place in places:
        clear = all(abs(place[0] - a) > 2.6 or abs(place[1] - b) > 5 for a, b in taken)
        if clear and -1 <= place[0] <= 101 and 0 <= place[1] <= 107:
            return place
    return places[0]


def channels_figure(means: ChannelMeans, reached: Mapping[Fraction, int | None]) -> Figure:
    """Each channel's mean activation on clean and on backdoored images, in pruning order.

    Left of a mark lies what is pruned at that X. Clean test images where they are at hand, else
    those of validation.
    """
    channels = len(means.channels)
    labels = mark_labels({x: k for x, k in reached.items() if k is None or k <= channels})
    strip = len(labels) * LABEL_ROW
    figure = new_figure(BOTTOM + PANEL + 0.3 + strip + TOP)
    axes = panel(figure, BOTTOM, PANEL + 0.3, "Mean activation")
    edges = [k / channels * 100 for k in range(channels + 1)]
    test, backdoored = TEST_MEANS
    clean = test if test in means.means else VALID_MEAN
    label = "clean images" if clean == test else "clean images (validation)"
    axes.stairs(means.means[clean], edges, fill=True, color=LIGHT, label=label)
    if backdoored in means.means:
        style = {"color": DARK, "linewidth": 1.1}
        axes.stairs(means.means[backdoored], edges, label="backdoored images", **style)
    for pruned in labels:
        axes.axvline(edges[pruned], zorder=1, **MARK)
    axes.set_xlim(-2, 102)
    axes.set_xticks(range(0, 101, 20))
    if labels:
        label_strip(add_axes(figure, BOTTOM + PANEL + 0.3, strip), channels, labels)
    return finished(figure, [axes], f"Channels in the order of pruning (% of {channels})")


def answers_figure(judged: JudgedFiles) -> Figure:
    """For backdoored images, the classes most often answered, by B and by each B'.

    The classes are those with the largest share with any of the networks.
    """
    answers = [network.itself.backdoored_answers for network in judged.networks]
    images = sum(judged.targets.values())
    most = {i: max(counts.get(i, 0) for counts in answers) for counts in answers for i in counts}
    classes = sorted(most, key=lambda index: (-most[index], index))[:CLASSES]
    others = len(most) > len(classes)
    ticks = [f"class {i}" + ", target" * (i in judged.targets) for i in classes]
    ticks += ["all others"] * others
    left, right, title, row = 0.95, 0.05, 0.24, 0.19
    tall = row * len(ticks)
    lines = -(-len(answers) // ABREAST)
    below = LABEL_ROW * (len(answers) - 1) + 0.04
    figure = new_figure(lines * (tall + title) + 0.3 + below)
    whole = figure.get_figheight()
    wide = (WIDTH - left - right) / min(ABREAST, len(answers))
    for number, counts in enumerate(answers):
        line, column = divmod(number, ABREAST)
        bottom = whole - (line + 1) * (tall + title)
        place = (left + column * wide) / WIDTH, bottom / whole, (wide - 0.06) / WIDTH, tall / whole
        axes = figure.add_axes(place)
        shown = [counts.get(index, 0) for index in classes]
        shown += [images - sum(shown)] * others
        shares = [percent(count, images) for count in shown]
        _bars(axes, shares, LIGHT if number else DARK)
        axes.set_title(f"B' {number}" if number else "B", fontsize=FONT, pad=3)
        axes.set_yticks(range(len(ticks)), ticks if column == 0 else [""] * len(ticks))
        axes.tick_params(labelsize=FONT - 0.5, length=0)
    text = f"Answers to the {images} backdoored images (%)"
    figure.text(0.5, (below + 0.15) / whole, text, fontsize=FONT, ha="center", va="center")
    _key(figure, network_names(judged)[1:], below)
    return figure


def _bars(axes: Axes, shares: Sequence[float], color: str) -> None:
    """Shares in percent as bars from the top down, each with its figure."""
    axes.barh(range(len(shares)), shares, color=color, height=0.72)
    for y, share in enumerate(shares):
        inside = share > 55
        axes.text(
            share + (-4 if inside else 4),
            y,
            f"{share:.1f}",
            fontsize=FONT - 1,
            ha="right" if inside else "left",
            va="center_baseline",
            color="white" if inside and color == DARK else "black",
        )
    axes.set_xlim(0, 108)
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
