"""The shape rules of layers that have arrays: the shape that they make, and the arrays they need.

Without Keras, as its layers compute it. A row of the table in layers.py names one of these, or one
of those in shapes.py.
"""

import math

from goodnet.vetting.calls import (
    ArrayShape,
    Call,
    Made,
    ShapeRule,
    count_axes,
    count_values,
    require_known,
    slide,
    spread,
    work_of_dilation,
)


def convolve(call: Call) -> Made:
    """Conv1D, Conv2D."""
    shape, settings = call.shape, call.settings
    kernel = spread(settings["kernel_size"], len(call.sides))
    (inputs,) = require_known(shape[call.channel])
    filters = settings["filters"]
    made = slide(call, kernel, settings.get("strides") or 1, filters)
    arrays = {"kernel": (*kernel, inputs // settings.get("groups", 1), filters)}
    work = work_of_dilation(call, kernel, filters)
    return Made(made, _with_bias(call, arrays, filters), work)


def convolve_depthwise(call: Call) -> Made:
    """DepthwiseConv2D, and SeparableConv2D, which has filters behind it."""
    shape, settings = call.shape, call.settings
    kernel = spread(settings["kernel_size"], len(call.sides))
    (inputs,) = require_known(shape[call.channel])
    multiplier = settings.get("depth_multiplier") or 1
    channels = inputs * multiplier
    arrays = {"kernel": (*kernel, inputs, multiplier)}
    work = work_of_dilation(call, kernel, channels)
    if "filters" in settings:
        work += count_values(slide(call, kernel, settings.get("strides") or 1, channels)[1:])
        arrays["pointwise kernel"] = (*[1] * len(kernel), channels, settings["filters"])
        channels = settings["filters"]
    made = slide(call, kernel, settings.get("strides") or 1, channels)
    return Made(made, _with_bias(call, arrays, channels), work)


def convolve_transposed(call: Call) -> Made:
    """Conv2DTranspose."""
    shape, sides, settings = call.shape, call.sides, call.settings
    kernel = spread(settings["kernel_size"], len(sides))
    strides = spread(settings.get("strides") or 1, len(sides))
    dilations = spread(settings.get("dilation_rate") or 1, len(sides))
    extra = settings.get("output_padding")
    (inputs,) = require_known(shape[call.channel])
    filters = settings["filters"]
    made = list(shape)
    made[call.channel] = filters
    for index, (side, stride) in enumerate(zip(sides, strides, strict=True)):
        size, reach = shape[side], (kernel[index] - 1) * dilations[index] + 1
        if size is not None:
            if extra is not None:
                cut = 2 * (reach // 2) if settings.get("padding") == "same" else 0
                size = (size - 1) * stride + reach - cut + spread(extra, len(sides))[index]
            else:
                size *= stride
                if settings.get("padding", "valid") == "valid":
                    size += max(reach - stride, 0)
        made[side] = size
    # TensorFlow lays what each value gives out in a column before it adds them up.
    work = count_values([shape[side] for side in sides]) * math.prod(kernel) * filters
    return Made(made, _with_bias(call, {"kernel": (*kernel, filters, inputs)}, filters), work)


def connect_densely(call: Call) -> Made:
    """Dense."""
    *rest, last = call.shape
    inputs, units = require_known(last), call.settings["units"]
    return Made([*rest, units], _with_bias(call, {"kernel": (*inputs, units)}, units))


def normalize(*always: str) -> ShapeRule:
    """A normalization that learns; it has gamma and beta as its settings say, and these arrays."""

    def rule(call: Call) -> Made:
        shape, settings = call.shape, call.settings
        array = _sizes_of_axes(call)
        scaled = ["gamma"] * settings.get("scale", True) + ["beta"] * settings.get("center", True)
        return Made(shape, {name: array for name in (*scaled, *always)})

    return rule


def scale_axes(call: Call) -> Made:
    """RMSNormalization."""
    return Made(call.shape, {"scale": _sizes_of_axes(call)})


def _sizes_of_axes(call: Call) -> ArrayShape:
    """Of the axes along which a layer normalizes. Raises ValueError where one is of the images."""
    axes = count_axes(call.settings.get("axis", -1), len(call.shape))
    if 0 in axes:
        raise ValueError("it would mix the images")
    return require_known(*(call.shape[axis] for axis in axes))


def standardize(call: Call) -> Made:
    """Normalization, whose mean and variance are arrays where its settings do not say them."""
    shape, settings = call.shape, call.settings
    if settings.get("mean") is not None:
        return Made(shape)
    axis = settings.get("axis", -1)
    axes = [] if axis is None else sorted(count_axes(axis, len(shape)))
    array = require_known(*(shape[axis] for axis in axes))
    return Made(shape, {"mean": array, "variance": array})


def attend(call: Call) -> Made:
    """MultiHeadAttention on (batch, places, values)."""
    query, value, *more = call.inputs
    key = more[0] if more else value
    settings, shapes = call.settings, (query, key, value)
    if len(more) > 1 or any(len(shape) != 3 for shape in shapes) or key[1] != value[1]:
        raise ValueError("it takes a query and a value of (places, values)")
    heads, size = settings["num_heads"], settings["key_dim"]
    made = settings.get("value_dim") or size
    places, others = query[1] or 1, key[1] or 1
    # The scores, before and after the softmax, and the four parts that the kernels make.
    work = heads * (2 * places * others + (places + others) * (size + made))
    arrays: dict[str, ArrayShape] = {}
    parts = zip(("query", "key", "value"), shapes, (size, size, made), strict=True)
    for part, shape, width in parts:
        arrays |= {f"{part} kernel": (*require_known(shape[2]), heads, width)}
        arrays |= {f"{part} bias": (heads, width)}
    (last,) = require_known(query[2])
    arrays |= {"output kernel": (heads, made, last), "output bias": (last,)}
    if not settings.get("use_bias", True):
        arrays = {name: array for name, array in arrays.items() if not name.endswith("bias")}
    return Made(query, arrays, work)


def scale_negatives(call: Call) -> Made:
    """PReLU."""
    shape, shared = call.shape, call.settings.get("shared_axes")
    array = list(shape)
    for axis in count_axes(shared, len(shape)) if shared is not None else ():
        array[axis] = 1
    return Made(shape, {"alpha": require_known(*array[1:])})


def scale_channels(call: Call) -> Made:
    """The LayerScale of ConvNeXt."""
    return Made(call.shape, {"gamma": (call.settings["projection_dim"],)})


def _with_bias(call: Call, arrays: dict, channels: int) -> dict:
    return arrays | ({"bias": (channels,)} if call.settings.get("use_bias", True) else {})
