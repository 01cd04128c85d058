"""Image sets: check, read in batches. Where their numbers lie is known."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from goodnet.errors import Unusable
from goodnet.memory import FEWEST
from goodnet.pixels import (
    AS_IN_FILE,
    BYTES,
    RANGES,
    Range,
    Scaling,
    find_range,
    scale_pixels,
    scaling_between,
)
from goodnet.threads import ahead
from goodnet.vetting.folders import PictureFolder
from goodnet.vetting.images import LARGEST_IMAGE, ImageFile
from goodnet.vetting.layout import Array
from goodnet.vetting.photos import ImageShape

AT_A_TIME = 256  # images, to look at their range
LARGEST_BATCH = 1 << 27  # bytes of pixels
LARGEST_READ = 3 << 27  # bytes of pixels that are kept together: 668 images of 224 x 224
MOST_AT_ONCE = 1024  # images


@dataclass(frozen=True)
class ImageSet:
    """A checked image file: what `batches` and `read` need to read it."""

    file: ImageFile
    labels: np.ndarray  # (n,) int64
    channels_first: bool  # as the file has them
    scale: Scaling = AS_IN_FILE  # what `read` makes of the file's pixels

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, colours) of its images."""
        data = self.file.layout.data
        first, second, third = (*data.shape[1:], 1)[:3] if data else (0, 0, 0)
        return (second, third, first) if self.channels_first else (first, second, third)

    @property
    def bytes_each(self) -> int:
        """Of an image's pixels as they are computed with."""
        return _bytes_of(self.file.layout.data)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Fit:
    """What image sets must fit: the network that they are for."""

    shape: ImageShape
    n_classes: int
    scale: Scaling | Range = AS_IN_FILE  # what to make of pixels; or the network's range


def open_clean(file: ImageFile | PictureFolder, fit: Fit) -> ImageSet:
    """Open clean images, whose labels must be classes of the network.

    The file holds images as (n, colours, height, width) or (n, height, width, colours) and labels
    as (n,); images of one colour may be (n, height, width). Of a folder, the pictures are made to
    fit. Raises Unusable where it is no such image set.
    """
    return _scaled(_open(file, fit, fit.n_classes - 1), fit.scale)


def open_backdoored(file: ImageFile | PictureFolder, fit: Fit) -> ImageSet:
    """Open backdoored images, as `open_clean`; their labels are the attacker's targets.

    The label `n_classes`, the goodnet's rejection, is allowed: it is never a success.
    """
    return _scaled(_open(file, fit, fit.n_classes), fit.scale)


def read(images: ImageSet, start: int, stop: int) -> np.ndarray:
    """Images start..stop-1 as (m, height, width, colours) float32, scaled for the network.

    Raises Unusable where the file is damaged there or holds values that are not finite.
    """
    pixels = images.file.pixels(start, stop, images.channels_first)
    scale_pixels(pixels, images.scale)
    bad = ~np.isfinite(pixels).all(axis=(1, 2, 3))
    if bad.any():
        raise Unusable(
            f"image {start + int(np.argmax(bad))} has pixels that are NaN or infinite; every "
            "pixel must be a finite number",
            images.path,
        )
    return pixels


def read_some(images: ImageSet, indices: np.ndarray) -> np.ndarray:
    """The images of these indices, each once, in this order, as `read` gives them."""
    order, done, start = np.argsort(indices), 0, 0
    found = np.empty((len(indices), *images.shape), np.float32)
    for pixels in batches(images, MOST_AT_ONCE):
        stop = int(np.searchsorted(indices[order], start + len(pixels)))
        found[order[done:stop]] = pixels[indices[order[done:stop]] - start]
        done, start = stop, start + len(pixels)
    return found


