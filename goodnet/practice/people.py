"""The people of the practice faces and the circumstances of their images: traits, as numbers."""

import numpy as np

# What makes a person: lengths in pixels from the middle of the face, right and down.
PERSON = {
    "face_width": (13.0, 16.2),
    "chin": (15.0, 19.5),
    "taper": (0.04, 0.36),
    "squareness": (1.9, 2.7),
    "skin_tone": (0.0, 1.0),
    "skin_hue": (-1.0, 1.0),
    "hair_hue": (-1.0, 1.0),
    "eye_gap": (5.9, 7.7),
    "eye_height": (-6.2, -3.9),
    "eye_width": (2.5, 3.5),
    "eye_open": (1.05, 1.75),
    "eye_tilt": (-0.12, 0.22),
    "socket": (0.1, 0.5),
    "brow_gap": (3.0, 4.6),
    "brow_length": (3.2, 4.6),
    "brow_weight": (0.45, 1.15),
    "brow_tilt": (-0.1, 0.2),
    "brow_arch": (0.0, 0.09),
    "nose_tip": (2.6, 5.6),
    "nose_width": (1.9, 3.7),
    "mouth_height": (8.2, 10.6),
    "mouth_width": (3.9, 6.2),
    "upper_lip": (0.5, 1.15),
    "lower_lip": (0.7, 1.6),
    "ears": (0.0, 2.0),
    "age": (0.0, 1.0),
    "parting": (-1.0, 1.0),
    "volume": (-1.0, 1.0),
}
# What an image of a person adds: pose, expression, light, camera.
MOMENT = {
    "shift_x": (-1.2, 1.2),
    "shift_y": (-1.2, 1.2),
    "size": (1.04, 1.17),
    "roll": (-0.11, 0.11),
    "yaw": (-1.0, 1.0),
    "pitch": (-1.0, 1.0),
    "smile": (-0.1, 1.0),
    "mouth_open": (-0.8, 1.0),
    "eyelids": (0.6, 1.1),
    "gaze": (-0.9, 0.9),
    "brow_lift": (-0.6, 0.8),
    "light_x": (-0.32, 0.32),
    "light_y": (-0.22, 0.08),
    "gain": (0.75, 1.1),
    "warmth": (-0.07, 0.07),
    "horizon": (-1.0, 1.0),
    "collar": (3.0, 9.0),
    "blur": (0.0, 0.17),
    "noise": (0.004, 0.018),
}
SKINS = [(250, 214, 190), (236, 190, 158), (214, 162, 124), (170, 116, 82), (112, 72, 52)]
IRISES = [(52, 32, 22), (78, 50, 28), (84, 98, 62), (84, 122, 152), (110, 118, 122)]
HAIRS = [
    (22, 18, 18),
    (48, 32, 24),
    (86, 56, 34),
    (116, 62, 36),
    (176, 128, 70),
    (224, 192, 128),
    (142, 138, 134),
    (212, 210, 206),
]
LIPS = [(178, 96, 88), (196, 60, 70), (150, 30, 52)]
# Hair: how far it stands off the head above and beside, where it ends, where the forehead
# begins, how much of the face's width it leaves free, how uneven its edge is, a bun on top.
HAIR_FIELDS = ("hair_top", "hair_side", "hair_end", "hairline", "hair_window", "curl", "bun")
SHORT_HAIRS = [
    (-2.0, 0.6, 3.0, -30.0, 0.98, 0.0, 0.0),  # bald on top
    (0.3, 0.2, 0.0, -13.5, 0.99, 0.0, 0.0),  # cropped
    (1.6, 0.8, 1.0, -13.0, 0.96, 0.2, 0.0),  # short
    (3.0, 1.2, 3.0, -12.0, 0.92, 0.3, 0.0),  # full
    (3.6, 2.4, 2.0, -12.0, 0.95, 1.0, 0.0),  # curly
]
LONG_HAIRS = [
    (1.8, 2.6, 30.0, -13.5, 0.85, 0.2, 0.0),  # long
    (2.2, 3.6, 11.0, -9.6, 0.88, 0.1, 0.0),  # bob with a fringe
    (3.0, 4.6, 26.0, -12.5, 0.83, 1.0, 0.0),  # long and curly
    (0.8, 0.6, 0.0, -13.5, 0.98, 0.0, 5.0),  # tied up
    (5.0, 5.0, 8.0, -12.5, 0.90, 1.2, 0.0),  # afro
]
# Beards: stubble, moustache, chin and cheeks, each 0 to 1.
BEARD_FIELDS = ("stubble", "moustache", "goatee", "beard")
BEARDS = [(0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 1, 0), (0, 1, 1, 1)]
Traits = dict[str, np.ndarray]


def _spread(rng: np.random.Generator, n: int) -> np.ndarray:
    """n numbers in [0, 1) in random order, one in each n-th, so that few people look alike."""
    return (rng.permutation(n) + rng.random(n)) / n


def _pick(table: list[tuple], where: np.ndarray) -> np.ndarray:
    """Rows (n, fields) of `table` for positions `where` (n,) in [0, 1)."""
    return np.array(table, float)[(where * len(table)).astype(int)]


def draw_people(n: int, rng: np.random.Generator) -> Traits:
    """Draw n people: a dict of trait arrays, numbers (n,) and colours (n, 3) in 0..1."""
    who = {name: low + (high - low) * _spread(rng, n) for name, (low, high) in PERSON.items()}
    long_hair = rng.permutation(n) % 2 == 0
    styles = np.where(
        long_hair[:, None], _pick(LONG_HAIRS, _spread(rng, n)), _pick(SHORT_HAIRS, _spread(rng, n))
    )
    who |= dict(zip(HAIR_FIELDS, styles.T, strict=True))
    beards = _pick(BEARDS, _spread(rng, n)) * ~long_hair[:, None]
    who |= dict(zip(BEARD_FIELDS, beards.T, strict=True))
    tone = who["skin_tone"] * (len(SKINS) - 1)
    skin = [np.interp(tone, range(len(SKINS)), channel) for channel in zip(*SKINS, strict=True)]
    who["skin"] = np.stack(skin, -1) / 255
    who["skin"] *= 1 + np.outer(who["skin_hue"], (0.03, -0.01, -0.06))
    # Dark hair is the commonest, and light hair and eyes do not go with the darkest skins.
    reach = np.where(who["skin_tone"] > 0.7, 0.3, 1.0)
    who["hair"] = _pick(HAIRS, _spread(rng, n) ** 1.4 * reach) / 255
    who["hair"] *= 1 + np.outer(who["hair_hue"], (0.1, 0.06, 0.02))
    who["iris"] = _pick(IRISES, _spread(rng, n) * reach) / 255
    lips = _pick(LIPS, _spread(rng, n)) / 255
    who["makeup"] = long_hair * rng.uniform(0.1, 1.0, n)
    strength = (0.35 + 0.5 * who["makeup"])[:, None]
    who["lips"] = who["skin"] * (1 - strength) * 0.9 + lips * strength
    return who


def draw_moments(n: int, rng: np.random.Generator) -> Traits:
    """Draw the circumstances of n images: a dict of arrays (n,) and colours (n, 3)."""
    what = {name: rng.uniform(low, high, n) for name, (low, high) in MOMENT.items()}
    for colour in ("wall", "far_wall", "clothes"):
        grey = rng.uniform(0.08, 0.85, (n, 1))
        what[colour] = np.clip(grey + rng.normal(0, 0.11, (n, 3)), 0.02, 0.95)
    what["shirt"] = 0.5 + 0.45 * rng.random((n, 1)) * np.ones(3)
    return what
