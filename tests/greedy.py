"""Networks that take more memory or time than any that people use, made anew by the tests.

`GREEDY` has a maker for each kind, in two `VARIANTS`. Their images are those of the tiny lab. What
plain Keras takes for them, and that they are refused, is in test_budget.py.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
from conftest import SHAPE
from hostile import Maker, keras_object

layers = keras.layers
GREEDY: dict[str, Maker] = {}
Tensor = tuple[str, int]  # a layer, and which of its calls


def greedy(kind: str) -> Callable[[Callable[[bool], keras.Model]], None]:
    """A kind of network that a function makes of whether it is the first variant."""

    def keep(make: Callable[[bool], keras.Model]) -> None:
        def save(folder: Path, variant: str) -> Path:
            make(variant == "one").save(folder / "bd_net.keras")
            return folder / "bd_net.keras"

        GREEDY[kind] = save

    return keep


def closed(tensor: keras.KerasTensor, image: keras.KerasTensor) -> keras.Model:
    """A classifier that ends there."""
    pooled = layers.GlobalAveragePooling2D(data_format="channels_last", name="gap")(tensor)
    return keras.Model(image, layers.Dense(5, name="dense")(pooled))


@greedy("input that is larger than any image")
def huge_input(one: bool) -> keras.Model:
    image = keras.Input((30_000, 30_000, 3) if one else (9_000, 9_000, 1))
    return closed(image, image)


@greedy("layers that are large together")
def many_large(one: bool) -> keras.Model:
    """A hundred of 62 million values, and sixty of 22 million: none of them too large by itself."""
    image = keras.Input(SHAPE)
    tensor = layers.Conv2D(1 if one else 32, 1)(image)
    tensor = layers.UpSampling2D(64)(tensor)
    tensor = layers.UpSampling2D((9, 10))(tensor) if one else tensor
    for _ in range(100 if one else 60):
        tensor = layers.ReLU()(tensor)
    return closed(tensor, image)


@greedy("open size that grows")
def open_size(one: bool) -> keras.Model:
    image = tensor = keras.Input((None, None, 3))
    if not one:
        return closed(layers.ZeroPadding2D(4_000)(image), image)
    for _ in range(4):
        tensor = layers.UpSampling2D(64)(tensor)
    return closed(tensor, image)


@greedy("dilation that pads")
def dilated(one: bool) -> keras.Model:
    image = keras.Input(SHAPE)
    kind = layers.Conv2D(2, 3, padding="same", dilation_rate=20_000)
    if not one:
        kind = layers.DepthwiseConv2D(3, padding="same", dilation_rate=9_000)
    return closed(kind(image), image)


@greedy("tensor that a layer holds while it works")
def working(one: bool) -> keras.Model:
    image = keras.Input(SHAPE)
    if not one:  # it is padded to the proportions of the answer before it is made smaller
        large = layers.UpSampling2D(2)(image)
        tensor = layers.Resizing(60_000, 1, pad_to_aspect_ratio=True)(large)
        return closed(layers.Conv2D(1, 1)(tensor), image)
    places = layers.Reshape((168 * 64, 3))(layers.UpSampling2D(8)(image))
    tensor = layers.MultiHeadAttention(2, 2)(places, places)
    return closed(layers.Reshape((8 * SHAPE[0], 8 * SHAPE[1], 3))(tensor), image)


@greedy("inner network with two inputs")
def two_inputs(one: bool) -> keras.Model:
    """The second one is large, or made large inside."""
    image = keras.Input(SHAPE)
    small, other = keras.Input(SHAPE), keras.Input((None, None, 3))
    large = layers.UpSampling2D(64)(other)
    large = layers.UpSampling2D(8)(large) if one else large
    pooled = [layers.GlobalAveragePooling2D()(tensor) for tensor in (small, large)]
    inner = keras.Model([small, other], layers.Add()(pooled))
    second = image if one else layers.UpSampling2D(8)(image)
    return keras.Model(image, layers.Dense(5)(inner([image, second])))


# ---------------------------------------------------------------- written by hand


def tensor(of: Tensor) -> dict:
    config = {"shape": [None, *SHAPE], "dtype": "float32", "keras_history": [*of, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def layer(class_name: str, name: str, *takes: Tensor, **settings: object) -> dict:
    """A layer, called once on each of these tensors."""
    nodes = [{"args": [tensor(of)], "kwargs": {}} for of in takes]
    made = keras_object("keras.layers", class_name, {"name": name, **settings})
    return made | {"name": name, "inbound_nodes": nodes}


def functional(name: str, parts: list[dict], last: Tensor) -> dict:
    image = layer("InputLayer", "image", batch_shape=[None, *SHAPE], dtype="float32")
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [[*last, 0]]}
    config = {"name": name, "layers": [image, *parts]} | ends
    made = keras_object("keras.src.models.functional", "Functional", config)
    return made | {"registered_name": "Functional", "name": name}


def chain(length: int) -> list[dict]:
    """Layers one behind the other, the first on the image."""
    names = ["image", *(f"step_{index}" for index in range(length))]
    return [
        layer("Activation", name, (before, 0), activation="relu")
        for before, name in zip(names, names[1:], strict=False)
    ]


def write(folder: Path, parts: list[dict], last: Tensor) -> Path:
    """A classifier made of these layers, which ends behind one of them."""
    image = keras.Input(SHAPE)
    closed(image, image).save(folder / "end.keras")
    end = [layer("GlobalAveragePooling2D", "gap", last), layer("Dense", "dense", ("gap", 0))]
    end[1]["config"]["units"] = 5
    network = functional("network", [*parts, *end], ("dense", 0))
    del network["name"]
    path = folder / "bd_net.keras"
    with zipfile.ZipFile(folder / "end.keras") as source, zipfile.ZipFile(path, "w") as made:
        for name in source.namelist():
            is_text = name == "config.json"
            made.writestr(name, json.dumps(network) if is_text else source.read(name))
    (folder / "end.keras").unlink()
    return path


def called(name: str, parts: list[dict], times: int) -> dict:
    """An inner network of these layers, called again and again on what it made itself."""
    takes: list[Tensor] = [("image", 0), *((name, call) for call in range(times - 1))]
    nodes = [{"args": [tensor(of)], "kwargs": {}} for of in takes]
    return functional(name, parts, (parts[-1]["name"], 0)) | {"inbound_nodes": nodes}


def backwards(folder: Path, variant: str) -> Path:
    """A chain of 3,000 layers, listed last first; in the other variant in an inner network."""
    parts = chain(3_000)[::-1]
    if variant == "one":
        return write(folder, parts, (parts[0]["name"], 0))
    inner = functional("inner", parts, (parts[0]["name"], 0))
    inner["inbound_nodes"] = [{"args": [tensor(("image", 0))], "kwargs": {}}]
    return write(folder, [inner], ("inner", 0))


def called_often(folder: Path, variant: str) -> Path:
    """A hundred layers 900 times, or ten 100 times of which all is done 100 times."""
    if variant == "one":
        return write(folder, [called("inner", chain(100), 900)], ("inner", 899))
    inner = called("inner", chain(10), 100)
    inner["inbound_nodes"][0] = {"args": [tensor(("image", 0))], "kwargs": {}}
    outer = functional("outer", [inner], ("inner", 99))
    takes: list[Tensor] = [("image", 0), *(("outer", call) for call in range(99))]
    nodes = [{"args": [tensor(of)], "kwargs": {}} for of in takes]
    # An inner Functional that is an output itself is counted from 1.
    outer["config"]["output_layers"] = [["inner", 100, 0]]
    return write(folder, [outer | {"inbound_nodes": nodes}], ("outer", 99))


GREEDY["layers listed backwards"] = backwards
GREEDY["inner network called again and again"] = called_often
