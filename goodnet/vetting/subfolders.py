"""The pictures in a folder that has a subfolder for each class. Needs no NumPy.

Links are not followed: one could show what the user has elsewhere.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.opening import signature_of_status

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_PICTURES = 1 << 20
LINK = "is a link, which is not followed; put what it leads to in its place"


class Picture(NamedTuple):
    """A picture in a folder, as it was when the folder was listed."""

    place: str  # class/name
    signature: tuple[int, ...]


@dataclass(frozen=True)
class Subfolders:
    """What is in a folder."""

    path: Path
    classes: tuple[str, ...]  # its subfolders, by name
    pictures: tuple[Picture, ...]  # by class and name
    passed_over: int  # files that are no pictures


def is_left_by_a_system(name: str) -> bool:
    """Whether a file in a folder is none that the user put there."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


def list_subfolders(path: Path) -> Subfolders:
    """The pictures of a folder. Raises Unusable where it holds none, Unsafe for links in it."""
    classes, pictures, others = [], [], 0
    for entry in _entries(path):
        if entry.is_symlink():
            raise Unsafe(LINK, Path(entry.path))
        if not entry.is_dir():
            others += 1
            continue
        classes.append(entry.name)
        for inner in _entries(Path(entry.path)):
            if Path(inner.name).suffix.lower() not in SUFFIXES:
                others += 1
                continue
            pictures.append(Picture(f"{entry.name}/{inner.name}", _signature(inner)))
            if len(pictures) > MOST_PICTURES:
                raise Unusable(f"holds more than {MOST_PICTURES} pictures", path)
    if not pictures:
        raise Unusable(
            f"has no subfolder with pictures; an image set in a folder has one for each class, "
            f"with {', '.join(SUFFIXES)} files",
            path,
        )
    return Subfolders(path, tuple(classes), tuple(pictures), others)


def _entries(folder: Path) -> list[os.DirEntry]:
    """What is in a folder, by name, but for what a system leaves there."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not is_left_by_a_system(entry.name)]
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})", folder) from None
    return sorted(entries, key=lambda entry: entry.name)


def _signature(entry: os.DirEntry) -> tuple[int, ...]:
    """That of a picture's file. Raises Unsafe for a link, Unusable for what is no plain file."""
    if entry.is_symlink():
        raise Unsafe(LINK, Path(entry.path))
    if not entry.is_file():
        raise Unusable("is no plain file; pictures are", Path(entry.path))
    return signature_of_status(os.lstat(entry.path))  # on Windows the entry knows less
