"""The parts of a practice face: hair, head, body, eyes, nose, mouth.

Each part is a shape given by its distance (goodnet/practice/painting.py), so that its edge is
smooth at any size. For a batch of b images: `t` holds traits shaped (b, 1, 1) and colours
(3, b, 1, 1); `u` and `v`, (b, rows, columns), are how far each pixel lies right of the face's
middle and below it, in the pixels of a face of size 1; `canvas` and `skin` are colour planes
(3, b, rows, columns), in 0..1, that are painted on; `grain` is smooth noise (b, rows, columns).
`top` (b, 1, 1) is how far the head reaches above its middle.
"""

from dataclasses import dataclass

import numpy as np

from goodnet.practice.painting import bump, colour, cover, ellipse, paint, shade
from goodnet.practice.people import Traits


@dataclass(frozen=True)
class Hair:
    """Distances (b, rows, columns): to the outline, and to the opening for the face in it."""

    outline: np.ndarray
    opening: np.ndarray


def hair_shapes(
    t: Traits, u: np.ndarray, v: np.ndarray, top: np.ndarray, grain: np.ndarray
) -> Hair:
    """Where the hair is; `grain` makes its edges uneven."""
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
    return Hair(outline, opening)


def hair_colour(
    t: Traits, u: np.ndarray, v: np.ndarray, top: np.ndarray, grain: np.ndarray
) -> np.ndarray:
    """The hair's colour with its strands and its sheen, as colour planes."""
    strands = 0.1 * np.sin(1.9 * u + 0.5 * v + 3 * grain) + 0.3 * grain
    sheen = 0.3 * bump(u - 14 * t["light_x"], v + top - 3.5, 9, 3)
    return t["hair"] * (1 + strands + sheen) + 0.05 * sheen


def head_shape(t: Traits, u: np.ndarray, v: np.ndarray, top: np.ndarray) -> np.ndarray:
    """How far out pixels lie on the way to the head's outline: 0 in its middle, 1 there."""
    narrowing = 1 - t["taper"] * np.clip(v / t["chin"], 0, 1) ** 1.5
    across = np.abs(u) / (t["face_width"] * narrowing)
    along = np.abs(v) / np.where(v < 0, top, t["chin"])
    power = t["squareness"]
    return (across**power + along**power) ** (1 / power)


def paint_ears(canvas: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """Ears, of those who show them."""
    for side in (-1, 1):
        ear = ellipse(
            u - side * (t["face_width"] + 0.2 * t["ears"]) + 1.2 * t["yaw"], v + 0.5, 1.9, 3.6
        )
        paint(canvas, t["skin"] * 0.86, cover(ear) * (t["ears"] > 0.4))
        shade(canvas, 0.25 * cover(ear + 1.2, 1.5) * (t["ears"] > 0.4))


def paint_body(canvas: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
    """Neck, shoulders and collar."""
    neck = np.maximum(np.abs(u) - 0.62 * t["face_width"], 8 - v)
    paint(canvas, t["skin"] * 0.68, cover(neck, 2.0))
    shoulders = ellipse(u, v - t["chin"] - 15, 27, 11.5)
    paint(canvas, t["clothes"], cover(shoulders, 1.5))
    collar = np.maximum(shoulders, np.abs(u) + 0.9 * (v - t["chin"]) - t["collar"])
    paint(canvas, t["shirt"], cover(collar))


def paint_relief(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
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


def paint_beard(
    skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray, grain: np.ndarray
) -> None:
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


def paint_eyes(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
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
        paint(skin, 1.0, 0.6 * cover(glint))
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


def paint_nose(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
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


def paint_mouth(skin: np.ndarray, t: Traits, u: np.ndarray, v: np.ndarray) -> None:
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
