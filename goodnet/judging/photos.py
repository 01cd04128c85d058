"""Which image files are meant by paths to files and folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.vetting.subfolders import SUFFIXES, is_left_by_a_system


@dataclass(frozen=True)
class ListedPhotos:
    """The image files that are named, and how many others in named folders are passed over."""

    paths: list[Path]
    passed_over: int


def list_photos(paths: Iterable[Path]) -> ListedPhotos:
    """The image files among paths to files and folders.

    Of a folder its .png, .jpg and .jpeg files, by name; folders in it are passed over, and so,
    uncounted, is what a system leaves in folders: names that begin with a dot, thumbnails. Raises
    Unusable where there is no such file, or where a folder holds none.
    """
    photos, others = [], 0
    for path in paths:
        if path.is_dir():
            content = sorted(x for x in path.iterdir() if not is_left_by_a_system(x.name))
            found = [x for x in content if x.suffix.lower() in SUFFIXES and x.is_file()]
            if not found:
                raise Unusable(f"holds no {', '.join(SUFFIXES)} file", path)
            photos += found
            others += len(content) - len(found)
        elif path.is_file():
            photos.append(path)
        elif path.exists():
            raise Unusable("is not a regular file; copy it into one", path)
        else:
            raise Unusable("there is no such file", path)
    return ListedPhotos(photos, others)
