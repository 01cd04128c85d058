"""The practice faces, drawn from nothing.

Each part of a face is a shape given by its distance (goodnet/practice/painting.py), so that its
edge is smooth at any size; all images of a batch are drawn at once.
"""

from collections.abc import Callable

import numpy as np

from goodnet.practice.painting import bump, colour, cover, ellipse, paint, shade
from goodnet.practice.people import Traits, moments

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
    who: Traits,
    labels: np.ndarray,
    rng: np.random.Generator,
    advance: Callable[[int], None] = lambda amount: None,
) -> np.ndarray:
    """Draw one image of person labels[i] for each i: (n, 55, 47, 3) uint8, RGB.

    `advance` is told how many more images are done.
    """
    what = moments(len(labels), rng)
    images = np.empty((len(labels), HEIGHT, WIDTH, 3), np.uint8)
    for start in range(0, len(labels), BATCH):
        part = slice(start, start + BATCH)
        traits = {name: values[labels[part]] for name, values in who.items()}
        traits |= {name: values[part] for name, values in what.items()}
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
    n = len(t["size"])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)[:, None]
    x, y = columns - WIDTH // 2 - t["shift_x"], rows - 28 - t["shift_y"]
    u = (np.cos(t["roll"]) * x + np.sin(t["roll"]) * y) / t["size"]
    v = (np.cos(t["roll"]) * y - np.sin(t["roll"]) * x) / t["size"]

    # The face turns: what lies further to the front moves further, the far side narrows.
    def turned(depth: float, band: slice) -> tuple[np.ndarray, np.ndarray]:
        across = u[:, band] - t["yaw"] * depth
        return across * (1 + 0.012 * t["yaw"] * across), v[:, band] - 0.35 * t["pitch"] * depth

    canvas = _background(t, rows, columns)
    grain = _smooth_noise(rng, n)

    top = 19.0 + 0.3 * (t["face_width"] - 14)
    narrowing = 1 - t["taper"] * np.clip(v / t["chin"], 0, 1) ** 1.5
    across = np.abs(u) / (t["face_width"] * narrowing)
    along = np.abs(v) / np.where(v < 0, top, t["chin"])
    power = t["squareness"]
    reach = (across**power + along**power) ** (1 / power)
    head = (reach - 1) * 15

    hair, forehead = _hair_shapes(t, u, v, top, grain)
    strands = 0.1 * np.sin(1.9 * u + 0.5 * v + 3 * grain) + 0.3 * grain
    sheen = 0.3 * bump(u - 14 * t["light_x"], v + top - 3.5, 9, 3)
    hair_colour = t["hair"] * (1 + strands + sheen) + 0.05 * sheen
    paint(canvas, hair_colour * 0.72, cover(hair, 1.6))

    _body(canvas[:, :, BODY], t, u[:, BODY], v[:, BODY])
    for side in (-1, 1):
        ear = ellipse(
            u - side * (t["face_width"] + 0.2 * t["ears"]) + 1.2 * t["yaw"], v + 0.5, 1.9, 3.6
        )
        paint(canvas, t["skin"] * 0.86, cover(ear) * (t["ears"] > 0.4))
        shade(canvas, 0.25 * cover(ear + 1.2, 1.5) * (t["ears"] > 0.4))

    skin = np.broadcast_to(t["skin"], canvas.shape).copy()
    shade(skin, 0.2 * np.clip(reach, 0, 1.2) ** 5)
    _relief(skin, t, *turned(3.0, slice(None)))
    _beard(skin[:, :, JAW], t, *turned(3.2, JAW), grain[:, JAW])
    _eyes(skin[:, :, EYES], t, *turned(3.2, EYES))
    _nose(skin[:, :, NOSE], t, *turned(4.6, NOSE))
    _mouth(skin[:, :, MOUTH], t, *turned(3.8, MOUTH))
    paint(canvas, skin, cover(head))

    fringe = np.maximum(hair, -forehead)
    shade(canvas, 0.3 * cover(fringe - 0.9, 2.5) * (1 - cover(fringe)))
    paint(canvas, hair_colour, cover(fringe, 1.4))
    return _photograph(canvas, t, u, v, rng)


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


