"""samples.png: example images, clean and backdoored, and under each what every network says."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.judging.judging import Judged
from goodnet.pictures.canvas import DARK, FONT, WIDTH, new_figure, shortened

SHOWN = 6
NAMES, TILE, ROW, HEADING, GAP, EDGE = 0.98, 0.52, 0.155, 0.2, 0.14, 0.05  # inches


def samples_figure(judged: Judged) -> Figure:
    """A block for the clean and one for the backdoored images, from all over each file.

    Below an image stand its label and the answers of B, of each B' and of its G, N where that
    rejects the image. What is not the label, or where the label is the attacker's target is
    that target, is set in bold.
    """
    names = ["B"]
    for network in judged.networks[1:]:
        names += [shortened(network.path.stem, 18), "   its G"]
    rows = 1 + len(names)
    shape = dataset.read(judged.clean, 0, 1).shape
    tall = TILE * 0.94 * shape[1] / shape[2]
    block = HEADING + tall + rows * ROW + GAP
    figure = new_figure(2 * block + ROW + EDGE)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(figure.get_figheight(), 0)
    sets = (
        ("Clean images", "clean", "label", judged.clean, False),
        ("Backdoored images", "backdoored", "target", judged.backdoored, True),
    )
    for index, (title, kind, label, images, attacked) in enumerate(sets):
        answers = [images.labels, getattr(judged.networks[0].answers, kind)]
        for network in judged.networks[1:]:
            answers += [getattr(network.answers, kind), getattr(network.goodnet_answers, kind)]
        shown = _spread(len(images))
        top = EDGE + index * block
        _write(axes, EDGE, top + HEADING / 2, title, weight="bold")
        _tiles(axes, images, shown, top + HEADING, tall)
        for row, (name, given) in enumerate(zip([label, *names], answers, strict=True)):
            y = top + HEADING + tall + (row + 0.6) * ROW
            _write(axes, EDGE, y, name)
            for column, image in enumerate(shown):
                stands_out = (given[image] == images.labels[image]) == attacked and row > 0
                text = "N" if given[image] == judged.n_classes else str(given[image])
                x = NAMES + (column + 0.5) * TILE
                style = {"weight": "bold", "color": DARK} if stands_out else {}
                _write(axes, x, y, text, ha="center", **style)
    note = "bold: a wrong class, or the attacker's target; N: rejected"
    _write(axes, EDGE, figure.get_figheight() - ROW / 2 - EDGE / 2, note, size=FONT - 1)
    return figure


def _spread(images: int) -> list[int]:
    """Indices from all over a file, chosen by nothing else; people often come in turn in it.

    Steps of the golden ratio keep clear of any period.
    """
    return sorted({int(k * 0.6180339887498949 % 1 * images) for k in range(1, SHOWN + 1)})


def _write(axes: Axes, x: float, y: float, text: str, size: float = FONT, **style) -> None:
    axes.text(x, y, text, fontsize=size, va="center_baseline", parse_math=False, **style)


def _tiles(axes: Axes, images: ImageSet, shown: Sequence[int], top: float, tall: float) -> None:
    pixels = np.concatenate([dataset.read(images, i, i + 1) for i in shown]) * images.scale
    for column, picture in enumerate(_displayable(pixels)):
        middle = NAMES + (column + 0.5) * TILE
        left, right = middle - TILE * 0.47, middle + TILE * 0.47
        axes.imshow(picture, extent=(left, right, top + tall, top), aspect="auto", zorder=2)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(axes.figure.get_figheight(), 0)


def _displayable(pixels: np.ndarray) -> np.ndarray:
    """Images (n, height, width, colours) as RGB in 0..1, whichever range their pixels have."""
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1)
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    return (pixels - low) / ((high - low) or 1)
