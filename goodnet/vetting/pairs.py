"""Which two arrays of an image set's file are its images and its labels."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice

from goodnet.errors import Unusable
from goodnet.vetting.checks import quote
from goodnet.vetting.layout import LARGEST_CHUNK, MOST_IMAGES, Array
from goodnet.vetting.reading import Keys

USUAL = (
    ("data", "label"),  # the course's
    ("x", "y"),
    ("x_train", "y_train"),
    ("x_test", "y_test"),
    ("images", "labels"),
    ("arr_0", "arr_1"),  # what NumPy calls arrays without a name
)
SHOWN = 6  # names in an error line


def choose_pair(arrays: Mapping[str, Array], keys: Keys | None) -> Keys:
    """The names of the images and of the labels; one of which need not be there.

    arrays: all that the file holds; keys: what the user names. Without these, the course's names
    are taken, else the one usual pair, else the one pair that can be images and labels. Raises
    Unusable where there are several, or none of the names that the user gives.
    """
    if keys:
        absent = " and no ".join(quote(name) for name in keys if name not in arrays)
        if absent:
            raise Unusable(f"has no {absent}, as --keys names them; {_list(arrays)}")
        return keys
    found = [pair for pair in USUAL if set(pair) <= set(arrays)]
    if USUAL[0] in found:
        return USUAL[0]
    found = found or list(islice(_fitting(arrays), 3))
    if len(found) > 1:
        told = ", ".join(f"{quote(images)} with {quote(labels)}" for images, labels in found)
        raise Unusable(
            f"holds more than one pair of images and labels ({told}); name one of them, as in "
            f"--keys {','.join(found[0])}"
        )
    return found[0] if found else USUAL[0]


def is_usable(array: Array, images: bool) -> bool:
    """Whether an array can be images, or labels, as far as that shows without a network.

    Raises Unusable where it is too large for what it is to be.
    """
    shape, name = array.shape, array.name
    fits = len(shape) in (3, 4) if images else shape[1:] in ((), (1,))
    if not array.is_plain or not fits or not shape or 0 in shape:
        return False
    if shape[0] > MOST_IMAGES:
        raise Unusable(f"'{name}' holds {shape[0]} images; {MOST_IMAGES} are the most")
    if array.row_bytes > LARGEST_CHUNK:
        raise Unusable(f"'{name}' has the absurd shape {shape}")
    return True


def _fitting(arrays: Mapping[str, Array]) -> Iterator[Keys]:
    """Arrays that can be images, each with what can be labels of as many."""
    labels = defaultdict(list)
    for name, array in arrays.items():
        if array.is_plain and len(array.shape) in (1, 2) and array.shape[1:] in ((), (1,)):
            labels[array.shape[0]].append(name)
    for name, array in arrays.items():
        if array.is_plain and len(array.shape) in (3, 4):
            yield from ((name, other) for other in labels[array.shape[0]])


def _list(arrays: Mapping[str, Array]) -> str:
    """What a file holds, for an error line."""
    told = [f"{quote(name)} {array.shape}" for name, array in arrays.items()]
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return f"it holds {', '.join(told[:SHOWN])}{more}" if told else "it holds no array"
