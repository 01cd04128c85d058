"""What one layer makes of its input's shape, and the arrays that it demands, without Keras."""

import math
from collections.abc import Callable

from goodnet.vetting.layers import OPERATIONS_MODULE

Shape = list  # (batch, …); None where a size is open


def _sides(value: object, rank: int) -> list[int]:
    sides = [value] * rank if isinstance(value, int) else list(value)
    sides = sides * rank if len(sides) == 1 else sides
    if len(sides) != rank:
        raise ValueError(f"{value} is not for {rank} sides")
    return sides


def _axes(axis: int | list, rank: int) -> list[int]:
    axes = [axis] if isinstance(axis, int) else axis
    if any(not -rank <= one < rank for one in axes):
        raise ValueError(f"it has no axis {axis}")
    return [one % rank for one in axes]


def _known(*dims: int | None) -> tuple[int, ...]:
    if None in dims:
        raise ValueError("a size is open that an array depends on")
    return dims


def _places(settings: dict, shape: Shape) -> tuple[list[int], int]:
    """Where the sides are, and where the channels."""
    if settings.get("data_format") == "channels_first":
        return list(range(2, len(shape))), 1
    return list(range(1, len(shape) - 1)), len(shape) - 1


def _strided(size: int | None, window: int, stride: int, padding: str) -> int | None:
    if size is None:
        return None
    made = -(-size // stride) if padding != "valid" else (size - window) // stride + 1
    if made < 1:
        raise ValueError("it is smaller than the window")
    return made


def _windowed(s: dict, shape: Shape, window: object, stride: object, channels: int) -> Shape:
    sides, channel = _places(s, shape)
    windows, strides = _sides(window, len(sides)), _sides(stride, len(sides))
    dilations = _sides(s.get("dilation_rate") or 1, len(sides))
    made = list(shape)
    for side, size, step, dilation in zip(sides, windows, strides, dilations, strict=True):
        reach = (size - 1) * dilation + 1
        made[side] = _strided(shape[side], reach, step, s.get("padding", "valid"))
    made[channel] = channels
    return made


def _bias(s: dict, size: int) -> dict:
    return {"bias": (size,)} if s.get("use_bias", True) else {}


def _conv(s: dict, shape: Shape) -> tuple[Shape, dict]:
    sides, channel = _places(s, shape)
    kernel = _sides(s["kernel_size"], len(sides))
    (inputs,) = _known(shape[channel])
    made = _windowed(s, shape, kernel, s.get("strides") or 1, s["filters"])
    array = (*kernel, inputs // s.get("groups", 1), s["filters"])
    return made, {"kernel": array, **_bias(s, s["filters"])}


def _depthwise(s: dict, shape: Shape) -> tuple[Shape, dict]:
    sides, channel = _places(s, shape)
    kernel = _sides(s["kernel_size"], len(sides))
    (inputs,) = _known(shape[channel])
    multiplier = s.get("depth_multiplier") or 1
    between = inputs * multiplier
    arrays = {"kernel": (*kernel, inputs, multiplier)}
    if "filters" in s:
        arrays["pointwise kernel"] = (*[1] * len(sides), between, s["filters"])
        between = s["filters"]
    made = _windowed(s, shape, kernel, s.get("strides") or 1, between)
    return made, arrays | _bias(s, between)


def _transpose(s: dict, shape: Shape) -> tuple[Shape, dict]:
    sides, channel = _places(s, shape)
    kernel = _sides(s["kernel_size"], len(sides))
    strides = _sides(s.get("strides") or 1, len(sides))
    dilations = _sides(s.get("dilation_rate") or 1, len(sides))
    extra = s.get("output_padding")
    (inputs,) = _known(shape[channel])
    made = list(shape)
    made[channel] = s["filters"]
    for index, (side, stride) in enumerate(zip(sides, strides, strict=True)):
        size, reach = shape[side], (kernel[index] - 1) * dilations[index] + 1
        if size is not None:
            if extra is not None:
                cut = 2 * (reach // 2) if s.get("padding") == "same" else 0
                size = (size - 1) * stride + reach - cut + _sides(extra, len(sides))[index]
            else:
                size *= stride
                size += max(reach - stride, 0) if s.get("padding", "valid") == "valid" else 0
        made[side] = size
    return made, {"kernel": (*kernel, s["filters"], inputs), **_bias(s, s["filters"])}


def _pool(s: dict, shape: Shape) -> tuple[Shape, dict]:
    window = s.get("pool_size", 2)
    stride = s.get("strides") or window
    return _windowed(s, shape, window, stride, shape[_places(s, shape)[1]]), {}


def _global_pool(s: dict, shape: Shape) -> tuple[Shape, dict]:
    sides, channel = _places(s, shape)
    if s.get("keepdims"):
        return [1 if place in sides else size for place, size in enumerate(shape)], {}
    return [shape[0], shape[channel]], {}


def _dense(s: dict, shape: Shape) -> tuple[Shape, dict]:
    array = (*_known(shape[-1]), s["units"])
    return [*shape[:-1], s["units"]], {"kernel": array, **_bias(s, s["units"])}


def _flatten(s: dict, shape: Shape) -> tuple[Shape, dict]:
    rest = shape[1:]
    return [shape[0], None if None in rest else math.prod(rest)], {}


def _norm(*always: str) -> Callable:
    def norm(s: dict, shape: Shape) -> tuple[Shape, dict]:
        array = _known(*(shape[axis] for axis in _axes(s.get("axis", -1), len(shape))))
        scaled = ["gamma"] * s.get("scale", True) + ["beta"] * s.get("center", True)
        return shape, {what: array for what in (*scaled, *always)}

    return norm


def _normalization(s: dict, shape: Shape) -> tuple[Shape, dict]:
    if s.get("mean") is not None:
        return shape, {}
    axis = s.get("axis", -1)
    axes = [] if axis is None else sorted(_axes(axis, len(shape)))
    array = _known(*(shape[axis] for axis in axes))
    return shape, {"mean": array, "variance": array}


def _prelu(s: dict, shape: Shape) -> tuple[Shape, dict]:
    array = list(shape)
    shared = s.get("shared_axes")
    for axis in _axes(shared, len(shape)) if shared is not None else ():
        array[axis] = 1
    return shape, {"alpha": _known(*array[1:])}


def _reshape(s: dict, shape: Shape) -> tuple[Shape, dict]:
    target, rest = list(s["target_shape"]), shape[1:]
    if -1 in target:
        fixed = -math.prod(target)
        open_size = None if None in rest else math.prod(rest) // fixed
        target[target.index(-1)] = open_size
    if None not in rest and None not in target and math.prod(target) != math.prod(rest):
        raise ValueError(f"its values do not make {s['target_shape']}")
    return [shape[0], *target], {}


def _margins(key: str, sign: int) -> Callable:
    def change(s: dict, shape: Shape) -> tuple[Shape, dict]:
        sides = _places(s, shape)[0]
        margins = s.get(key, 1)
        if isinstance(margins, list) and len(sides) == 1:
            margins = [margins]
        made = list(shape)
        for side, margin in zip(sides, _sides(margins, len(sides)), strict=True):
            if shape[side] is not None:
                made[side] = shape[side] + sign * sum(_sides(margin, 2))
                if made[side] < 1:
                    raise ValueError("nothing is left of it")
        return made, {}

    return change


def _upsample(s: dict, shape: Shape) -> tuple[Shape, dict]:
    sides = _places(s, shape)[0]
    made = list(shape)
    for side, factor in zip(sides, _sides(s.get("size", 2), len(sides)), strict=True):
        made[side] = shape[side] and shape[side] * factor
    return made, {}


def _resize(s: dict, shape: Shape) -> tuple[Shape, dict]:
    made = list(shape)
    for side, size in zip(_places(s, shape)[0], (s["height"], s["width"]), strict=True):
        made[side] = size
    return made, {}


def _permute(s: dict, shape: Shape) -> tuple[Shape, dict]:
    if sorted(s["dims"]) != list(range(1, len(shape))):
        raise ValueError(f"{s['dims']} does not name its axes")
    return [shape[0], *(shape[axis] for axis in s["dims"])], {}


def _merged(shapes: list[Shape]) -> Shape:
    rank = max(map(len, shapes))
    shapes = [[shape[0], *[1] * (rank - len(shape)), *shape[1:]] for shape in shapes]
    return [None if None in dims else max(dims) for dims in zip(*shapes, strict=True)]


def _concatenated(s: dict, shapes: list[Shape]) -> Shape:
    made = list(shapes[0])
    (axis,) = _axes(s.get("axis", -1), len(made))
    sizes = [shape[axis] for shape in shapes]
    made[axis] = None if None in sizes else sum(sizes)
    return made


def _dotted(s: dict, shapes: list[Shape]) -> Shape:
    axes = _sides(s["axes"], 2)
    kept = []
    for shape, axis in zip(shapes, axes, strict=True):
        (axis,) = _axes(axis, len(shape))
        kept += [size for place, size in enumerate(shape) if place not in (0, axis)]
    return [shapes[0][0], *(kept or [1])]


_RECKONED: dict[str, Callable[[dict, Shape], tuple[Shape, dict]]] = {
    **{key: _conv for key in ("Conv1D", "Conv2D")},
    **{key: _depthwise for key in ("DepthwiseConv2D", "SeparableConv2D")},
    "Conv2DTranspose": _transpose,
    **{f"{kind}Pooling{rank}D": _pool for kind in ("Max", "Average") for rank in (1, 2)},
    **{
        f"Global{kind}Pooling{rank}D": _global_pool
        for kind in ("Max", "Average")
        for rank in (1, 2)
    },
    "Dense": _dense,
    "Flatten": _flatten,
    "BatchNormalization": _norm("moving mean", "moving variance"),
    "LayerNormalization": _norm(),
    "GroupNormalization": _norm(),
    "Normalization": _normalization,
    "PReLU": _prelu,
    "LayerScale": lambda s, shape: (shape, {"gamma": (s["projection_dim"],)}),
    "Reshape": _reshape,
    "Permute": _permute,
    "RepeatVector": lambda s, shape: ([shape[0], s["n"], *shape[1:]], {}),
    **{f"ZeroPadding{rank}D": _margins("padding", 1) for rank in (1, 2)},
    **{f"Cropping{rank}D": _margins("cropping", -1) for rank in (1, 2)},
    **{f"UpSampling{rank}D": _upsample for rank in (1, 2)},
    **{key: _resize for key in ("Resizing", "CenterCrop")},
}
_MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "CustomScaleLayer")


def reckon_layer(layer: dict, inputs: list[Shape]) -> tuple[Shape, dict]:
    """The output's shape of a rebuilt layer on inputs of these, and its arrays' shapes by name.

    Raises ValueError, TypeError, IndexError or ZeroDivisionError where they do not fit.
    """
    class_name, settings = layer["class_name"], layer["config"]
    if class_name in _MERGING or layer.get("module") == OPERATIONS_MODULE:
        return _merged(inputs), {}
    if class_name == "Concatenate":
        return _concatenated(settings, inputs), {}
    if class_name == "Dot":
        return _dotted(settings, inputs), {}
    if len(inputs) != 1:
        raise ValueError(f"{class_name} takes one tensor")
    reckoned = _RECKONED.get(class_name)
    return reckoned(settings, inputs[0]) if reckoned else (inputs[0], {})
