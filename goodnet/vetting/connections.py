"""How a network's layers are connected: the calls that a configuration lists.

Each check takes a value as JSON gives it and returns it rebuilt, or raises ValueError, as in
checks.py.
"""

import heapq

from goodnet.vetting import checks
from goodnet.vetting.checks import Checks, quote
from goodnet.vetting.layers import NETWORKS
from goodnet.vetting.objects import dtype
from goodnet.vetting.slices import check_places

ATTENDED = ("query", "value", "key")  # tensors that attention may take by name, in its order


def check_tensor(value: object) -> list:
    """[layer, call, output]."""
    found = checks.items(value)
    if len(found) != 3:
        raise ValueError(f"{quote(found)} does not name a tensor")
    index = checks.whole(0, 1 << 16)
    return [checks.name(found[0]), index(found[1]), index(found[2])]


def check_ends(value: object) -> list[list]:
    """A network's input or output tensors: one by itself, or several in a list or an object."""
    if isinstance(value, dict) and "class_name" not in value:
        for key in value:
            checks.name(key)
        value = list(value.values())
    found = checks.items(value)
    if found and isinstance(found[0], str):
        found = [found]
    return [check_tensor(tensor) for tensor in found]


def state_ends(tensors: list[list]) -> list:
    """How a rebuilt network states its input or output tensors: one stands by itself.

    Of a list of one Keras 3 makes a list of one tensor, which no layer of a Sequential takes.
    """
    return tensors[0] if len(tensors) == 1 else tensors


def list_ends(stated: list) -> list[list]:
    """The tensors that `state_ends` states."""
    return [stated] if stated and isinstance(stated[0], str) else stated


def check_node(node: object) -> list | dict:
    """One call of a layer: the tensors it takes, and nothing that does anything."""
    if isinstance(node, dict):
        node = checks.fields(node, {"args": checks.items, "kwargs": checks.plain_dict})
        args = [*node["args"], *_take_named(node["kwargs"])]
        return {"args": [_check_argument(value, 0) for value in args], "kwargs": {}}
    tensors, named = [], []
    for item in checks.items(node):
        tensor = checks.items(item)
        if len(tensor) == 4:
            named += [check_tensor(value) for value in _take_named(checks.plain_dict(tensor[3]))]
        tensors.append([*check_tensor(tensor[:3]), {}])
    if named:  # as Keras 2 wrote attention; of a list today's Keras would make one argument
        every = [*(tensor[:3] for tensor in tensors), *named]
        return {"args": [state_tensor(tensor) for tensor in every], "kwargs": {}}
    return tensors


def check_slicing(node: object) -> dict:
    """One call of GetItem: a tensor, and what is taken of it."""
    found = checks.fields(node, {"args": checks.items, "kwargs": checks.exactly({})})
    if len(found["args"]) != 2 or not isinstance(found["args"][0], dict):
        raise ValueError(f"{quote(found['args'])} is not a tensor and its places")
    tensor, places = found["args"]
    return {"args": [_check_argument(tensor, 0), check_places(places)], "kwargs": {}}


def find_places(node: list | dict) -> list | None:
    """What a rebuilt node takes of its tensor, where it is one of GetItem; else nothing of note."""
    if isinstance(node, list) or len(node["args"]) != 2 or not isinstance(node["args"][1], list):
        return None
    return node["args"][1]


def state_tensor(tensor: list) -> dict:
    """[layer, call, output] as today's Keras writes it beside other arguments."""
    history = {"shape": [], "dtype": "float32", "keras_history": tensor}
    return {"class_name": "__keras_tensor__", "config": history}


def _take_named(keywords: dict) -> list:
    """The tensors that a call is told by name, as attention may be.

    It may be told nothing else but whether it trains, and no mask.
    """
    others = {key: value for key, value in keywords.items() if key not in ATTENDED}
    checks.fields(others, _KEYWORDS, required=False)
    return [keywords[name] for name in ATTENDED if keywords.get(name) is not None]


def _check_no_mask(value: object) -> None:
    """None, or a list of as many as there are tensors."""
    for mask in value if isinstance(value, list) else [value]:
        checks.exactly(None)(mask)


_KEYWORDS: Checks = {
    "training": checks.exactly(None, False, True),
    "mask": _check_no_mask,
    "attention_mask": checks.exactly(None),
    "use_causal_mask": checks.exactly(False),
    "return_attention_scores": checks.exactly(False),
}


def _check_argument(value: object, depth: int) -> object:
    """A tensor of another layer, a list of them, or a number beside one."""
    if isinstance(value, list) and depth < 2:
        return [_check_argument(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return None if value is None else checks.number(value)
    found = checks.fields(
        value,
        {"class_name": checks.one_of("__keras_tensor__"), "config": checks.plain_dict},
    )
    tensor = checks.fields(
        found["config"], {"shape": checks.items, "dtype": dtype, "keras_history": check_tensor}
    )
    # Keras takes the tensor itself from the layer that makes it.
    tensor["shape"] = []
    return {"class_name": "__keras_tensor__", "config": tensor}


def find_tensors(node: list | dict) -> list[list]:
    """[layer, call, output, …] of each tensor that a rebuilt node takes: the node's own lists."""
    if isinstance(node, list):
        return node
    found: list[list] = []

    def search(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                search(item)
        elif isinstance(value, dict) and value["class_name"] == "__keras_tensor__":
            found.append(value["config"]["keras_history"])

    search(node["args"])
    return found


def count_calls_from_0(layers: list[dict], outputs: list[list]) -> None:
    """Count the calls of inner networks as Keras 3 does: from 0, where Keras 2 began with 1.

    layers: the rebuilt layers of a network; outputs: its output tensors. Both are changed in place.
    Only an inner Functional that is an output itself is counted from 1 by both.
    """
    inner = {layer["name"]: layer for layer in layers if layer["class_name"] in NETWORKS}
    taken = [
        tensor
        for layer in layers
        for node in layer["inbound_nodes"]
        for tensor in find_tensors(node)
    ]
    for name, layer in inner.items():
        named = [tensor for tensor in taken if tensor[0] == name]
        if layer["class_name"] == "Sequential":
            named += [tensor for tensor in outputs if tensor[0] == name]
        if any(tensor[1] == len(layer["inbound_nodes"]) for tensor in named):
            for tensor in named:
                tensor[1] -= 1


def order_layers(layers: list[dict]) -> list[dict]:
    """The rebuilt layers of a network, each after those whose tensors its first call takes.

    Keras's loader goes through them again and again until all are called: from the last to the
    first, a chain would take the square of its length. Layers that are in order stay as they are.
    Nothing else depends on the order: Keras sorts a network's layers by its connections.
    """
    place = {layer["name"]: index for index, layer in enumerate(layers)}
    takes = [
        {place[name] for name, *_ in find_tensors(node) if name in place}
        for node in ((layer["inbound_nodes"] or [[]])[0] for layer in layers)
    ]
    feeds: list[list[int]] = [[] for _ in layers]
    for index, taken in enumerate(takes):
        for other in taken:
            feeds[other].append(index)
    left = list(map(len, takes))
    ready = [index for index, count in enumerate(left) if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for fed in feeds[index]:
            left[fed] -= 1
            if not left[fed]:
                heapq.heappush(ready, fed)
    unreached = sorted(set(range(len(layers))) - set(order))
    return [layers[index] for index in (*order, *unreached)]
