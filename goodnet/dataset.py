"""The HDF5 image sets of the lab: open, check, read in batches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from goodnet.errors import Unusable
from goodnet.pixels import (
    AS_IN_FILE,
    RANGES,
    Range,
    Scaling,
    find_range,
    scale_pixels,
    scaling_between,
)
from goodnet.threads import ahead
from goodnet.vetting.quarantine import HeldFile, name_of

AT_A_TIME = 256  # images, to look at their range
ImageShape = tuple[int | None, int | None, int]  # (height, width, colours); None where it is open


@dataclass(frozen=True)
class ImageSet:
    """A checked image file: what `batches` and `read` need to read it."""

    file: HeldFile
    labels: np.ndarray  # (n,) int64
    channels_first: bool  # as the file has them
    scale: Scaling = AS_IN_FILE  # what `read` makes of the file's pixels

    @property
    def path(self) -> Path:
        return self.file.path

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Fit:
    """What image sets must fit: the network that they are for."""

    shape: ImageShape
    n_classes: int
    scale: Scaling | Range = AS_IN_FILE  # what to make of pixels; or the network's range


def open_clean(file: HeldFile, fit: Fit) -> ImageSet:
    """Open clean images, whose labels must be classes of the network.

    The file holds `data` as (n, colours, height, width) or (n, height, width, colours) and `label`
    as (n,); images of one colour may be (n, height, width). Raises Unusable where it is no such
    image set.
    """
    return _scaled(_open(file, fit, fit.n_classes - 1), fit.scale)


def open_backdoored(file: HeldFile, fit: Fit) -> ImageSet:
    """Open backdoored images, as `open_clean`; their labels are the attacker's targets.

    The label `n_classes`, the goodnet's rejection, is allowed: it is never a success.
    """
    return _scaled(_open(file, fit, fit.n_classes), fit.scale)


def read(images: ImageSet, start: int, stop: int) -> np.ndarray:
    """Images start..stop-1 as (m, height, width, colours) float32, scaled for the network.

    Raises Unusable where the file is damaged there or holds values that are not finite.
    """
    try:
        with h5py.File(name_of(images.file), "r") as file:
            return _read(images, file["data"], start, stop)
    except (OSError, RuntimeError, KeyError) as error:
        raise Unusable(f"cannot be read ({_first_line(error)})", images.path) from None


def batches(images: ImageSet, size: int) -> Iterator[np.ndarray]:
    """All images in order, `size` at a time, each batch as `read` gives it, one read ahead."""
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
    low, high = find_extremes(images)
    held = find_range(low, high)
    if held is None:
        raise Unusable(
            f"has pixels from {low:g} to {high:g}, which is none of {', '.join(RANGES)}; --pixels "
            "needs one of these, --scale S divides whatever they are by S",
            images.path,
        )
    return replace(images, scale=scaling_between(held, scale))


def _read(images: ImageSet, data: h5py.Dataset, start: int, stop: int) -> np.ndarray:
    pixels = data[start:stop]
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    if images.channels_first:
        pixels = pixels.transpose(0, 2, 3, 1)
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    scale_pixels(pixels, images.scale)
    bad = ~np.isfinite(pixels).all(axis=(1, 2, 3))
    if bad.any():
        raise Unusable(
            f"image {start + int(np.argmax(bad))} has pixels that are NaN or infinite; every "
            "pixel must be a finite number",
            images.path,
        )
    return pixels


def _open(held: HeldFile, fit: Fit, last_label: int) -> ImageSet:
    try:
        with h5py.File(name_of(held), "r") as file:
            if "model_config" in file.attrs or "layer_names" in file.attrs:
                raise Unusable("is a network, not an image set; image sets come first")
            keys = ("data", "label")
            absent = [key for key in keys if not isinstance(file.get(key), h5py.Dataset)]
            if absent:
                raise Unusable(
                    f"has no {' and no '.join(map(repr, absent))}; an image set holds 'data' and "
                    "'label'"
                )
            data, label = file["data"], file["label"]
            channels_first = _channels_first(data, fit.shape)
            labels = _labels(label, len(data), last_label)
    except Unusable as error:
        raise error.about(held.path) from None
    except OSError as error:
        raise Unusable(
            f"is not a readable HDF5 file, as image sets are ({_first_line(error)})", held.path
        ) from None
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise Unusable(f"is damaged ({_first_line(error)})", held.path) from None
    return ImageSet(held, labels, channels_first)


def _channels_first(data: h5py.Dataset, input_shape: ImageShape) -> bool:
    height, width, colours = input_shape
    first = (colours, height, width)
    grey = len(data.shape) == 3 and colours == 1  # then nothing else can be meant
    shape = (*data.shape, 1) if grey else data.shape
    channels_first = not grey and _fits(shape, first)
    if not channels_first and not _fits(shape, input_shape):
        raise Unusable(
            f"'data' has the shape {data.shape}, but the network takes images of {input_shape}, "
            f"so it must be {('n', *first)} or {('n', *input_shape)}"
        )
    if data.dtype.kind not in "uif":
        raise Unusable(f"'data' holds {data.dtype}, not numbers")
    if len(data) == 0:
        raise Unusable("'data' is empty; at least one image is needed")
    return channels_first


def _fits(shape: tuple, image_shape: tuple) -> bool:
    """Whether (n, …) is a stack of such images; the network may leave a size open (None)."""
    return len(shape) == 4 and all(
        want in (None, have) for want, have in zip(image_shape, shape[1:], strict=True)
    )


def _labels(label: h5py.Dataset, count: int, last: int) -> np.ndarray:
    if label.dtype.kind not in "uif":
        raise Unusable(f"'label' holds {label.dtype}, not numbers")
    if label.shape not in ((count,), (count, 1)):
        raise Unusable(
            f"'label' has the shape {label.shape}, but there are {count} images, so it must be "
            f"({count},)"
        )
    raw = label[()].reshape(count)
    if not (np.isfinite(raw).all() and (raw == np.floor(raw)).all()):
        raise Unusable("'label' holds values that are not whole numbers")
    outside = raw[(raw < 0) | (raw > last)]
    if outside.size:
        raise Unusable(
            f"{outside.size} of {count} labels are outside 0..{last}, the network's classes "
            f"(the first is {int(outside[0])})"
        )
    return raw.astype(np.int64)


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
