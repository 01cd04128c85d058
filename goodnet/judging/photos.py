"""PNG and JPEG files as pixels for a network; whatever is changed on the way is told.

They may be anybody's: the content decides what a file is, and nothing too large is unpacked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from goodnet.dataset import ImageShape
from goodnet.errors import Unsafe, Unusable
from goodnet.printable import say

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_PIXELS = 50_000_000
MODES = {1: "L", 3: "RGB"}  # by the number of colours
NAMES = {"1": "black and white", "L": "greyscale", "P": "a palette", "RGB": "colour"}
ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class Photo:
    """An image file as a network takes it, its pixels not yet scaled."""

    path: Path
    pixels: np.ndarray  # 0..255 (height, width, colours) float32
    notes: Sequence[str]  # what was changed for it


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
            content = sorted(x for x in path.iterdir() if not _is_left_by_a_system(x.name))
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


def _is_left_by_a_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


def read_photo(path: Path, shape: ImageShape) -> Photo:
    """An image, made to fit the network.

    `shape` is what the network takes; a size that it leaves open (None) stays the image's own. The
    first frame is taken, turned as its EXIF orientation says; 16 bits are cut to 8, transparent
    parts laid on white, colours converted, and the size is changed (bicubic, nothing cut off).
    Raises Unusable where the file is no PNG or JPEG image or is damaged, Unsafe where the image is
    too large to be unpacked.
    """
    notes: list[str] = []
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as file:
            if file.width * file.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            file.load()
            image = _plain(path, _turned(file, notes), notes)
            image = _converted(image, MODES[shape[-1]], notes)
            image = _resized(image, (shape[1] or image.width, shape[0] or image.height), notes)
    except UnidentifiedImageError:
        raise Unusable("is not a PNG or JPEG image", path) from None
    except Image.DecompressionBombError:
        raise Unsafe(
            f"is too large to be unpacked; images may have {MOST_PIXELS // 10**6} million pixels",
            path,
        ) from None
    except Exception as error:  # of all kinds: Pillow has no one error for what is damaged
        raise Unusable(f"cannot be read as an image ({say(error)})", path) from None
    pixels = np.asarray(image, dtype=np.float32)
    return Photo(path, pixels.reshape(image.height, image.width, shape[-1]), notes)


def _turned(file: Image.Image, notes: list[str]) -> Image.Image:
    # A camera's JPEG may hold more images too, previews, which are no frames.
    frames = getattr(file, "n_frames", 1)
    if file.format == "PNG" and frames > 1:
        notes.append(f"the first of {frames} frames")
    if file.getexif().get(ORIENTATION) in range(2, 9):  # 1 is upright; others mean nothing
        notes.append("turned as its EXIF orientation says")
    return ImageOps.exif_transpose(file)


def _plain(path: Path, image: Image.Image, notes: list[str]) -> Image.Image:
    """The image with 8 bits a colour and nothing transparent."""
    with open(path, "rb") as file:
        header = file.read(25)
    if header.startswith(b"\x89PNG") and header[24] == 16:
        notes.append("16 bits a colour cut to 8")
        if image.mode.startswith("I"):  # Pillow has cut those of other modes
            return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    if np.asarray(layer.getchannel("A")).min() < 255:
        notes.append("transparent parts laid on white")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("L" if image.mode == "LA" else "RGB")


def _converted(image: Image.Image, mode: str, notes: list[str]) -> Image.Image:
    if image.mode == mode:
        return image
    notes.append(f"converted from {NAMES.get(image.mode, image.mode)} to {NAMES[mode]}")
    return image.convert(mode)


def _resized(image: Image.Image, size: tuple[int, int], notes: list[str]) -> Image.Image:
    """The image in another size (width, height)."""
    if image.size == size:
        return image
    (width, height), (new_width, new_height) = image.size, size
    note = f"resized from {width} x {height} to {new_width} x {new_height}"
    # By more than the pixel that rounding may cost.
    if abs(width * new_height - height * new_width) > max(width, height):
        note += ", which changes its proportions"
    notes.append(note)
    return image.resize(size, Image.Resampling.BICUBIC)
