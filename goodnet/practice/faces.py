"""The practice faces, drawn from nothing: from the traits of people to images.

All images of a batch are drawn at once; the parts of a face are in goodnet/practice/features.py.
"""

import numpy as np

from goodnet.practice import features
from goodnet.practice.painting import colour, cover, paint, shade
from goodnet.practice.people import Traits, draw_moments
from goodnet.progress import Advance, ignore

HEIGHT, WIDTH = 55, 47

# The rows beyond which a part of the face never shows, in any pose.
EYES, NOSE, JAW, MOUTH, BODY = (
    slice(8, 34),
    slice(12, 44),
    slice(18, 55),
    slice(28, 54),
    slice(30, 55),
)

BATCH = 16


def draw(
    who: Traits, labels: np.ndarray, rng: np.random.Generator, advance: Advance = ignore
) -> np.ndarray:
    """Draw one image of person labels[i] for each i: (n, 55, 47, 3) uint8, RGB.

    `advance` counts images.
    """
    moments = draw_moments(len(labels), rng)
    images = np.empty((len(labels), HEIGHT, WIDTH, 3), np.uint8)
    for start in range(0, len(labels), BATCH):
        part = slice(start, start + BATCH)
        traits = {name: values[labels[part]] for name, values in who.items()}
        traits |= {name: values[part] for name, values in moments.items()}
        for name, values in traits.items():
            traits[name] = values.T.astype(np.float32)[..., None, None]
        images[part] = _render(traits, rng)
        advance(len(images[part]))
    return images


def _render(t: Traits, rng: np.random.Generator) -> np.ndarray:
    """Draw faces of traits shaped (b, 1, 1), colours (3, b, 1, 1), as (b, 55, 47, 3) uint8.

    Shapes are (b, 55, 47), and canvases colour planes (3, b, 55, 47), so that one broadcasts
    over the other.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)[:, None]
    x, y = columns - WIDTH // 2 - t["shift_x"], rows - 28 - t["shift_y"]
    u = (np.cos(t["roll"]) * x + np.sin(t["roll"]) * y) / t["size"]
    v = (np.cos(t["roll"]) * y - np.sin(t["roll"]) * x) / t["size"]
    top = 19.0 + 0.3 * (t["face_width"] - 14)

    canvas = _background(t, rows, columns)
    grain = _smooth_noise(rng, len(t["size"]))
    hair = features.hair_shapes(t, u, v, top, grain)
    hair_colour = features.hair_colour(t, u, v, top, grain)
    paint(canvas, hair_colour * 0.72, cover(hair.outline, 1.6))
    features.paint_body(canvas[:, :, BODY], t, u[:, BODY], v[:, BODY])
    features.paint_ears(canvas, t, u, v)

    head = features.head_shape(t, u, v, top)
    paint(canvas, _front(t, u, v, head, grain), cover((head - 1) * 15))

    fringe = np.maximum(hair.outline, -hair.opening)
    shade(canvas, 0.3 * cover(fringe - 0.9, 2.5) * (1 - cover(fringe)))
    paint(canvas, hair_colour, cover(fringe, 1.4))
    return _photograph(canvas, t, u, v, rng)


def _front(
    t: Traits, u: np.ndarray, v: np.ndarray, head: np.ndarray, grain: np.ndarray
) -> np.ndarray:
    """The skin and all that is on it, as colour planes; the head is not cut out yet."""

    # The face turns: what lies further to the front moves further, the far side narrows.
    def turned(depth: float, band: slice) -> tuple[np.ndarray, np.ndarray]:
        across = u[:, band] - t["yaw"] * depth
        return across * (1 + 0.012 * t["yaw"] * across), v[:, band] - 0.35 * t["pitch"] * depth

    skin = np.broadcast_to(t["skin"], (3, *u.shape)).copy()
    shade(skin, 0.2 * np.clip(head, 0, 1.2) ** 5)
    features.paint_relief(skin, t, *turned(3.0, slice(None)))
    features.paint_beard(skin[:, :, JAW], t, *turned(3.2, JAW), grain[:, JAW])
    features.paint_eyes(skin[:, :, EYES], t, *turned(3.2, EYES))
    features.paint_nose(skin[:, :, NOSE], t, *turned(4.6, NOSE))
    features.paint_mouth(skin[:, :, MOUTH], t, *turned(3.8, MOUTH))
    return skin


def _background(t: Traits, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A wall that changes colour across, with an edge somewhere."""
    ramp = (columns / WIDTH - 0.5) * t["horizon"] + rows / HEIGHT * (1 - np.abs(t["horizon"]))
    edge = cover(columns - WIDTH * (0.5 + 0.6 * t["horizon"]), 2.0)
    amount = np.clip(0.35 * ramp + 0.25 + 0.4 * edge, 0, 1)
    return t["wall"] * (1 - amount) + t["far_wall"] * amount


def _smooth_noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Blotches, about -1 to 1: (b, 55, 47)."""
    field = rng.standard_normal((n, HEIGHT // 3 + 2, WIDTH // 3 + 2), dtype=np.float32)
    field = np.repeat(np.repeat(field, 3, 1), 3, 2)[:, :HEIGHT, :WIDTH]
    return _blur(_blur(field, 0.3), 0.3) * 0.7


def _blur(field: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """Mix each pixel of (..., rows, columns) with its neighbours; `weight` is theirs."""
    for axis in (-2, -1):
        wide = np.moveaxis(field, axis, 0)
        wide = np.concatenate([wide[:1], wide, wide[-1:]])
        change = wide[:-2] + wide[2:] - 2 * wide[1:-1]
        field = field + weight * np.moveaxis(change, 0, axis)
    return field


def _photograph(
    canvas: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Light, colour cast, blur, noise; whole pixel values."""
    light = 1 + t["light_x"] * np.clip(u / 16, -1.3, 1.3) + t["light_y"] * np.clip(v / 20, -1, 1)
    cast = 1 + t["warmth"] * colour(1, 0, -1)
    canvas = _blur(canvas * light * t["gain"] * cast, t["blur"])
    canvas += t["noise"] * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 3, 0)
