"""samples.png: example images, clean and backdoored, and under each what every network says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.judging.judging import Judged
from goodnet.pictures.canvas import DARK, FONT, WIDTH, Style, make_figure, shorten
from goodnet.pixels import AS_IN_FILE, displayable

SHOWN = 6
NAMES, TILE, ROW, HEADING, GAP, EDGE = 0.98, 0.52, 0.155, 0.2, 0.14, 0.05  # inches
STANDING_OUT: Style = {"weight": "bold", "color": DARK}


@dataclass(frozen=True)
class Row:
    """The label of each image of a set (n,), or the answers to them, and who gives them."""

    name: str
    classes: np.ndarray


@dataclass(frozen=True)
class Block:
    """Some images of a set with the rows below them, the labels first."""

    title: str
    images: ImageSet
    rows: list[Row]
    attacked: bool  # the labels are what the attacker wants
    n_classes: int


def draw_samples(judged: Judged) -> Figure:
    """A block for the clean and one for the backdoored images, from all over each file.

    Below an image stand its label and the answers of B, of each B' and of its G, N where that
    rejects the image. Bold is what is not the label of a clean image, and the attacker's target
    under a backdoored one, whose true class no file tells.
    """
    clean = [Row("label", judged.clean.labels), *_answers(judged, "clean")]
    blocks = [Block("Clean images", judged.clean, clean, False, judged.n_classes)]
    if judged.backdoored:
        rows = [Row("target", judged.backdoored.labels), *_answers(judged, "backdoored")]
        blocks.append(Block("Backdoored images", judged.backdoored, rows, True, judged.n_classes))
    shape = dataset.read(judged.clean, 0, 1).shape
    tall = TILE * 0.94 * shape[1] / shape[2]
    height = HEADING + tall + len(clean) * ROW + GAP
    figure = make_figure(len(blocks) * height + ROW + EDGE)
    whole = figure.get_figheight()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for index, block in enumerate(blocks):
        _draw_block(axes, block, EDGE + index * height, tall)
    note = "bold: of clean images not the label; else the attacker's target; N: rejected"
    _write(axes, EDGE, whole - ROW / 2 - EDGE / 2, note, size=FONT - 1)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(whole, 0)  # inches from the top down
    return figure


def _answers(judged: Judged, kind: Literal["clean", "backdoored"]) -> list[Row]:
    """What all networks say of the clean or the backdoored images."""
    b, *repaired = judged.networks
    rows = [Row("B", getattr(b.answers, kind))]
    for network in repaired:
        rows.append(Row(shorten(network.path.stem, 18), getattr(network.answers, kind)))
        if network.goodnet_answers:
            rows.append(Row("   its G", getattr(network.goodnet_answers, kind)))
    return rows


def _draw_block(axes: Axes, block: Block, top: float, tall: float) -> None:
    """A block from `top` down, with images `tall` inches high."""
    labels = block.rows[0].classes
    shown = _spread(len(block.images))
    _write(axes, EDGE, top + HEADING / 2, block.title, weight="bold")
    _draw_tiles(axes, block.images, shown, top + HEADING, tall)
    for number, row in enumerate(block.rows):
        y = top + HEADING + tall + (number + 0.6) * ROW
        _write(axes, EDGE, y, row.name)
        for column, image in enumerate(shown):
            given = row.classes[image]
            stands_out = (given == labels[image]) == block.attacked and number > 0
            text = "N" if given == block.n_classes else str(given)
            x = NAMES + (column + 0.5) * TILE
            _write(axes, x, y, text, ha="center", **(STANDING_OUT if stands_out else {}))


def _spread(images: int) -> list[int]:
    """Indices from all over a file, chosen by nothing else; people often come in turn in it.

    Steps of the golden ratio keep clear of any period.
    """
    return sorted({int(k * 0.6180339887498949 % 1 * images) for k in range(1, SHOWN + 1)})


def _write(axes: Axes, x: float, y: float, text: str, *, size: float = FONT, **style: Any) -> None:
    axes.text(x, y, text, fontsize=size, va="center_baseline", parse_math=False, **style)


def _draw_tiles(
    axes: Axes, images: ImageSet, shown: Sequence[int], top: float, tall: float
) -> None:
    images = replace(images, scale=AS_IN_FILE)
    pixels = np.concatenate([dataset.read(images, i, i + 1) for i in shown])
    for column, picture in enumerate(displayable(pixels)):
        middle = NAMES + (column + 0.5) * TILE
        left, right = middle - TILE * 0.47, middle + TILE * 0.47
        axes.imshow(picture, extent=(left, right, top + tall, top), aspect="auto", zorder=2)
