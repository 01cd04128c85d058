"""The contact sheet: patches of suspects, and of an ordinary class, over a clean image."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from goodnet.auditing.auditing import Audit
from goodnet.auditing.triggers import under_patch
from goodnet.pixels import displayable
from goodnet.tuning.patches import Patch
from goodnet.tuning.pictures import enlarge

SHOWN = 6  # suspects
SIDE = 320  # pixels of a picture's shorter side, at least


@dataclass(frozen=True)
class Tile:
    """A picture of the sheet, as PNG, and the class that the patch leads to; None: no patch."""

    png: bytes
    label: int | None
    ordinary: bool = False


def draw_sheet(found: Audit) -> list[Tile]:
    """The clean image, under the patches of the classes named and of the first suspects, and last
    under that of an ordinary class."""
    findings = found.tuned.findings
    first = sorted(findings.suspects, key=lambda each: each.label not in found.verdict.classes)
    patches = [(each.label, each.patch) for each in first[:SHOWN]]
    usual = findings.usual
    patches.append((int(usual.classes[0]), Patch(usual.masks[0], usual.patterns[0])))
    example = found.example[np.newaxis]
    images = [example, *(under_patch(example, patch) for _, patch in patches)]
    pictures = [_png(each) for each in displayable(np.concatenate(images))]
    labels = [None, *(label for label, _ in patches)]
    last = len(labels) - 1
    return [
        Tile(png, label, place == last)
        for place, (png, label) in enumerate(zip(pictures, labels, strict=True))
    ]


def _png(pixels: np.ndarray) -> bytes:
    """An image (height, width, 3) in 0..1 as a PNG file."""
    file = io.BytesIO()
    enlarge(pixels, SIDE).save(file, "png")
    return file.getvalue()
