"""How a network's layers are connected: checks of the calls that a configuration lists.

Each takes a value as JSON gives it and returns it rebuilt, or raises ValueError, as in checks.py.
"""

from goodnet.vetting import checks
from goodnet.vetting.checks import shown
from goodnet.vetting.objects import dtype


def tensor_of(value: object) -> list:
    """[layer, call, output]."""
    value = checks.items(value)
    if len(value) != 3:
        raise ValueError(f"{shown(value)} does not name a tensor")
    index = checks.whole(0, 1 << 16)
    return [checks.name(value[0]), index(value[1]), index(value[2])]


def node_of(node: object) -> list | dict:
    """One call of a layer: the tensors it takes, and nothing that does anything."""
    if isinstance(node, dict):
        node = checks.fields(node, {"args": checks.items, "kwargs": _keywords}, required=True)
        return {"args": [_argument(value, 0) for value in node["args"]], "kwargs": node["kwargs"]}
    tensors = []
    for tensor in checks.items(node):
        tensor = checks.items(tensor)
        if len(tensor) == 4:
            _keywords(tensor[3])
        tensors.append([*tensor_of(tensor[:3]), {}])
    return tensors


def _keywords(value: object) -> dict:
    """What a call may be told by name: nothing but whether it trains, and no mask."""
    keywords = {"training": checks.exactly(None, False, True), "mask": _no_mask}
    checks.fields(value, keywords, required=False)
    return {}


def _no_mask(value: object) -> None:
    """None, or a list of as many as there are tensors."""
    for mask in value if isinstance(value, list) else [value]:
        checks.exactly(None)(mask)


def _argument(value: object, depth: int) -> object:
    """A tensor of another layer, a list of them, or a number beside one."""
    if isinstance(value, list) and depth < 2:
        return [_argument(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return None if value is None else checks.number(value)
    found = checks.fields(
        value,
        {"class_name": checks.one_of("__keras_tensor__"), "config": checks.plain_dict},
    )
    tensor = checks.fields(
        found["config"], {"shape": checks.items, "dtype": dtype, "keras_history": tensor_of}
    )
    # Keras takes the tensor itself from the layer that makes it.
    tensor["shape"] = []
    return {"class_name": "__keras_tensor__", "config": tensor}
