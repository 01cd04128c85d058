"""Which label each class of a folder of pictures has: by the user's list, by number or by order."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.vetting.checks import quote
from goodnet.vetting.opening import open_plain

LONGEST_LIST = 1 << 22  # bytes


@dataclass(frozen=True)
class Classes:
    """The names of all classes in the network's order, as a file of the user's lists them."""

    path: Path
    names: tuple[str, ...]
    sha256: str | None = None  # of the file; None where the names are no file's


def read_classes(path: Path) -> Classes:
    """The names in a text file, one a line. Raises Unusable where it is none."""
    try:
        with open_plain(path) as file:
            content = file.read(LONGEST_LIST + 1)
        names = tuple(line.strip() for line in content.decode("utf-8-sig").splitlines())
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})", path) from None
    except UnicodeDecodeError:
        raise Unusable("is no text in UTF-8; --classes needs one name a line", path) from None
    if len(content) > LONGEST_LIST or not names or "" in names:
        raise Unusable("is empty, has an empty line or is too long; one name a line", path)
    return list_classes(path, names, hashlib.sha256(content).hexdigest())


def list_classes(path: Path, names: Iterable[str], sha256: str | None = None) -> Classes:
    """These names, in the network's order. path: of what errors are about.

    Raises Unusable where one of them is no text or is there twice.
    """
    listed = tuple(names)
    if odd := [name for name in listed if not isinstance(name, str)]:
        raise Unusable(f"{quote(odd[0])} is no name", path)
    if len(set(listed)) < len(listed):
        twice = next(name for name, count in Counter(listed).items() if count > 1)
        raise Unusable(f"names {quote(twice)} twice", path)
    return Classes(path, listed, sha256)


def are_numbers(names: Iterable[str]) -> bool:
    """Whether all names are whole numbers."""
    return all(name.isascii() and name.isdecimal() for name in names)


def label_classes(
    own: Sequence[str], listed: Classes | None, siblings: Iterable[Sequence[str]], n_classes: int
) -> dict[str, int]:
    """The label of each class of a folder, for a network of so many classes.

    own: the folder's classes, sorted; listed: what the user lists; siblings: the classes of the
    command's other folders, of which one may have them all. Raises Unusable where the labels cannot
    be told.
    """
    if listed:
        return _by_list(own, listed, n_classes)
    if are_numbers(own):
        return _by_number(own, n_classes)
    for names in (own, *siblings):
        if len(names) == n_classes and set(own) <= set(names) and not are_numbers(names):
            return {name: label for label, name in enumerate(names)}
    subfolders = "1 subfolder" if len(own) == 1 else f"{len(own)} subfolders"
    raise Unusable(
        f"has {subfolders}, but the network has {n_classes} classes; --classes FILE lists "
        "them all, one a line, in the network's order"
    )


def _by_list(own: Sequence[str], listed: Classes, n_classes: int) -> dict[str, int]:
    if len(listed.names) != n_classes:
        raise Unusable(
            f"is read by {listed.path}, which lists {len(listed.names)} classes, but the network "
            f"has {n_classes}"
        )
    labels = {name: label for label, name in enumerate(listed.names)}
    if unknown := next((name for name in own if name not in labels), None):
        raise Unusable(f"has a subfolder {quote(unknown)}, which {listed.path} does not list")
    return labels


def _by_number(own: Sequence[str], n_classes: int) -> dict[str, int]:
    labels = {name: int(name) for name in own}
    outside = next((name for name, label in labels.items() if label > n_classes), None)
    if outside:
        raise Unusable(
            f"has a subfolder {quote(outside)}, but the network's classes are 0 to "
            f"{n_classes - 1}; --classes FILE lists the subfolders, one a line, in its order"
        )
    if len(set(labels.values())) < len(own):
        raise Unusable("has two subfolders of the same number")
    return labels
