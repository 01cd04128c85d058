"""answers: what B and each B' answer to backdoored images."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goodnet.judging.record import Record, name_networks
from goodnet.metrics import percent
from goodnet.pictures.canvas import (
    DARK,
    FONT,
    LABEL_ROW,
    LIGHT,
    WIDTH,
    make_figure,
    write_names,
)
from goodnet.pictures.findings import Findings

CLASSES = 6  # that the picture names
ABREAST = 5  # networks in a row of it
LEFT, RIGHT, BETWEEN, TITLE, BAR = 0.95, 0.05, 0.06, 0.24, 0.19  # inches


@dataclass(frozen=True)
class Shares:
    """What share of the backdoored images each network answers with the classes that are named."""

    images: int
    labels: list[str]  # of the classes, and of all others where there are any
    percentages: list[list[float]]  # of each network, B first, in the order of the labels


def draw_answers(findings: Findings) -> Figure:
    """For backdoored images, the classes most often answered, by B and by each B'."""
    assert findings.record is not None  # `draw` sees to it that backdoored images were judged
    shares = _count_shares(findings.record)
    networks, bars = len(shares.percentages), len(shares.labels)
    below = LABEL_ROW * (networks - 1) + 0.04
    tall = BAR * bars
    figure = make_figure(-(-networks // ABREAST) * (tall + TITLE) + 0.3 + below)
    whole = figure.get_figheight()
    wide = (WIDTH - LEFT - RIGHT) / min(ABREAST, networks)
    for number, percentages in enumerate(shares.percentages):
        line, column = divmod(number, ABREAST)
        left, bottom = LEFT + column * wide, whole - (line + 1) * (tall + TITLE)
        place = left / WIDTH, bottom / whole, (wide - BETWEEN) / WIDTH, tall / whole
        axes = figure.add_axes(place)
        _draw_bars(axes, percentages, LIGHT if number else DARK)
        axes.set_title(f"B' {number}" if number else "B", fontsize=FONT, pad=3)
        axes.set_yticks(range(bars), [""] * bars if column else shares.labels)
        axes.tick_params(labelsize=FONT - 0.5, length=0)
    text = f"Answers to the {shares.images} backdoored images (%)"
    figure.text(0.5, (below + 0.15) / whole, text, fontsize=FONT, ha="center", va="center")
    write_names(figure, name_networks(findings.record)[1:], below)
    return figure


def _count_shares(record: Record) -> Shares:
    """The classes named are those with the largest share with any of the networks."""
    answers = [network.itself.backdoored_answers for network in record.networks]
    images = sum(record.targets.values())
    most = {i: max(counts.get(i, 0) for counts in answers) for counts in answers for i in counts}
    classes = sorted(most, key=lambda index: (-most[index], index))[:CLASSES]
    others = len(most) > len(classes)
    labels = [f"class {i}" + ", target" * (i in record.targets) for i in classes]
    percentages = []
    for counts in answers:
        shown = [counts.get(index, 0) for index in classes]
        shown += [images - sum(shown)] * others
        percentages.append([percent(count, images) for count in shown])
    return Shares(images, labels + ["all others"] * others, percentages)


def _draw_bars(axes: Axes, percentages: Sequence[float], color: str) -> None:
    """Shares in percent as bars from the top down, each with its figure."""
    axes.barh(range(len(percentages)), percentages, color=color, height=0.72)
    for y, share in enumerate(percentages):
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
    axes.set_ylim(len(percentages) - 0.4, -0.6)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
