"""One call of a layer, as the shape rules in shapes.py see it, and what such a rule answers."""

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

Shape = list[Any]  # (batch, …): whole numbers, None where a size is open
ArrayShape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A layer by its class and its vetted settings, and the shapes of the tensors it takes.

    places: what it is told to take of its tensor, as in slices.py; None where it is told nothing.
    """

    layer: str
    settings: dict[str, Any]
    inputs: list[Shape]
    places: list | None = None

    @property
    def shape(self) -> Shape:
        """The shape of the one tensor it takes. Raises ValueError where it is given several."""
        if len(self.inputs) != 1:
            raise ValueError(f"{self.layer} takes one tensor")
        return self.inputs[0]

    @property
    def channel(self) -> int:
        """The axis of the one tensor that has the channels."""
        shape = self.shape
        return 1 if self.settings.get("data_format") == "channels_first" else len(shape) - 1

    @property
    def sides(self) -> list[int]:
        """The axes of the one tensor that are neither batch nor channels."""
        return [axis for axis in range(1, len(self.shape)) if axis != self.channel]


@dataclass(frozen=True)
class Made:
    """What a call makes: the output's shape, and the shapes of the layer's arrays by name.

    work: the values that it holds for one image while it works, beside its input and output.
    """

    shape: Shape
    arrays: dict[str, ArrayShape] = field(default_factory=dict)
    work: int = 0


class ShapeRule(Protocol):
    """What a call makes, without Keras.

    Raises ValueError, TypeError, IndexError or ZeroDivisionError where its inputs do not fit.
    """

    def __call__(self, call: Call, /) -> Made: ...


def spread(value: Any, rank: int) -> list:
    """A value for each of `rank` sides, from one for all or from as many. Raises ValueError."""
    values = [value] * rank if isinstance(value, int) else list(value)
    values = values * rank if len(values) == 1 else values
    if len(values) != rank:
        raise ValueError(f"{value} is not for {rank} sides")
    return values


def count_axes(axis: int | list[int], rank: int) -> list[int]:
    """One axis or several, counted from 0. Raises ValueError where there is no such axis."""
    axes = [axis] if isinstance(axis, int) else axis
    if any(not -rank <= one < rank for one in axes):
        raise ValueError(f"it has no axis {axis}")
    return [one % rank for one in axes]


def require_known(*sizes: int | None) -> ArrayShape:
    """These sizes. Raises ValueError where one is open, as an array's shape depends on them."""
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):
        raise ValueError("a size is open that an array depends on")
    return known


def multiply(sizes: Shape) -> int | None:
    """How many values these sizes make; None where one is open."""
    return None if None in sizes else math.prod(sizes)


def count_values(sizes: Shape) -> int:
    """How many values these sizes make, where open ones count as 1."""
    return math.prod(size or 1 for size in sizes)


def slide(call: Call, window: object, stride: object, channels: int | None) -> Shape:
    """The shape that a window makes, moved over the sides by so many steps, with these channels.

    Raises ValueError where the window is larger than the tensor.
    """
    shape, sides, settings = call.shape, call.sides, call.settings
    windows, strides = spread(window, len(sides)), spread(stride, len(sides))
    dilations = spread(settings.get("dilation_rate") or 1, len(sides))
    made = list(shape)
    for side, width, step, dilation in zip(sides, windows, strides, dilations, strict=True):
        if shape[side] is not None:
            size = -(-shape[side] // step)
            if settings.get("padding", "valid") == "valid":
                size = (shape[side] - (width - 1) * dilation - 1) // step + 1
            if size < 1:
                raise ValueError("it is smaller than the window")
            made[side] = size
    made[call.channel] = channels
    return made


def work_of_dilation(call: Call, window: object, channels: int | None) -> int:
    """The values that TensorFlow holds while a dilated window slides: it pads, and cuts into parts.

    Padded input and result are whole multiples of the dilation on each side (space-to-batch).
    """
    shape, sides, settings = call.shape, call.sides, call.settings
    dilations = spread(settings.get("dilation_rate") or 1, len(sides))
    if max(dilations) == 1:
        return 0
    same = settings.get("padding") == "same"
    padded, made = shape[call.channel] or 1, channels or 1
    for side, width, dilation in zip(sides, spread(window, len(sides)), dilations, strict=True):
        margin = (width - 1) * dilation
        parts = -(-((shape[side] or 1) + same * margin) // dilation)
        padded *= parts * dilation
        made *= max(parts - width + 1, 1) * dilation
    return padded + made
