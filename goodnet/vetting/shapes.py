"""The shape rules of layers that have no arrays: what they make of their inputs' shapes.

Without Keras, as its layers compute it. A row of the table in layers.py names one of these, or one
of those in arrays.py.
"""

import math

from goodnet.vetting.calls import Call, Made, Shape, count_axes, multiply, slide, spread


def keep_shape(call: Call) -> Made:
    """What changes values alone, and has no arrays."""
    return Made(call.shape)


def rescale(call: Call) -> Made:
    """Rescaling, whose scale and offset may be lists: these stretch what they are laid over.

    Keras takes no notice of that in its shapes, so none but one's own network can go on with it.
    """
    made = list(call.shape)
    for values in (call.settings.get("scale", 1), call.settings.get("offset", 0)):
        sizes = _sizes(values)
        if len(sizes) > len(made) or (len(sizes) == len(made) and sizes[0] != 1):
            raise ValueError("it would change the number of images")
        for axis, size in enumerate(reversed(sizes[-len(made) + 1 :]), 1):
            if size != 1:
                if made[-axis] not in (1, size, None):
                    raise ValueError(f"{size} numbers are not for {made[-axis]}")
                made[-axis] = size
    return Made(made)


def _sizes(values: object) -> list[int]:
    """The shape of a number, or of numbers in lists. Raises ValueError where they differ."""
    if not isinstance(values, list):
        return []
    inner = [_sizes(value) for value in values]
    if any(sizes != inner[0] for sizes in inner):
        raise ValueError("its lists have different lengths")
    return [len(values), *(inner[0] if inner else [])]


def pool(call: Call) -> Made:
    """MaxPooling and AveragePooling."""
    window = call.settings.get("pool_size", 2)
    stride = call.settings.get("strides") or window
    return Made(slide(call, window, stride, call.shape[call.channel]))


def pool_globally(call: Call) -> Made:
    """GlobalMaxPooling and GlobalAveragePooling."""
    shape, sides = call.shape, call.sides
    if call.settings.get("keepdims"):
        return Made([1 if axis in sides else size for axis, size in enumerate(shape)])
    return Made([shape[0], shape[call.channel]])


def flatten(call: Call) -> Made:
    """Flatten."""
    batch, *rest = call.shape
    return Made([batch, multiply(rest)])


def reshape(call: Call) -> Made:
    """Reshape, where -1 stands for what is left over."""
    shape, wanted = call.shape, call.settings["target_shape"]
    target, values = list(wanted), multiply(shape[1:])
    if -1 in target:
        fixed = -math.prod(target)
        target[target.index(-1)] = None if values is None else values // fixed
    if values is not None and None not in target and math.prod(target) != values:
        raise ValueError(f"its values do not make {wanted}")
    return Made([shape[0], *target])


def reshape_with_images(call: Call) -> Made:
    """The operation Reshape, whose first size is of the images: -1, or what is open or fixed."""
    images, *target = call.settings["newshape"]
    if images not in (-1, call.shape[0]) or (images == -1 and -1 in target) or None in target:
        raise ValueError("it would change the number of images")
    if None in call.shape[1:]:
        raise ValueError("a size is open")
    made = reshape(Call(call.layer, {"target_shape": target}, call.inputs))
    if math.prod(made.shape[1:]) != math.prod(call.shape[1:]):
        raise ValueError(f"its values do not make {target}")
    return made


def transpose(call: Call) -> Made:
    """The operation Transpose, which leaves the images first."""
    images, *order = call.settings["axes"]
    if images != 0:
        raise ValueError("it would mix the images")
    return permute(Call(call.layer, {"dims": order}, call.inputs))


def add_axis(call: Call) -> Made:
    """The operation ExpandDims."""
    made = list(call.shape)
    (axis,) = count_axes(call.settings["axis"], len(made) + 1)
    if axis == 0:
        raise ValueError("it would mix the images")
    made.insert(axis, 1)
    return Made(made)


def drop_axis(call: Call) -> Made:
    """The operation Squeeze."""
    made = list(call.shape)
    (axis,) = count_axes(call.settings["axis"], len(made))
    if axis == 0 or made[axis] != 1:
        raise ValueError(f"its axis {axis} cannot be left out")
    return Made(made[:axis] + made[axis + 1 :])


def reduce(call: Call) -> Made:
    """The operations Mean, Sum and Max, within each image."""
    axes = _axes_within(call)
    if call.settings.get("keepdims"):
        return Made([1 if axis in axes else size for axis, size in enumerate(call.shape)])
    return Made([size for axis, size in enumerate(call.shape) if axis not in axes])


