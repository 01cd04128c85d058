"""OPERATIONS: what Keras makes of arithmetic on tensors, and of calls of keras.ops, as layers.

A row is one as in layers.py. An operation mixes no images: its shape rule refuses what would.
"""

from goodnet.vetting import settings, shapes, slices
from goodnet.vetting.calls import ShapeRule
from goodnet.vetting.checks import Checks, boolean, exactly, listed, number, optional, whole
from goodnet.vetting.objects import AXIS, dtype
from goodnet.vetting.row import Layer

OPERATIONS_MODULE = "keras.src.ops.numpy"
_OF_NETWORKS = "keras.src.ops.nn"
_OF_TENSORS = "keras.src.ops.core"
_REDUCED: Checks = {"axis": optional(AXIS), "keepdims": boolean}


def _operation(own: Checks, rule: ShapeRule, module: str = OPERATIONS_MODULE) -> Layer:
    return Layer(own, rule, module, common=settings.NAMED)


OPERATIONS: dict[str, Layer] = {
    # What Keras makes of x + 3, of x / 127.5 and of x + y.
    **{
        name: _operation({}, shapes.broadcast)
        for name in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum")
    },
    "Power": _operation({}, shapes.broadcast),
    # What changes values alone
    **{
        name: _operation({}, shapes.keep_shape)
        for name in ("Negative", "Absolute", "Square", "Sqrt", "Exp", "Tanh")
    },
    "Clip": _operation({"x_min": number, "x_max": number}, shapes.keep_shape),
    "Cast": _operation({"dtype": dtype}, shapes.keep_shape, _OF_TENSORS),
    **{
        name: _operation({}, shapes.keep_shape, _OF_NETWORKS)
        for name in (
            *("Relu", "Relu6", "Selu", "Silu", "Sigmoid", "LogSigmoid", "SparseSigmoid"),
            *("HardSigmoid", "HardSilu", "HardTanh", "TanhShrink"),
            *("Softplus", "Softsign", "SparsePlus"),
        )
    },
    "Gelu": _operation({"approximate": boolean}, shapes.keep_shape, _OF_NETWORKS),
    "LeakyRelu": _operation({"negative_slope": number}, shapes.keep_shape, _OF_NETWORKS),
    **{
        name: _operation({"alpha": number}, shapes.keep_shape, _OF_NETWORKS)
        for name in ("Elu", "Celu")
    },
    **{
        name: _operation({"threshold": number}, shapes.keep_shape, _OF_NETWORKS)
        for name in ("SoftShrink", "HardShrink")
    },
    "Threshold": _operation(
        {"threshold": number, "default_value": number}, shapes.keep_shape, _OF_NETWORKS
    ),
    "Squareplus": _operation({"b": number}, shapes.keep_shape, _OF_NETWORKS),
    **{
        name: _operation({"axis": AXIS}, shapes.keep_images, _OF_NETWORKS)
        for name in ("Softmax", "LogSoftmax")
    },
    "Sparsemax": _operation({"axis": whole(-8, 8)}, shapes.keep_images, _OF_NETWORKS),
    "Glu": _operation({"axis": whole(-8, 8)}, slices.take_half, _OF_NETWORKS),
    # Of many values one
    "Mean": _operation(_REDUCED, shapes.reduce),
    "Sum": _operation(_REDUCED, shapes.reduce),
    "Max": _operation({**_REDUCED, "initial": exactly(None)}, shapes.reduce),
    # Values moved, none changed
    "Reshape": _operation(
        {"newshape": listed(optional(whole(-1, 1 << 26)), 2, 7)}, shapes.reshape_with_images
    ),
    "Transpose": _operation({"axes": listed(whole(0, 6), 2, 7)}, shapes.transpose),
    "ExpandDims": _operation({"axis": whole(-8, 8)}, shapes.add_axis),
    "Squeeze": _operation({"axis": whole(-8, 8)}, shapes.drop_axis),
    # Several tensors made one
    "Concatenate": _operation({"axis": AXIS}, shapes.concatenate),
    # What Keras makes of x[:, 0]
    slices.GET_ITEM: _operation({}, slices.take),
}