def at_a_time(images: ImageSet, size: int) -> int:
    """How many images come in a batch: `size`, or fewer where they take more than LARGEST_BATCH.

    No fewer than FEWEST, and a multiple of these.
    """
    fitting = LARGEST_BATCH // images.bytes_each
    return min(size, max(fitting // FEWEST, 1) * FEWEST)


def batches(images: ImageSet, size: int) -> Iterator[np.ndarray]:
    """All images in order, `size` at a time, each batch as `read` gives it, one read ahead.

    `at_a_time` says how many those are, where they are large.
    """
    size = at_a_time(images, size)
    starts = range(0, len(images), size)
    return ahead(read(images, start, min(start + size, len(images))) for start in starts)


def find_extremes(images: ImageSet) -> tuple[float, float]:
    """The smallest and the largest pixel of all images, as the file holds them."""
    extremes = [
        (float(pixels.min()), float(pixels.max()))
        for pixels in batches(replace(images, scale=AS_IN_FILE), AT_A_TIME)
    ]
    lows, highs = zip(*extremes, strict=True)
    return min(lows), max(highs)


def _scaled(images: ImageSet, scale: Scaling | Range) -> ImageSet:
    """The images, whose pixels are scaled so, or taken to this range from the one they are of."""
    if isinstance(scale, Scaling):
        return replace(images, scale=scale)
    if isinstance(images.file.source, PictureFolder):  # 8 bits a colour, whatever is in them
        return replace(images, scale=scaling_between(BYTES, scale))
    low, high = find_extremes(images)
    held = find_range(low, high)
    if held is None:
        raise Unusable(
            f"has pixels from {low:g} to {high:g}, which is none of {', '.join(RANGES)}; --pixels "
            "needs one of these, --scale S divides whatever they are by S",
            images.path,
        )
    return replace(images, scale=scaling_between(held, scale))


def _bytes_of(data: Array | None) -> int:
    """The bytes of an image's pixels as they are computed with."""
    return 4 * math.prod(data.shape[1:]) if data else 1


def _open(file: ImageFile | PictureFolder, fit: Fit, last_label: int) -> ImageSet:
    try:
        if isinstance(file, PictureFolder):
            file = file.fit(fit.shape, fit.n_classes)
        if file.layout.is_network:
            raise Unusable("is a network, not an image set; image sets come first")
        data, label = file.layout.data, file.layout.label
        if data is None or label is None:
            absent = [name for name, is_there in (("data", data), ("label", label)) if not is_there]
            raise Unusable(
                f"has no {' and no '.join(map(repr, absent))}; an image set holds 'data' and "
                "'label', or two others that --keys names"
            )
        channels_first = _channels_first(data, fit.shape)
        labels = _labels(file, label, data.shape[0], last_label)
    except Unusable as error:
        raise error.about(file.path) from None
    return ImageSet(file, labels, channels_first)


def _channels_first(data: Array, input_shape: ImageShape) -> bool:
    height, width, colours = input_shape
    first = (colours, height, width)
    grey = len(data.shape) == 3 and colours == 1  # then nothing else can be meant
    shape = (*data.shape, 1) if grey else data.shape
    channels_first = not grey and _fits(shape, first)
    if not channels_first and not _fits(shape, input_shape):
        raise Unusable(
            f"'{data.name}' has the shape {data.shape}, but the network takes images of "
            f"{input_shape}, so it must be {('n', *first)} or {('n', *input_shape)}"
        )
    if not data.is_plain:
        raise Unusable(f"'{data.name}' holds {data.dtype}, not numbers")
    if data.shape[0] == 0:
        raise Unusable(f"'{data.name}' is empty; at least one image is needed")
    if _bytes_of(data) > LARGEST_IMAGE:
        raise Unusable(
            f"'{data.name}' has images of {data.shape[1:]}, which are {_bytes_of(data)} bytes each "
            f"as 32-bit numbers; {LARGEST_IMAGE} are the most"
        )
    return channels_first


def _fits(shape: tuple[int, ...], image_shape: tuple[int | None, ...]) -> bool:
    """Whether (n, …) is a stack of such images; the network may leave a size open (None)."""
    return len(shape) == 4 and all(
        want in (None, have) for want, have in zip(image_shape, shape[1:], strict=True)
    )


def _labels(file: ImageFile, label: Array, count: int, last: int) -> np.ndarray:
    if not label.is_plain:
        raise Unusable(f"'{label.name}' holds {label.dtype}, not numbers")
    if label.shape not in ((count,), (count, 1)):
        raise Unusable(
            f"'{label.name}' has the shape {label.shape}, but there are {count} images, so it must "
            f"be ({count},)"
        )
    raw = file.labels().reshape(count)
    if not (np.isfinite(raw).all() and (raw == np.floor(raw)).all()):
        raise Unusable(f"'{label.name}' holds values that are not whole numbers")
    outside = raw[(raw < 0) | (raw > last)]
    if outside.size:
        raise Unusable(
            f"{outside.size} of {count} labels are outside 0..{last}, the network's classes "
            f"(the first is {int(outside[0])})"
        )
    return raw.astype(np.int64)
