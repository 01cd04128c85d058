"""What is taken of a tensor, x[:, 0] or x[:, 1:, ::2]: its places in a file, and the shape it has.

Keras 3 makes an operation GetItem of it, which is told the places when it is called: a number, a
slice, an ellipsis or a new axis for each axis, never a tensor. Keras 2 wrote it in another way.
"""

from typing import Any

from goodnet.vetting import checks
from goodnet.vetting.calls import Call, Made, count_axes, count_values
from goodnet.vetting.checks import quote

GET_ITEM = "GetItem"
ELLIPSIS = "__ellipsis__"
MOST_PLACES = 8
MOST_AXES = 7  # TensorFlow slices no tensor of more
_bound = checks.optional(checks.whole(-(1 << 26), 1 << 26))


def _step(value: object) -> int | None:
    if value == 0:
        raise ValueError("a slice has a step of 0")
    return _bound(value)


_SLICE: checks.Checks = {"start": _bound, "stop": _bound, "step": _step}


def check_places(value: object) -> list:
    """The places for the axes of a tensor, the images' first, rebuilt as today's Keras has them."""
    return checks.listed(_check_place, 1, MOST_PLACES)(value)


def _check_place(value: object) -> object:
    if not isinstance(value, dict):
        return _bound(value)
    if value.get("class_name") == ELLIPSIS:
        checks.fields(value, {"class_name": checks.name, "config": checks.exactly({})})
        return {"class_name": ELLIPSIS, "config": {}}
    known: checks.Checks = {
        "class_name": checks.one_of("__slice__"),
        "config": lambda config: checks.fields(config, _SLICE),
    }
    return checks.fields(value, known)


def state_places(value: object) -> list:
    """What Keras 2 wrote of them, as today's Keras writes it. It is still to be checked."""
    return [_state_place(place) for place in checks.items(value)]


def _state_place(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"class_name"}:  # an ellipsis, had it none of the configuration
        return value | {"config": {}}
    return {"class_name": "__slice__", "config": value}


def take(call: Call) -> Made:
    """GetItem: some places of each image, the same of all of them."""
    first, *others = _for_each_axis(call.places or [], len(call.shape))
    if not _is_whole(first):
        raise ValueError("it would mix the images")
    sizes = iter(call.shape[1:])
    made = [call.shape[0]]
    for place in others:
        if place is None:
            made.append(1)
            continue
        size = next(sizes)
        if isinstance(place, dict):
            made.append(_length(place["config"], size))
        elif size is not None and not -size <= place < size:
            raise ValueError(f"it has no place {place} of {size}")
    if len(made) > MOST_AXES:
        raise ValueError(f"it would have {len(made)} axes")
    return Made(made)


def take_half(call: Call) -> Made:
    """Glu: one half of the channels, as far as the other half lets each through."""
    (axis,) = count_axes(call.settings.get("axis", -1), len(call.shape))
    made = list(call.shape)
    if axis == 0:
        raise ValueError("it would mix the images")
    if made[axis] is not None:
        if made[axis] % 2:
            raise ValueError(f"{made[axis]} has no half")
        made[axis] //= 2
    return Made(made, work=count_values(call.shape[1:]))


def _for_each_axis(places: list, rank: int) -> list:
    """The places with a whole slice for each axis that they leave out."""
    dots = [at for at, place in enumerate(places) if _is_ellipsis(place)]
    named = sum(place is not None for place in places) - len(dots)
    if not places or len(dots) > 1 or named > rank:
        raise ValueError(f"{quote(places)} are not the places of {rank} axes")
    at = dots[0] if dots else len(places)
    left: list[Any] = [{"class_name": "__slice__", "config": dict.fromkeys(_SLICE)}]
    return [*places[:at], *left * (rank - named), *places[at + 1 :]]


def _is_ellipsis(place: object) -> bool:
    return isinstance(place, dict) and place["class_name"] == ELLIPSIS


def _is_whole(place: object) -> bool:
    """Whether a place is a slice that leaves nothing out."""
    if not isinstance(place, dict):
        return False
    start, stop, step = (place["config"][name] for name in _SLICE)
    return start in (None, 0) and stop is None and step in (None, 1)


def _length(bounds: dict, size: int | None) -> int | None:
    """How many places a slice takes. Raises ValueError where it takes none."""
    if size is None:
        return None
    length = len(range(*slice(*(bounds[name] for name in _SLICE)).indices(size)))
    if not length:
        raise ValueError(f"nothing is left of {size}")
    return length
