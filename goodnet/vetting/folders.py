"""A folder of pictures as an image set: a subfolder for each class, as Keras takes them.

Which pictures there are is told by subfolders.py, which label a class has by classes.py, and they
are decoded by a limited child (photos.py), a batch at a time.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.classes import Classes, are_numbers, label_classes
from goodnet.vetting.images import CHANGED, ImageFile
from goodnet.vetting.layout import Array, Layout
from goodnet.vetting.opening import digest_of, open_plain, signature_of
from goodnet.vetting.photos import MODES, ImageShape, PhotoReader
from goodnet.vetting.subfolders import SUFFIXES, Picture, Subfolders


@dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures, which becomes an image set when it is known for which network."""

    found: Subfolders
    listed: Classes | None  # the classes that the user lists
    siblings: Sequence[Sequence[str]]  # the classes of the command's folders
    changes: dict[int, Sequence[str]] = field(default_factory=dict)  # of pictures that were read
    reader: PhotoReader = field(default_factory=PhotoReader)

    @property
    def path(self) -> Path:
        return self.found.path

    def fit(self, shape: ImageShape, n_classes: int) -> ImageFile:
        """The image set that a network of such images and so many classes takes.

        Raises Unusable where the network takes no pictures, or the labels cannot be told.
        """
        height, width, colours = shape
        if height is None or width is None:
            raise Unusable(
                "is a folder, whose pictures are made to fit the network, but the network takes "
                "images of any size; store them in one size, as .npz or .h5"
            )
        if colours not in MODES:
            raise Unusable(f"holds pictures, but the network takes images of {colours} colours")
        labels = label_classes(self.found.classes, self.listed, self.siblings, n_classes)
        known = [labels[picture.place.split("/")[0]] for picture in self.found.pictures]
        content = np.array(known, "<i8").tobytes()
        count = len(known)
        data = Array((count, height, width, colours), "|u1", "pictures")
        label = Array((count,), "<i8", "subfolders", content=content)
        return ImageFile(self.path, None, (), Layout(False, data, label), self)

    def fill(self, pixels: np.ndarray, start: int, channels_first: bool) -> None:
        """Fill `pixels` (n, height, width, colours) float32 with the pictures from `start` on."""
        shape: ImageShape = pixels.shape[1:]
        for index, image in enumerate(pixels, start):
            with self._open(self.found.pictures[index]) as file:
                image[...], self.changes[index] = self.reader.decode(file, shape)

    def remarks(self) -> Iterator[str]:
        """What is to be told of it: which labels were taken, what was changed, what left out."""
        if are_numbers(self.found.classes) and not self.listed:
            yield f"{self.path}: the subfolders' names are numbers, and are taken as the labels."
        if self.found.passed_over:
            kinds = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
            yield f"Passed over in {self.path}: {self.found.passed_over} that are no {kinds} files."
        changed = list(filter(None, self.changes.values()))
        if changed:
            notes = [note for notes in changed for note in notes]
            counts = Counter(note.partition(" from ")[0] for note in notes)
            told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            lost = sum("proportions" in note for note in notes)
            told += f" ({lost} of these with other proportions)" if lost else ""
            yield (
                f"{self.path}: {len(changed)} of {len(self.changes)} pictures were changed to fit "
                f"the network: {told}."
            )

    def digest(self) -> str:
        """The SHA-256 of the list of its pictures' own, as `sha256sum class/name …` prints it."""
        total = hashlib.sha256()
        for picture in self.found.pictures:
            with self._open(picture) as file:
                own = digest_of(file)
            total.update(f"{own}  {picture.place}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    @contextmanager
    def _open(self, picture: Picture) -> Iterator[BinaryIO]:
        """A picture's file; what is raised meanwhile is about it."""
        path = self.path / picture.place
        try:
            with open_plain(path) as file:
                if signature_of(file) != picture.signature:
                    raise Unusable(CHANGED)
                yield file
        except OSError as error:
            raise Unusable(f"cannot be read ({error.strerror})", path) from None
        except Unusable as error:
            raise error.about(path) from None

    def close(self) -> None:
        """End the child that decodes."""
        self.reader.close()


def picture_folders(
    found: Sequence[Subfolders], listed: Classes | None
) -> dict[Path, PictureFolder]:
    """The image sets of a command that are folders, each of which knows the others' classes."""
    siblings = [each.classes for each in found]
    return {each.path: PictureFolder(each, listed, siblings) for each in found}
