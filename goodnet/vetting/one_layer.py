"""One layer or operation by itself, without its connections, rebuilt out of what its row allows."""

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import checks
from goodnet.vetting.checks import check_at, check_keys
from goodnet.vetting.layers import Layer, find_layer

_KEYS = (
    *("class_name", "config", "module", "registered_name", "name", "inbound_nodes"),
    *("build_config", "shared_object_id"),
)


def rebuild_layer(found: dict, place: str) -> dict:
    """{class_name, config, …} of a layer. Raises Unsafe at what the table of layers lacks."""
    class_name = found.get("class_name")
    row = find_layer(class_name, found.get("module"), place)
    check_keys(place, found, _KEYS)
    rebuilt: dict = {"class_name": row.rebuilt_as or class_name}
    if "module" in found:
        check_registered(found, (row.module,), place)
        of_keras = row.module == "keras.layers"
        rebuilt |= {"module": row.module, "registered_name": None if of_keras else class_name}
    rebuilt["config"] = _rebuild_settings(row, found, place)
    _state_input(rebuilt)
    return rebuilt


def check_registered(found: dict, modules: tuple[str, ...], place: str) -> None:
    """Raise Unsafe where a layer or network is said to be anything but Keras's own."""
    check_at(f"{place}: module", checks.one_of(*modules), found["module"])
    names = checks.exactly(None, found["class_name"])
    check_at(f"{place}: registered_name", names, found.get("registered_name"))


def _rebuild_settings(row: Layer, found: dict, place: str) -> dict:
    allowed = row.allowed
    values = dict(check_at(place, checks.plain_dict, found["config"]))
    wrapped = values.pop("layer", None) if row.wraps else None
    check_keys(place, values, allowed)
    settings = {
        key: check_at(f"{place}: {key}", allowed[key], value) for key, value in values.items()
    }
    if isinstance(axis := settings.get("axis"), list) and len(axis) == 1:
        settings["axis"] = axis[0]  # as some layers of Keras 2 wrote it
    if "groups" in row.left_out and settings.get("groups", 1) != 1:
        class_name = found["class_name"]
        raise Unsafe(f"{place}: 'groups' of a {class_name} is not on the allow-list")
    if row.wraps:
        settings["layer"] = _rebuild_wrapped(row, wrapped, settings, f"{place}: layer")
    return {key: value for key, value in settings.items() if key not in row.left_out}


def _rebuild_wrapped(row: Layer, found: object, outer: dict, place: str) -> dict:
    """The layer in a wrapper, rebuilt with the wrapper's name: it stands in its place later."""
    layer: dict = check_at(place, checks.plain_dict, found)
    check_at(f"{place}: class_name", checks.one_of(*row.wraps), layer.get("class_name"))
    if "config" not in layer:
        raise Unusable(f"{place}: is not the configuration of a layer")
    rebuilt = rebuild_layer(layer, place)
    same_dtype = checks.exactly(outer.get("dtype"))
    check_at(f"{place}: dtype", same_dtype, rebuilt["config"].get("dtype"))
    if "name" in outer:
        rebuilt["config"]["name"] = outer["name"]
    return rebuilt


def _state_input(layer: dict) -> None:
    """Say the input's shape as today's Keras does; it misreads the batch in older files."""
    settings = layer["config"]
    stated = [settings.pop(key, None) for key in ("batch_shape", "batch_input_shape")]
    whole = stated[0] or stated[1]
    if layer["class_name"] != "InputLayer":
        if whole:
            settings["input_shape"] = whole[1:]
    elif whole or "input_shape" in settings:
        settings["batch_shape"] = whole or [None, *settings["input_shape"]]
        settings.pop("input_shape", None)
