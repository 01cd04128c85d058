"""The limited child that decodes PNG and JPEG files; goodnet/vetting/photos.py starts it.

The content decides what a file is, and nothing too large is unpacked. Pillow's decoders are written
in C, so that happens here, in a process that may take only so much time and memory, has neither
HDF5 nor Keras, and is shut into a cage (goodnet/vetting/cage.py).
"""

import io
import json
import sys
from importlib import import_module
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import say
from goodnet.vetting import inside
from goodnet.vetting.photos import MODES, MOST_PIXELS, ImageShape

# Which Pillow imports when it first needs them: no more, once the cage is shut.
LATE_MODULES = ("ImageColor", "ImageFile", "MpoImagePlugin", "TiffImagePlugin")
NAMES = {"1": "black and white", "L": "greyscale", "P": "a palette", "RGB": "colour"}
ORIENTATION = 0x0112  # EXIF tag


def develop(file: BinaryIO, shape: ImageShape, notes: list[str]) -> Image.Image:
    """An image, made to fit what a network takes.

    A size that is left open (None) stays the image's own. The first frame is taken, turned as its
    EXIF orientation says; 16 bits are cut to 8, transparent parts laid on white, colours converted,
    and the size is changed (bicubic, nothing cut off). What was changed is added to the notes.
    Raises Unusable where the file is no PNG or JPEG image or is damaged, Unsafe where the image is
    too large to be unpacked.
    """
    height, width, colours = shape
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            opened.load()
            image = _plain(file, _turned(opened, notes), notes)
            image = _converted(image, MODES[colours], notes)
            return _resized(image, (width or image.width, height or image.height), notes)
    except UnidentifiedImageError:
        raise Unusable("is not a PNG or JPEG image") from None
    except Image.DecompressionBombError:
        raise Unsafe(
            f"is too large to be unpacked; images may have {MOST_PIXELS // 10**6} million pixels"
        ) from None
    except Exception as error:  # of all kinds: Pillow has no one error for what is damaged
        raise Unusable(f"cannot be read as an image ({say(error)})") from None


def _turned(file: Image.Image, notes: list[str]) -> Image.Image:
    # A camera's JPEG may hold more images too, previews, which are no frames.
    frames = getattr(file, "n_frames", 1)
    if file.format == "PNG" and frames > 1:
        notes.append(f"the first of {frames} frames")
    if file.getexif().get(ORIENTATION) in range(2, 9):  # 1 is upright; others mean nothing
        notes.append("turned as its EXIF orientation says")
        return ImageOps.exif_transpose(file)
    return file


def _plain(file: BinaryIO, image: Image.Image, notes: list[str]) -> Image.Image:
    """The image with 8 bits a colour and nothing transparent."""
    file.seek(0)
    header = file.read(25)
    if header.startswith(b"\x89PNG") and header[24] == 16:
        notes.append("16 bits a colour cut to 8")
        if image.mode.startswith("I"):  # Pillow has cut those of other modes
            return Image.fromarray(np.right_shift(np.asarray(image), 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
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


def answer(content: BinaryIO, shape: ImageShape) -> None:
    """Say what the image is, {status, reason} or {status, size, notes}, and its pixels.

    These are (height, width, colours) uint8.
    """
    notes: list[str] = []
    try:
        image = develop(content, shape, notes)
        pixels = image.tobytes()
    except MemoryError:
        reason = "cannot be read as an image (it takes too much memory)"
        inside.answer({"status": 2, "reason": reason})
    except Unusable as error:
        inside.answer({"status": error.exit_status, "reason": str(error)})
    else:
        said = {"status": 0, "size": [image.height, image.width], "notes": notes}
        inside.answer(said, pixels)


def main() -> None:
    settings = inside.hear_settings()
    Image.preinit()
    for name in LATE_MODULES:
        import_module(f"PIL.{name}")
    inside.shut_in(settings)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        answer(io.BytesIO(inside.hear_bytes(asked["bytes"])), tuple(asked["shape"]))
