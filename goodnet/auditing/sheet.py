"""The contact sheet: patches of suspects, and of an ordinary class, over a clean image."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from goodnet.auditing.auditing import Audit, Traced
from goodnet.pixels import displayable
from goodnet.tuning.patches import lay_one
from goodnet.tuning.pictures import enlarge

SHOWN = 6  # suspects
SIDE = 320  # pixels of a picture's shorter side, at least


@dataclass(frozen=True)
class Tile:
    """A picture of the sheet, as PNG, and the class that it leads to; None: no single one."""

    png: bytes
    label: int | None
    ordinary: bool = False
    traced: Traced | None = None  # the trigger of a family, in place of a suspect's patch


def draw_sheet(found: Audit) -> list[Tile]:
    """The clean image, under triggers of families that stand out, under the patches of the classes
    named and of the first suspects, and last under that of an ordinary class."""
    first = sorted(found.repair.suspects, key=lambda each: each.label not in found.verdict.classes)
    patches = [(each.label, each.patch) for each in first[:SHOWN]]
    usual = found.repair.usual
    patches.append((int(usual.classes[0]), usual.one(0)))
    example = found.example[np.newaxis]
    traced = [each for each in found.traced or [] if each.trace.possible]
    laid = [each.trace.lay(example).astype(np.float32) for each in traced]
    images = [example, *laid, *(lay_one(example, patch) for _, patch in patches)]
    plain, *pictures = [_png(each) for each in displayable(np.concatenate(images))]
    of_traces, of_patches = pictures[: len(traced)], pictures[len(traced) :]
    last = len(patches) - 1
    return [
        Tile(plain, None),
        *(
            Tile(png, each.trace.label, traced=each)
            for png, each in zip(of_traces, traced, strict=True)
        ),
        *(
            Tile(png, label, place == last)
            for place, (png, (label, _)) in enumerate(zip(of_patches, patches, strict=True))
        ),
    ]


def _png(pixels: np.ndarray) -> bytes:
    """An image (height, width, 3) in 0..1 as a PNG file."""
    file = io.BytesIO()
    enlarge(pixels, SIDE).save(file, "png")
    return file.getvalue()
