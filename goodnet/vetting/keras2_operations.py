"""Operations that Keras 2 wrote as layers: what it makes of x / 127.5 and x - 1, and of x[:, 0].

Today's Keras does not load them. Those that are plain arithmetic, and slices, are rewritten as its
own operations, and looked through as these; no function is found by its name.
"""

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import checks
from goodnet.vetting.checks import check_at, quote
from goodnet.vetting.connections import state_tensor
from goodnet.vetting.operations import OPERATIONS_MODULE
from goodnet.vetting.slices import GET_ITEM, state_places

CLASSES = ("TFOpLambda", "SlicingOpLambda")
SLICING = "__operators__.getitem"
CONSTANT = "_CONSTANT_VALUE"  # stands for a layer where the first operand is a number

_ARITHMETIC = {
    **{"math.add": "Add", "__operators__.add": "Add"},
    **{"math.subtract": "Subtract", "__operators__.sub": "Subtract"},
    **{"math.multiply": "Multiply", "__operators__.mul": "Multiply"},
    **{"math.truediv": "TrueDivide", "__operators__.truediv": "TrueDivide"},
    **{"math.divide": "Divide", "math.maximum": "Maximum", "math.minimum": "Minimum"},
}
# As harmless, but nothing is rewritten for them.
_PLAIN = (
    *("cast", "reshape", "concat", "transpose", "expand_dims", "squeeze", "shape", "split"),
    *("nn.bias_add", "nn.relu", "nn.relu6", "nn.softmax", "nn.silu", "nn.swish", "nn.gelu"),
    *("math.reduce_mean", "math.reduce_max", "math.reduce_sum", "math.negative", "math.sigmoid"),
    *("math.tanh", "clip_by_value", "compat.v1.transpose", "compat.v1.shape", "image.resize"),
    "image.per_image_standardization",
)


def rewrite_operation(found: dict, place: str) -> dict:
    """One of CLASSES, as a file holds it, as today's Keras writes the same operation.

    The answer is still to be looked through. Raises Unusable where the operation is another plain
    one or is called in another way, Unsafe where it is none of them.
    """
    config = check_at(place, checks.plain_dict, found["config"])
    function = config.get("function")
    if function in _PLAIN:
        raise Unusable(
            f"{place}: the operation {quote(function)} of Keras 2 is not loaded by today's Keras; "
            "save the network again without it, and do it to the images"
        )
    known = _ARITHMETIC | {SLICING: GET_ITEM}
    if not isinstance(function, str) or function not in known:
        raise Unsafe(f"{place}: the operation {quote(function)} is not on the allow-list")
    checks.check_keys(place, config, ("name", "trainable", "dtype", "function"))
    nodes = check_at(place, checks.items, found.get("inbound_nodes"))
    arguments = _slice if function == SLICING else _operands
    return {
        "class_name": known[function],
        "module": OPERATIONS_MODULE,
        "registered_name": known[function],
        "name": found.get("name", config.get("name")),
        "config": {"name": config.get("name")},
        "inbound_nodes": [
            {"args": check_at(f"{place}: inbound_nodes", arguments, node), "kwargs": {}}
            for node in nodes
        ],
    }


def _argument(node: object) -> list:
    """The one argument of a call, [layer, call, output, {what else it is told}]."""
    first = checks.items(node)
    if len(first) == 1:
        first = checks.items(first[0])
    if len(first) != 4:
        raise ValueError(f"{quote(first)} does not name a tensor")
    return first


def _slice(node: object) -> list:
    """The tensor of a call and what is taken of it: slice_spec."""
    first = _argument(node)
    named = {"slice_spec": state_places, "var": checks.exactly(None), "name": checks.exactly(None)}
    told = checks.fields(first[3], named, required=False)
    if "slice_spec" not in told:
        raise ValueError("is not told what to take")
    return [state_tensor(first[:3]), told["slice_spec"]]


def _operands(node: object) -> list:
    """Both operands of a call, [layer, call, output, {y: the other one, name: …}]."""
    first = _argument(node)
    named = {"y": _operand, "name": checks.exactly(None)}
    other = checks.fields(first[3], named, required=False)
    if "y" not in other:
        raise ValueError("has one operand")
    if first[0] == CONSTANT:
        return [checks.number(first[2]), other["y"]]
    return [_operand(first[:3]), other["y"]]


def _operand(value: object) -> object:
    """A number, or a tensor as today's Keras writes it."""
    if not isinstance(value, list):
        return checks.number(value)
    return state_tensor(value)
