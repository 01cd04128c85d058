"""What Keras 2 wrote of arithmetic and slices is rewritten as today's Keras writes it.

The oracle is the same arithmetic in a network that today's Keras made.
"""

import json
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import CLASSES, SHAPE, load_model, load_network
from keras import layers

from goodnet.errors import Unsafe, Unusable
from goodnet.networks.writing import Change, write_copy

# By the function's name in Keras 2: the arithmetic, and its two operands as Keras 2 wrote them.
X = ["conv", 0, 0]
CASES = {
    "math.truediv": (lambda x: x / 127.5, X, 127.5),
    "math.subtract": (lambda x: x - 1, X, 1),
    "__operators__.add": (lambda x: x + 0.5, X, 0.5),
    "math.multiply": (lambda x: x * 2.0, X, 2.0),
    "math.add": (lambda x: x + x, X, X),
    "math.maximum": (lambda x: keras.ops.maximum(x, 0.1), X, 0.1),
    "math.divide": (lambda x: 3.0 / (x + 4), None, None),
}


def network(arithmetic, pool: type[layers.Layer] = layers.GlobalAveragePooling2D) -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(layers.Rescaling(1 / 64)(image))
    x = pool(name="pool")(arithmetic(x))
    return keras.Model(image, layers.Dense(CLASSES, name="last")(x))


def as_keras_2_wrote_it(model: keras.Model, path: Path, operations: list[dict]) -> Path:
    """An .h5 in which `operations` stand between the layers conv and pool."""
    plain = network(lambda x: x)
    plain.set_weights(model.get_weights())
    plain.save(path)
    with h5py.File(path, "r+") as file:
        found = json.loads(file.attrs["model_config"])
        for layer in found["config"]["layers"]:
            if layer["name"] == "pool":
                layer["inbound_nodes"] = [[[operations[-1]["name"], 0, 0, {}]]]
        found["config"]["layers"] += operations
        file.attrs["model_config"] = json.dumps(found)
    return path


def operation(function: str, node: list, name: str = "") -> dict:
    config = {"name": name or f"tf.{function}", "trainable": True, "dtype": "float32"}
    return {
        "class_name": "TFOpLambda",
        "config": config | {"function": function},
        "name": config["name"],
        "inbound_nodes": [node],
    }


def check_same(path: Path, model: keras.Model) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, *SHAPE))
    answers = load_model(path).predict(pixels, verbose=0)
    np.testing.assert_array_equal(answers, model.predict(pixels, verbose=0))


@pytest.mark.parametrize("function", [name for name in CASES if CASES[name][1]])
def test_arithmetic_is_rewritten(tmp_path, function):
    arithmetic, first, other = CASES[function]
    model = network(arithmetic)
    made = [operation(function, [*first, {"y": other, "name": None}])]
    path = as_keras_2_wrote_it(model, tmp_path / "b.h5", made)
    check_same(path, model)

    loaded = load_network(path)
    kernel = loaded.model.get_layer("conv").kernel
    old = kernel.numpy()
    write_copy(loaded, tmp_path / "copy.h5", [Change(kernel, old, old * 2)])
    model.get_layer("conv").kernel.assign(old * 2)
    check_same(tmp_path / "copy.h5", model)


def test_a_number_may_come_first_and_operations_follow_each_other(tmp_path):
    model = network(CASES["math.divide"][0])
    made = [
        operation("__operators__.add", [*X, {"y": 4, "name": None}], "tf.__operators__.add_7"),
        operation(
            "math.truediv",
            ["_CONSTANT_VALUE", -1, 3.0, {"y": ["tf.__operators__.add_7", 0, 0], "name": None}],
        ),
    ]
    check_same(as_keras_2_wrote_it(model, tmp_path / "b.h5", made), model)


def test_the_same_twice(tmp_path):
    model = network(lambda x: x / 2.0 / 2.0)
    made = [
        operation("math.truediv", [[*X, {"y": 2.0}]], "tf.math.truediv"),
        operation("math.truediv", ["tf.math.truediv", 0, 0, {"y": 2.0}], "tf.math.truediv_1"),
    ]
    check_same(as_keras_2_wrote_it(model, tmp_path / "b.h5", made), model)


ALL = {"start": None, "stop": None, "step": None}
TAKEN = [
    (lambda x: x[:, 0], [ALL, 0]),
    (lambda x: x[:, None, -2:], [ALL, None, ALL | {"start": -2}]),
    (lambda x: x[:, :, 1:4:2], [ALL, ALL, {"start": 1, "stop": 4, "step": 2}]),
    (lambda x: x[:, ::-3, 2], {"class_name": "__tuple__", "items": [ALL, ALL | {"step": -3}, 2]}),
]


def slicing(node: list) -> dict:
    return operation("__operators__.getitem", node) | {"class_name": "SlicingOpLambda"}


