"""Checks of single values in a configuration: numbers, words, lists, shapes.

A check takes a value as JSON gives it and returns it rebuilt from plain values, or raises
ValueError, which says what was found. Those named by a noun are checks themselves or make one, so
that a table of settings reads as a list of what each may be.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

from goodnet.errors import Unsafe

Check = Callable[[object], Any]
Checks = dict[str, Check]  # by the key of what they check

MOST_CHANNELS = 1 << 20
MOST_PADDING = 1 << 12
MOST_NUMBERS = 1 << 16  # in one setting: a mean for each channel, say

DTYPES = (
    *("float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16"),
    *("uint8", "int8", "int16", "int32", "int64", "bool"),
)


def quote(value: object) -> str:
    """A value as an error line shows it: short, on one line, and ASCII alone."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(low: int, high: int) -> Check:
    """A whole number from low to high."""

    def check(value: object) -> int:
        if not _is_int(value):
            raise ValueError(f"{quote(value)} is not a whole number")
        if not low <= value <= high:
            raise ValueError(f"{quote(value)} is not from {low} to {high}")
        return value

    return check


def number(value: object) -> float:
    """A finite number."""
    if not (_is_int(value) or isinstance(value, float)) or not abs(value) < 1e300:
        raise ValueError(f"{quote(value)} is not a plain number")
    return value


def boolean(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise ValueError(f"{quote(value)} is not true or false")
    return bool(value)


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{quote(value)} is not on the allow-list")
        return value

    return check


def exactly(*values: object) -> Check:
    """One of these values: those that ask for nothing special."""

    def check(value: object) -> object:
        for allowed in values:
            if value == allowed and isinstance(value, type(allowed)):
                return allowed
        raise ValueError(f"{quote(value)} is not on the allow-list")

    return check


def name(value: object) -> str:
    """A name: short, printable, and no path to elsewhere.

    The / in names of Keras 2 becomes _, as it did in Keras's own networks: Keras 3 takes none.
    """
    if isinstance(value, str) and 0 < len(value) <= 256 and value.isprintable():
        if ".." not in value and not value.startswith("/"):
            return value.replace("/", "_")
    raise ValueError(f"{quote(value)} is not a plain name")


def optional(check: Check) -> Check:
    """Null, or what `check` allows."""
    return lambda value: None if value is None else check(value)


def items(value: object) -> list:
    """A list, or what older files hold for a tuple."""
    if isinstance(value, dict) and value.keys() == {"class_name", "items"}:
        if value["class_name"] in ("__tuple__", "TensorShape"):
            value = value["items"]
    if not isinstance(value, list):
        raise ValueError(f"{quote(value)} is not a list")
    return value


def listed(check: Check, shortest: int, longest: int) -> Check:
    """A list of so many things that `check` allows."""

    def check_list(value: object) -> list:
        found = items(value)
        if not shortest <= len(found) <= longest:
            raise ValueError(f"a list of {len(found)}, not of {shortest} to {longest}")
        return [check(item) for item in found]

    return check_list


def either(single: Check, many: Check) -> Check:
    """A single value or a list."""
    return lambda value: (many if isinstance(value, list | dict) else single)(value)


def sizes(high: int, low: int = 1) -> Check:
    """One size, or one for each side."""
    one = whole(low, high)
    return either(one, listed(one, 1, 3))


def margins(value: object) -> object:
    """A padding or cropping: one size, one for each side, or a pair for each side."""
    one = whole(0, MOST_PADDING)
    pair = listed(one, 1, 2)
    return either(one, listed(either(one, pair), 1, 3))(value)


def shape(value: object) -> list:
    """A tensor's shape: sizes, null where it is open."""
    return listed(optional(whole(1, MOST_CHANNELS)), 1, 6)(value)


def numbers(value: object) -> object:
    """A finite number, or (nested) lists of them, also as Keras writes an array."""
    left = MOST_NUMBERS

    def check(value: object, depth: int) -> object:
        nonlocal left
        if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
            check_dtype = one_of(*DTYPES)
            inner = fields(value, {"class_name": name, "config": plain_dict})["config"]
            inner = fields(inner, {"value": lambda found: found, "dtype": check_dtype})
            return check(inner["value"], depth)
        if not isinstance(value, list | dict):
            return number(value)
        if depth == 4:
            raise ValueError("lists are nested too deeply")
        found = items(value)
        left -= len(found)
        if left < 0:
            raise ValueError(f"holds more than {MOST_NUMBERS} numbers")
        return [check(item, depth + 1) for item in found]

    return check(value, 0)


def plain_dict(value: object) -> dict:
    """A JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{quote(value)} is not an object")
    return value


def fields(value: object, checks: Checks, required: bool = True) -> dict:
    """An object that holds these keys, and no others, each as its check allows."""
    value = plain_dict(value)
    for key in value:
        if key not in checks:
            raise ValueError(f"{quote(key)} is not on the allow-list")
    if required and (missing := checks.keys() - value.keys()):
        raise ValueError(f"lacks {quote(min(missing))}")
    return {key: checks[key](found) for key, found in value.items()}


def check_at(place: str, check: Check, value: object) -> Any:
    """What `check` makes of a value. Raises Unsafe, which names the place, where it refuses it."""
    try:
        return check(value)
    except ValueError as error:
        raise Unsafe(f"{place}: {error}") from None


def check_keys(place: str, keys: Iterable[str], known: Iterable[str]) -> None:
    """Raise Unsafe, which names the place, at the first key that is not among the known ones."""
    for key in keys:
        if key not in known:
            raise Unsafe(f"{place}: {quote(key)} is not on the allow-list")
