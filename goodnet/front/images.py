"""Image sets in a notebook: arrays, a tf.data.Dataset, or a file; all are checked as files are.

Arrays wait in a file without a name, so one way of reading serves all.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from goodnet.cli import shell
from goodnet.dataset import Fit, ImageSet, open_backdoored, open_clean
from goodnet.errors import Unusable
from goodnet.front.telling import warn
from goodnet.vetting import quarantine
from goodnet.vetting.images import ImageFile, Plain
from goodnet.vetting.layout import PLAIN_TYPES, Array, Layout
from goodnet.vetting.opening import signature_of
from goodnet.vetting.reading import Reading

Images = Any  # images (n, height, width, colours); or one of the three that hold the labels, too:
# (images, labels), a tf.data.Dataset of such pairs, or the path of an image set
Labels = (
    Any  # (n,) whole numbers, or (n, classes) of which each row has one 1; None where in Images
)
AT_A_TIME = 256  # images of a dataset that is not in batches


@dataclass(frozen=True)
class Given:
    """What a call is given as an image set. name: of what errors are about."""

    images: Images
    labels: Labels
    name: str
    backdoored: bool = False

    @property
    def path(self) -> Path | None:
        """The file or folder that it is; None where it is arrays or a dataset."""
        return Path(self.images) if isinstance(self.images, str | os.PathLike) else None


@contextmanager
def opened(fit: Fit, reading: Reading, *given: Given) -> Iterator[list[ImageSet]]:
    """Image sets that fit a network, until the context ends; files as the user says to read them.

    Folders know each other's classes, as in a script. Raises Unusable or Unsafe where one is none.
    """
    paths = [each.path for each in given if each.path]
    for each in given:
        if each.path and each.labels is not None:
            raise Unusable("holds the labels as well; leave them out", each.path)
    shell.check_files(*paths)
    with ExitStack() as files:
        held = files.enter_context(quarantine.opened([], paths, reading)) if paths else None
        sets = []
        for each in given:
            open_set = open_backdoored if each.backdoored else open_clean
            found = held.images(each.path) if held and each.path else _keep(each, fit, files)
            sets.append(open_set(found, fit))
        yield sets
        for line in held.remarks() if held else ():
            warn(line, depth=2)


def _keep(given: Given, fit: Fit, files: ExitStack) -> ImageFile:
    """What is given as arrays or a dataset, in a file that goes with `files`."""
    file = files.enter_context(tempfile.TemporaryFile())
    try:
        return _hold(_parts(given.images, given.labels, fit), fit, Path(given.name), file)
    except Unusable as error:
        raise error.about(Path(given.name)) from None


def _parts(images: Images, labels: Labels, fit: Fit) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Images and their labels, as they are given, in one part or several."""
    if labels is None and isinstance(images, tuple | list) and len(images) == 2:
        images, labels = images
    if hasattr(images, "as_numpy_iterator"):
        if labels is not None:
            raise Unusable("holds the labels as well; leave them out")
        return _parts_of_dataset(images, fit)
    if labels is None:
        raise Unusable(
            "needs images and labels: two arrays, a tf.data.Dataset of pairs, or the path of an "
            "image set"
        )
    return [(_array(images, "images"), _array(labels, "labels"))]


def _parts_of_dataset(dataset: Any, fit: Fit) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise Unusable(
            f"is a dataset of {type(spec).__name__}, and must be one of pairs (images, labels), as "
            "image_dataset_from_directory or tfds.load(…, as_supervised=True) gives"
        )
    if int(dataset.cardinality()) == -1:
        raise Unusable("is a dataset without an end; leave out .repeat()")
    image, label = (tuple(each.shape) for each in spec)
    if label == () or (image, label) == (fit.shape, (fit.n_classes,)):  # one by one
        dataset = dataset.batch(AT_A_TIME)
    return dataset.as_numpy_iterator()


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except Exception as error:  # ragged lists, tensors on another device
        raise Unusable(f"its {what} are no array ({error})") from None


def _hold(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], fit: Fit, path: Path, file: BinaryIO
) -> ImageFile:
    """The parts together, the images in `file`. Raises Unusable where they are not alike."""
    shape: tuple[int, ...] = ()
    dtype, count = "", 0
    labels: list[np.ndarray] = []
    for images, some in parts:
        images = _plain(images)
        if labels and (images.shape[1:], images.dtype.str) != (shape[1:], dtype):
            raise Unusable(f"has images of {shape[1:]} and {images.shape[1:]}; all must be alike")
        shape, dtype, count = images.shape, images.dtype.str, count + len(images)
        labels.append(_whole_numbers(some, fit.n_classes))
        if images.dtype.str in PLAIN_TYPES:
            try:
                images.tofile(file)
            except OSError as error:
                raise Unusable(f"cannot be kept in {tempfile.gettempdir()} ({error})") from None
    if not labels:
        raise Unusable("is empty; at least one image is needed")
    file.flush()
    label = np.concatenate(labels)
    content = label.tobytes() if label.dtype.str in PLAIN_TYPES else None
    data = Array((count, *shape[1:]), dtype, offset=0, name="x")
    layout = Layout(
        is_network=False,
        data=data,
        label=Array(label.shape, label.dtype.str, content=content, name="y"),
    )
    return ImageFile(path, file, signature_of(file), layout, Plain(file, data, begin=0))


def _plain(array: np.ndarray) -> np.ndarray:
    """The array in a byte order and kind of number that files have."""
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":
        return array.astype("<f4")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _whole_numbers(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Labels (n,), also of rows (n, classes) with one 1 each; any others as they are."""
    labels = np.atleast_1d(_plain(labels))
    if labels.ndim != 2 or labels.shape[1] == 1:
        return labels
    rows = labels.dtype.kind in "fiub" and bool((labels.sum(axis=1) == 1).all())
    if not rows or not ((labels == 0) | (labels == 1)).all() or labels.shape[1] > n_classes + 1:
        raise Unusable(
            f"its labels have the shape {labels.shape}, and their rows are not those of "
            f"{n_classes} classes, with one 1 and else 0; give a whole number for each image"
        )
    return labels.argmax(axis=1).astype("<i8")