def keep_images(call: Call) -> Made:
    """What changes the values along some axes, within each image: else along the last."""
    _axes_within(call, -1)
    return keep_shape(call)


def _axes_within(call: Call, default: int | None = None) -> list[int]:
    """The axes that a setting names. Raises ValueError where one is that of the images."""
    axis = call.settings.get("axis", default)
    axes = [0] if axis is None else count_axes(axis, len(call.shape))
    if 0 in axes:
        raise ValueError("it would mix the images")
    return axes


def pool_to_size(call: Call) -> Made:
    """AdaptiveMaxPooling and AdaptiveAveragePooling."""
    made, sides = list(call.shape), call.sides
    for side, size in zip(sides, spread(call.settings["output_size"], len(sides)), strict=True):
        made[side] = size
    return Made(made)


def permute(call: Call) -> Made:
    """Permute."""
    shape, order = call.shape, call.settings["dims"]
    if sorted(order) != list(range(1, len(shape))):
        raise ValueError(f"{order} does not name its axes")
    return Made([shape[0], *(shape[axis] for axis in order)])


def repeat(call: Call) -> Made:
    """RepeatVector."""
    batch, *rest = call.shape
    return Made([batch, call.settings["n"], *rest])


def pad(call: Call) -> Made:
    """ZeroPadding."""
    return _change_margins(call, call.settings.get("padding", 1), 1)


def crop(call: Call) -> Made:
    """Cropping."""
    return _change_margins(call, call.settings.get("cropping", 1), -1)


def _change_margins(call: Call, margins: object, sign: int) -> Made:
    sides, made = call.sides, list(call.shape)
    if isinstance(margins, list) and len(sides) == 1:
        margins = [margins]
    for side, margin in zip(sides, spread(margins, len(sides)), strict=True):
        if made[side] is not None:
            made[side] += sign * sum(spread(margin, 2))
            if made[side] < 1:
                raise ValueError("nothing is left of it")
    return Made(made)


def upsample(call: Call) -> Made:
    """UpSampling."""
    sides, made = call.sides, list(call.shape)
    for side, factor in zip(sides, spread(call.settings.get("size", 2), len(sides)), strict=True):
        made[side] = made[side] and made[side] * factor
    return Made(made)


def resize(call: Call) -> Made:
    """Resizing and CenterCrop."""
    made, settings = list(call.shape), call.settings
    (rows, columns), wanted = call.sides, (settings["height"], settings["width"])
    made[rows], made[columns] = wanted
    work = 0
    if settings.get("pad_to_aspect_ratio"):
        height, width = (call.shape[side] or 1 for side in (rows, columns))
        padded = max(height, width * wanted[0] // wanted[1])
        padded *= max(width, height * wanted[1] // wanted[0])
        work = padded * (call.shape[call.channel] or 1)
    return Made(made, work=work)


def crop_randomly(call: Call) -> Made:
    """RandomCrop: Keras says that it makes images smaller, and does so in training alone."""
    made = resize(call)
    if made.shape != call.shape:
        raise ValueError("it crops images in training alone, and what follows takes cropped ones")
    return made


def merge(call: Call) -> Made:
    """Add and the like: of several tensors, the smaller stretched to the larger."""
    rank = max(map(len, call.inputs))
    shapes = [[shape[0], *[1] * (rank - len(shape)), *shape[1:]] for shape in call.inputs]
    return Made([None if None in sizes else max(sizes) for sizes in zip(*shapes, strict=True)])


def broadcast(call: Call) -> Made:
    """The operation Add and the like, which lay tensors over each other from the last axis on."""
    if len(set(map(len, call.inputs))) > 1:  # what a layer would stretch behind the images
        raise ValueError("it would mix the images")
    return merge(call)


def concatenate(call: Call) -> Made:
    """Concatenate."""
    made = list(call.inputs[0])
    (axis,) = count_axes(call.settings.get("axis", -1), len(made))
    if axis == 0:
        raise ValueError("it would mix the images")
    sizes = [shape[axis] for shape in call.inputs]
    made[axis] = None if None in sizes else sum(sizes)
    return Made(made)


def dot(call: Call) -> Made:
    """Dot."""
    axes = spread(call.settings["axes"], 2)
    kept: Shape = []
    for shape, axis in zip(call.inputs, axes, strict=True):
        (axis,) = count_axes(axis, len(shape))
        kept += [size for place, size in enumerate(shape) if place not in (0, axis)]
    return Made([call.inputs[0][0], *(kept or [1])])
