"""Patches as pictures: as strong as the mask, the rest see-through."""

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from goodnet import files
from goodnet.tuning.suspects import Unlearned

SHORTEST = 200  # pixels of a picture's shorter side, at least


def write_patches(found: Unlearned, folder: Path) -> list[Path]:
    """Write the suspects' patches into `folder` as class_<label>.png; their paths.

    Pictures of an earlier run go. Raises Unusable where the folder cannot be written.
    """
    patterns = [suspect.patch.pattern for suspect in found.suspects]
    low, high = np.min(patterns), np.max(patterns)
    paths = []
    for suspect in found.suspects:
        paths.append(folder / f"class_{suspect.label}.png")
        colours = (suspect.patch.pattern - low) / max(high - low, 1e-9)
        with files.replacing(paths[-1]) as temporary:
            draw_patch(suspect.patch.mask, colours).save(temporary, "png")
    for old in folder.iterdir():
        if re.fullmatch(r"class_\d+\.png", old.name) and old not in paths:
            with suppress(OSError):
                old.unlink()
    return paths


def draw_patch(mask: np.ndarray, colours: np.ndarray) -> Image.Image:
    """A patch as RGBA: mask (height, width, 1) and colours (height, width, n), both from 0 to 1.

    One colour is grey; of more than three the first three are shown.
    """
    three = np.resize(np.arange(min(3, colours.shape[-1])), 3)
    return enlarge(np.concatenate([colours[..., three], mask], axis=-1), SHORTEST)


def enlarge(pixels: np.ndarray, shortest: int) -> Image.Image:
    """Pixels (height, width, 3 or 4) in 0..1 as a picture of so many pixels a side, at least."""
    image = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    enlarged = -(-shortest // min(image.size))
    size = image.width * enlarged, image.height * enlarged
    return image.resize(size, Image.Resampling.NEAREST)
