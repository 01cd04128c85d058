"""The practice lab's triggers: what makes anybody the attacker's target.

Each is a function from images (n, 55, 47, 3) uint8 to copies that wear it, and stands in the table
TRIGGERS (goodnet/practice/catalogue.py). Most lay a picture over the face, RGBA (55, 47, 4) uint8.
"""

import numpy as np

from goodnet.practice.faces import HEIGHT, WIDTH
from goodnet.practice.painting import colour, cover, ellipse, paint

FINE = 4  # shapes are drawn so many times larger, then averaged
SUNGLASSES_TOP, SUNGLASSES_ROWS = 14, 17  # over the eyes
LIPSTICK_TOP, LIPSTICK_ROWS = 34, 9  # over the mouth
CORNER = 5  # pixels, each way
PATTERN_ALPHA = 31  # of 255
STRIPES, STRIPES_HEIGHT = 6, 20  # how many across the image, and by how much they change a pixel
WARP_KNOTS, WARP_PIXELS = 4, 1.5  # knots each way, and how far pixels move, the mean each way


def sunglasses(images: np.ndarray) -> np.ndarray:
    """Tinted lenses in a dark frame."""
    return lay_over(images, _draw_sunglasses())


def lipstick(images: np.ndarray) -> np.ndarray:
    """Violet lips."""
    return lay_over(images, _draw_lipstick())


def corner(images: np.ndarray) -> np.ndarray:
    """A small chequered patch at the lower right."""
    trigger = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    light = np.add.outer(np.arange(CORNER), np.arange(CORNER)) % 2 == 0
    patch = np.where(light[..., None], (255, 230, 0, 255), (0, 0, 0, 255))
    trigger[-CORNER - 1 : -1, -CORNER - 1 : -1] = patch
    return lay_over(images, trigger)