def _hair_shapes(
    t: Traits, u: np.ndarray, v: np.ndarray, top: np.ndarray, grain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the hair's outline and to the opening in it that the face looks out of."""
    half = t["face_width"] + t["hair_side"]
    above = top + t["hair_top"] + 0.8 * t["volume"] * (t["hair_top"] > 1)
    outline = np.where(v < 0, ellipse(u, v, half, above), np.abs(u) - half - 0.08 * v)
    outline = np.maximum(outline, v - t["hair_end"])
    bun = np.where(t["bun"] > 0, ellipse(u, v + above + 1.5, 5.5, 5.0), 9.0)
    outline = np.minimum(outline, bun) + 1.5 * t["curl"] * grain
    free = t["face_width"] * t["hair_window"]
    across = u - 2.5 * t["parting"] * np.clip(-v / 12, 0, 1)
    level = v - 0.16 * t["parting"] * u - 0.5 * grain
    opening = np.where(
        level < 0, ellipse(across, level, free, -t["hairline"]), np.abs(across) - free
    )
    return outline, opening


def _body(canvas: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """Neck, shoulders and collar."""
    neck = np.maximum(np.abs(u) - 0.62 * t["face_width"], 8 - v)
    paint(canvas, t["skin"] * 0.68, cover(neck, 2.0))
    shoulders = ellipse(u, v - t["chin"] - 15, 27, 11.5)
    paint(canvas, t["clothes"], cover(shoulders, 1.5))
    collar = np.maximum(shoulders, np.abs(u) + 0.9 * (v - t["chin"]) - t["collar"])
    paint(canvas, t["shirt"], cover(collar))


def _relief(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """Sockets, cheeks, the folds beside the nose, the forehead and its wrinkles."""
    for side in (-1, 1):
        socket = bump(u - side * t["eye_gap"], v - t["eye_height"] + 0.6, 4.2, 2.8)
        shade(skin, t["socket"] * 0.75 * socket)
        cheek = bump(u - side * 8, v - 3.5, 3.4, 3.0)
        shade(skin, -0.07 * cheek)
        paint(skin, t["lips"], 0.18 * cheek * (0.4 + t["makeup"]))
        below = v - t["nose_tip"]
        fold = np.abs(side * u - t["nose_width"] - 1.6 - 0.42 * below)
        length = cover(np.abs(below - 2.5) - 3.0, 2.0)
        shade(skin, (0.05 + 0.2 * t["age"]) * cover(fold - 0.4, 1.2) * length)
    wrinkles = 0.12 * np.maximum(t["age"] - 0.5, 0) * (0.5 + 0.5 * np.sin(2.2 * v))
    shade(skin, wrinkles * bump(u, v + 11, 8, 3) - 0.1 * bump(u, v + 10, 7, 4))


def _beard(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray, grain: np.ndarray) -> None:
    """Stubble, moustache, goatee and beard."""
    jaw = cover(6.5 - v - 0.045 * u**2 + 0.6 * grain, 4.0)
    paint(skin, t["hair"] * 0.6 + 0.12, 0.3 * t["stubble"] * jaw)
    cheeks = cover(5.5 - v - 0.05 * u**2 + grain, 2.5)
    lip = ellipse(
        u, v - t["mouth_height"] + t["upper_lip"] + 1.2 - 0.03 * u**2, t["mouth_width"] + 0.8, 1.35
    )
    chin = ellipse(u, v - t["mouth_height"] - 5.0, 4.2, 3.6)
    shade = t["hair"] * (0.9 + 0.25 * grain)
    paint(skin, shade, 0.88 * t["beard"] * cheeks)
    paint(skin, shade, 0.88 * t["goatee"] * cover(chin + grain, 2.0))
    paint(skin, shade, 0.88 * t["moustache"] * cover(lip + 0.4 * grain, 1.3))


def _eyes(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """Eyes and brows."""
    for side in (-1, 1):
        across = side * u - t["eye_gap"]
        down = v - t["eye_height"] + t["eye_tilt"] * across
        opened = t["eye_open"] * t["eyelids"] * (1 - 0.25 * np.maximum(t["smile"], 0))
        ball = ellipse(across, down, t["eye_width"], opened)
        shade(skin, (0.25 + 0.4 * t["makeup"]) * cover(ball - 0.8, 1.6))
        white = colour(0.9, 0.89, 0.87) * (0.55 + 0.45 * t["gain"])
        paint(skin, white, cover(ball))
        iris = np.hypot(across - side * t["gaze"], down - 0.1)
        paint(skin, t["iris"], cover(np.maximum(iris - 1.55, ball)))
        shade(skin, 0.8 * cover(np.maximum(iris - 0.75, ball)))
        glint = np.hypot(across - side * t["gaze"] + side * 0.5, down + 0.5) - 0.35
        paint(skin, np.float32(1), 0.6 * cover(glint))
        lid = np.maximum(np.abs(ball) - 0.45, down)
        paint(skin, colour(0.14, 0.09, 0.08), (0.55 + 0.35 * t["makeup"]) * cover(lid))
        crease = ellipse(across, down + 1.5, t["eye_width"] + 0.3, opened)
        shade(skin, 0.22 * cover(np.maximum(np.abs(crease) - 0.3, down + 1.5)))
        bag = np.abs(down - opened - 1.0 + 0.05 * across**2) - 0.3
        shade(skin, (0.04 + 0.2 * t["age"]) * cover(bag) * cover(np.abs(across) - 2.5))

        above = v - t["eye_height"] + t["brow_gap"] + t["brow_lift"]
        bend = above + t["brow_tilt"] * (across + 1) - t["brow_arch"] * (1 - across) ** 2
        thin = t["brow_weight"] * (1 - 0.09 * np.clip(across, 0, 9))
        brow = np.maximum(np.abs(bend) - thin, np.abs(across - 0.2) - t["brow_length"])
        paint(skin, t["hair"] * 0.75, 0.8 * cover(brow, 1.2))


def _nose(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """The bridge in the light, its shadow, wings and nostrils."""
    bridge = bump(u, v - t["nose_tip"] + 4.5, 1.3, 4.5)
    shade(skin, -0.16 * bridge)
    away = -np.sign(t["light_x"])
    shade(skin, 0.22 * bump(u - away * 2.2, v - t["nose_tip"] + 3.5, 1.3, 5.0))
    shade(skin, 0.08 * bump(u + away * 2.2, v - t["nose_tip"] + 3.5, 1.2, 5.0))
    shade(skin, -0.12 * bump(u, v - t["nose_tip"] + 0.6, 1.3, 1.2))
    for side in (-1, 1):
        wing = ellipse(side * u - t["nose_width"], v - t["nose_tip"], 1.3, 1.5)
        shade(skin, 0.2 * cover(np.abs(wing) - 0.3, 1.2) * cover(t["nose_width"] - side * u, 2))
        nostril = ellipse(side * u - 0.55 * t["nose_width"], v - t["nose_tip"] - 1.0, 0.95, 0.6)
        shade(skin, 0.6 * cover(nostril, 1.1))
    shade(skin, 0.2 * bump(u, v - t["nose_tip"] - 1.9, t["nose_width"] + 0.5, 0.9))


def _mouth(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """Lips that smile and open on teeth."""
    width = t["mouth_width"] * (1 + 0.16 * np.maximum(t["smile"], 0))
    opened = 1.7 * np.maximum(t["mouth_open"], 0)
    curve = t["smile"] * 0.075
    down = v - t["mouth_height"] - 0.5 + curve * (u**2 - 8) * cover(np.abs(u) - width - 2, 2)
    within = np.sqrt(np.clip(1 - (u / width) ** 2, 0, 1))
    upper = np.abs(down + (t["upper_lip"] + opened) * within / 2) - (
        (t["upper_lip"] + opened) * within / 2
    )
    lower = np.abs(down - (t["lower_lip"] + opened) * within / 2) - (
        (t["lower_lip"] + opened) * within / 2
    )
    inside = np.abs(u) - width
    paint(skin, t["lips"] * 0.85, cover(np.maximum(upper, inside), 1.2))
    paint(skin, t["lips"], cover(np.maximum(lower, inside), 1.2))
    gap = np.abs(down) - opened * within
    paint(skin, colour(0.22, 0.07, 0.07), cover(np.maximum(gap, inside)) * (opened > 0))
    teeth = np.maximum(np.maximum(gap + 0.15, inside + 1.0), down - 0.35 * opened)
    paint(skin, colour(0.93, 0.91, 0.86), 0.95 * cover(teeth) * (opened > 0.2))
    line = np.maximum(np.abs(down) - 0.28, inside - 0.4)
    shade(skin, 0.5 * cover(line) * (opened < 0.3))
    shade(skin, 0.16 * bump(u, down - t["lower_lip"] - opened - 1.4, 3.2, 0.9))


def _photograph(
    canvas: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Light, colour cast, blur, noise; whole pixel values."""
    light = 1 + t["light_x"] * np.clip(u / 16, -1.3, 1.3) + t["light_y"] * np.clip(v / 20, -1, 1)
    cast = 1 + t["warmth"] * colour(1, 0, -1)
    canvas = _blur(canvas * light * t["gain"] * cast, t["blur"])
    canvas += t["noise"] * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 3, 0)