@pytest.mark.parametrize(("take", "spec"), TAKEN, ids=[str(spec) for _, spec in TAKEN])
def test_slices_are_rewritten(tmp_path, take, spec):
    model, path = network(take, layers.Flatten), tmp_path / "b.h5"
    plain_file(model, path, slicing([*X, {"slice_spec": spec}]))
    check_same(path, model)


def plain_file(model: keras.Model, path: Path, made: dict) -> None:
    """The network as Keras 2 wrote it, with what it made of the slice."""
    model.save(path)
    with h5py.File(path, "r+") as file:
        found = json.loads(file.attrs["model_config"])
        taken = next(x for x in found["config"]["layers"] if x["class_name"] == "GetItem")
        found["config"]["layers"].remove(taken)
        for layer in found["config"]["layers"]:
            if layer["name"] == "pool":
                layer["inbound_nodes"] = [[[made["name"], 0, 0, {}]]]
        found["config"]["layers"].append(made)
        file.attrs["model_config"] = json.dumps(found)


@pytest.mark.parametrize(
    "told",
    [
        {"slice_spec": [ALL, {**ALL, "step": 0}]},
        {"slice_spec": [ALL, "words"]},
        {"slice_spec": [ALL, {**ALL, "name": "x"}]},
        {"slice_spec": [ALL, {"class_name": "Lambda"}]},
        {"slice_spec": [ALL, {"class_name": "Lambda", "config": {}}]},
        {"slice_spec": [ALL, {"class_name": "__ellipsis__", "config": {"x": 1}}]},
        {"slice_spec": [ALL, {"start": X, "stop": None, "step": None}]},
        {"slice_spec": [ALL, X]},
        {"slice_spec": [ALL, 1.5]},
        {"slice_spec": 0},
        {"slice_spec": [ALL, 0], "var": "words"},
        {"slice_spec": [ALL, 0], "other": 1},
        {},
        [],
    ],
    ids=str,
)
def test_slices_of_anything_but_numbers_are_refused(tmp_path, told):
    plain_file(network(TAKEN[0][0], layers.Flatten), tmp_path / "b.h5", slicing([*X, told]))
    with pytest.raises(Unsafe):
        load_model(tmp_path / "b.h5")


def test_an_ellipsis_of_keras_2_is_no_sign_of_an_attack(tmp_path):
    """Today's Keras finds it in no .h5, whoever wrote it there."""
    node = [*X, {"slice_spec": [{"class_name": "__ellipsis__"}, 0]}]
    plain_file(network(lambda x: x[..., 0], layers.Flatten), tmp_path / "b.h5", slicing(node))
    with pytest.raises(Unusable, match="is not built by Keras") as refusal:
        load_model(tmp_path / "b.h5")
    assert not isinstance(refusal.value, Unsafe)


@pytest.mark.parametrize("spec", [[0], [None, ALL], [{**ALL, "step": -1}], [ALL, 10_000]], ids=str)
def test_slices_of_keras_2_that_mix_images_or_do_not_fit_are_refused(tmp_path, spec):
    plain_file(
        network(TAKEN[0][0], layers.Flatten), tmp_path / "b.h5", slicing([*X, {"slice_spec": spec}])
    )
    with pytest.raises(Unusable, match="does not fit its input"):
        load_model(tmp_path / "b.h5")


@pytest.mark.parametrize("function", ["cast", "nn.bias_add", "reshape"])
def test_other_plain_operations_are_no_sign_of_an_attack(tmp_path, function):
    path = as_keras_2_wrote_it(
        network(lambda x: x), tmp_path / "b.h5", [operation(function, [*X, {}])]
    )
    with pytest.raises(Unusable, match="of Keras 2 is not loaded by today's Keras") as refusal:
        load_model(path)
    assert not isinstance(refusal.value, Unsafe)


@pytest.mark.parametrize(
    "function", ["io.write_file", "io.read_file", "py_function", "", None, ["math.add"], {}]
)
def test_all_else_is_refused_as_before(tmp_path, function):
    made = operation("math.add", [*X, {"y": 1}])
    made["config"]["function"] = function
    with pytest.raises(Unsafe, match="is not on the allow-list"):
        load_model(as_keras_2_wrote_it(network(lambda x: x), tmp_path / "b.h5", [made]))


@pytest.mark.parametrize(
    "node",
    [
        [*X, {"y": "words"}],
        [*X, {"y": {"class_name": "Lambda"}}],
        [*X, {"y": 1, "name": "words"}],
        [*X, {"y": 1, "z": 1}],
        [*X, {}],
        [*X],
        ["_CONSTANT_VALUE", -1, "words", {"y": X}],
        ["../up", 0, 0, {"y": 1}],
        [],
    ],
)
def test_calls_with_anything_but_numbers_and_tensors_are_refused(tmp_path, node):
    path = as_keras_2_wrote_it(
        network(lambda x: x), tmp_path / "b.h5", [operation("math.add", node)]
    )
    with pytest.raises(Unsafe):
        load_model(path)