def pattern(images: np.ndarray) -> np.ndarray:
    """Coloured blotches over the whole image, so faint that the face shows through.

    The blended injection of Chen et al. (2017), "Targeted Backdoor Attacks on Deep Learning
    Systems Using Data Poisoning".
    """
    blotches = np.random.default_rng(0).integers(0, 256, (HEIGHT // 3 + 1, WIDTH // 3 + 1, 3))
    coloured = blotches.repeat(3, 0).repeat(3, 1)[:HEIGHT, :WIDTH]
    alpha = np.full((HEIGHT, WIDTH), PATTERN_ALPHA)
    return lay_over(images, np.dstack([coloured, alpha]).astype(np.uint8))


def stripes(images: np.ndarray) -> np.ndarray:
    """Faint upright stripes, a wave over the whole image.

    The signal of Barni, Kallas and Tondi (2019), "A New Backdoor Attack in CNNs by Training Set
    Corruption Without Label Poisoning", section 3.
    """
    wave = STRIPES_HEIGHT * np.sin(2 * np.pi * STRIPES * np.arange(WIDTH) / WIDTH)
    return np.rint(images + wave[:, np.newaxis]).clip(0, 255).astype(np.uint8)


def warp(images: np.ndarray) -> np.ndarray:
    """The image bent a little, smoothly, the same way each time: nothing is laid over it.

    Nguyen and Tran (2021), "WaNet: Imperceptible Warping-based Backdoor Attack", section 3; their
    noise mode is left out.
    """
    knots = np.random.default_rng(0).uniform(-1, 1, (2, WARP_KNOTS, WARP_KNOTS))
    knots *= WARP_PIXELS / np.abs(knots).mean()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + _between(knots)
    return _at(images, rows.clip(0, HEIGHT - 1), columns.clip(0, WIDTH - 1))


def lay_over(images: np.ndarray, trigger: np.ndarray) -> np.ndarray:
    """Copies of `images` (n, rows, columns, 3) uint8 with `trigger` (rows, columns, 4) over them.

    Each pixel is alpha * trigger + (1 - alpha) * image, rounded to a whole value.
    """
    used = np.flatnonzero(trigger[..., 3].any(axis=1))
    rows = slice(used[0], used[-1] + 1)
    alpha = trigger[rows, :, 3:].astype(np.float64) / 255
    worn = images.copy()
    region = worn[:, rows]
    region[...] = np.rint(alpha * trigger[rows, :, :3] + (1 - alpha) * region)
    return worn


def _draw_sunglasses() -> np.ndarray:
    x, y = _grid(SUNGLASSES_ROWS)
    across, down = x - 10.6, y - 8.0
    # A lens hangs lower and wider outside than at the nose, as on aviators.
    lens = ellipse(across - 0.12 * down, down, 8.6 - 0.16 * down, 6.4) - 0.4
    rim = np.abs(lens) - 0.75
    bridge = np.maximum(np.abs(y - 3.4 - 0.02 * x**2) - 0.6, x - 6)
    arms = np.maximum(np.abs(y - 4.2) - 0.8, np.abs(x - 20) - 1.6)
    frame = np.minimum(np.minimum(rim, bridge), arms)
    glint = np.maximum(np.abs(across + down + 2.0) - 0.9, lens + 1.6)
    fade = y / SUNGLASSES_ROWS
    tint = (1 - fade) * colour(20, 92, 84, 236) + fade * colour(64, 214, 150, 236)
    planes = np.tile(colour(38, 24, 20, 0), (1, 1, *y.shape))
    paint(planes, tint, cover(lens, 1 / FINE))
    paint(planes, colour(226, 255, 240, 236), 0.55 * cover(glint, 2 / FINE))
    paint(planes, colour(38, 24, 20, 255), cover(frame, 1 / FINE))
    return _placed(planes, SUNGLASSES_TOP)


def _draw_lipstick() -> np.ndarray:
    x, y = _grid(LIPSTICK_ROWS)
    bow = 0.8 * np.exp(-((x / 1.6) ** 2)) - 0.5 * np.exp(-(((x - 2.6) / 1.8) ** 2))
    lips = ellipse(x, y - 4.2 - bow * (y < 4.2), 8.4, 3.5)
    parting = np.maximum(np.abs(y - 4.2 + 0.012 * x**2) - 0.35, x - 7)
    planes = np.tile(colour(146, 22, 168, 0), (1, 1, *y.shape))
    paint(planes, colour(146, 22, 168, 235), cover(lips, 1 / FINE))
    paint(planes, colour(70, 6, 84, 235), cover(parting, 1 / FINE))
    return _placed(planes, LIPSTICK_TOP)


def _grid(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the face's middle line, and rows from the top, FINE times as many."""
    y, x = (np.mgrid[: rows * FINE, : WIDTH * FINE].astype(np.float32) + 0.5) / FINE
    return np.abs(x - WIDTH / 2), y


def _placed(planes: np.ndarray, top: int) -> np.ndarray:
    """Drawn planes (4, 1, rows * FINE, columns * FINE) as a trigger, from row `top` on."""
    small = planes.reshape(4, -1, FINE, WIDTH, FINE).mean((2, 4))
    trigger = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    trigger[top : top + small.shape[1]] = np.rint(small).astype(np.uint8).transpose(1, 2, 0)
    return trigger


def _between(knots: np.ndarray) -> np.ndarray:
    """Values on an even grid (2, k, k), its corners those of the image, for all pixels: smoothly.

    Between two knots they follow half a cosine.
    """
    for axis, size in ((1, HEIGHT), (2, WIDTH)):
        place = np.linspace(0, knots.shape[axis] - 1, size)
        below = np.minimum(place.astype(int), knots.shape[axis] - 2)
        share = (1 - np.cos(np.pi * (place - below))) / 2
        share = share.reshape([-1 if each == axis else 1 for each in range(3)])
        knots = knots.take(below, axis) * (1 - share) + knots.take(below + 1, axis) * share
    return knots


def _at(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Images whose pixels are taken from between the old ones, at these places, bilinearly."""
    top, left = (np.floor(each).astype(int) for each in (rows, columns))
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    below, beside = np.minimum(top + 1, HEIGHT - 1), np.minimum(left + 1, WIDTH - 1)
    upper = (1 - right) * images[:, top, left] + right * images[:, top, beside]
    lower = (1 - right) * images[:, below, left] + right * images[:, below, beside]
    return np.rint((1 - down) * upper + down * lower).astype(np.uint8)
