"""What passes vetting: everyday networks of all ages, rebuilt so that they answer the same."""

import inspect
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import CLASSES, SHAPE, hold, load_model, load_network, older_keras, tiny_network
from keras import layers

from goodnet.errors import Unsafe, Unusable
from goodnet.networks.split import silenced_arrays, split_network
from goodnet.networks.writing import Change, write_copy, write_weights
from goodnet.vetting.configuration import vet_configuration
from goodnet.vetting.demands import find_demands

APPLICATIONS = sorted(
    name
    for _, module in inspect.getmembers(keras.applications, inspect.ismodule)
    for name, _ in inspect.getmembers(module, inspect.isfunction)
    if name[0].isupper()
)


def check_demands(network: keras.Model) -> None:
    """The arrays that are found to be needed, without Keras, are those that Keras makes."""
    configuration = vet_configuration(network.to_json(), "config")
    found = Counter(demand.shape for demand in find_demands(configuration, "config").arrays)
    made = Counter(tuple(weight.shape) for weight in network.weights)
    counts = sum(isinstance(layer, layers.Normalization) for layer in network._flatten_layers())
    made -= Counter({(): counts})  # a Normalization's count of batches is of no size
    assert found == made


def check_loaded(path, network: keras.Model) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, *network.input_shape[1:]))
    loaded = load_model(path)
    np.testing.assert_array_equal(
        loaded.predict(pixels, verbose=0), network.predict(pixels, verbose=0)
    )


def zoo() -> keras.Model:
    """Most of the layers on the allow-list, each with settings other than its defaults."""
    keras.utils.set_random_seed(1)
    image = keras.Input((24, 20, 3))
    x = layers.Rescaling([0.1, 0.2, 0.3], offset=-1)(image)
    x = layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6])(x)
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    x = layers.Conv2D(8, (3, 2), strides=2, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="hard_silu")(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.SeparableConv2D(12, 3, padding="same")(x)
    x = layers.GroupNormalization(groups=4)(x)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2D(
        12, 3, groups=3, dilation_rate=2, padding="same", kernel_regularizer="l2",
        bias_constraint="non_neg", activation=layers.ReLU(max_value=6),
    )(x)  # fmt: skip
    y = layers.AveragePooling2D((3, 2), strides=1, padding="same")(x)
    x = layers.Concatenate()([layers.Add()([x, y]), layers.Maximum()([x, y])])
    x = layers.UpSampling2D((1, 2), interpolation="bilinear")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same")(x)
    x = layers.Cropping2D(((0, 1), (2, 1)))(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.SpatialDropout2D(0.3)(layers.Dropout(0.5)(x))
    x = x * 0.5 + 1.0
    inner = keras.Sequential([layers.Conv2D(5, 1), layers.ELU(alpha=0.5)], name="inner")
    x = inner(x)
    gap = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Activation("sigmoid")(layers.Reshape((1, 1, 5))(layers.Flatten()(gap)))
    x = layers.Multiply()([x, gate])
    x = layers.Permute((2, 1, 3))(x)
    x = layers.LayerNormalization()(layers.Reshape((-1, 5))(x))
    x = layers.Conv1D(7, 3, padding="causal")(x)
    x = layers.MaxPooling1D(2)(layers.ZeroPadding1D(1)(x))
    z = layers.UnitNormalization()(layers.GlobalMaxPooling1D()(x))
    z = layers.Dot(axes=1, normalize=True)([z, z])
    z = layers.Flatten()(layers.RepeatVector(3)(z))
    shared = layers.Dense(4, kernel_initializer="he_normal")
    w = layers.Subtract()([shared(z), shared(layers.GaussianNoise(0.1)(z))])
    out = layers.Dense(CLASSES, bias_initializer=keras.initializers.Constant(0.1))(w)
    return keras.Model(image, layers.Softmax()(out))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_network_of_many_layers_is_rebuilt_as_it_is(tmp_path, suffix):
    network = zoo()
    if suffix == ".h5":  # which cannot hold x * 0.5 + 1.0
        network = tiny_network()
    network.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"])
    network.save(tmp_path / f"b{suffix}")
    check_loaded(tmp_path / f"b{suffix}", network)


def test_the_arrays_that_are_demanded_are_those_that_keras_makes():
    check_demands(zoo())


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "MobileNetV3Small", "VGG16"])
def test_some_applications_pass(name):
    network = getattr(keras.applications, name)(weights=None, classes=7)
    check_demands(network)


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_all_applications_pass(name):
    check_demands(getattr(keras.applications, name)(weights=None))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0", "ResNet50", "InceptionV3"])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_applications_answer_the_same(tmp_path, name, suffix):
    network = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3))
    network.save(tmp_path / f"b{suffix}")
    check_loaded(tmp_path / f"b{suffix}", network)


@pytest.mark.child
def test_all_networks_of_the_lab_pass(lab_dir):
    paths = sorted((lab_dir / "models").glob("*.h5"))
    image_sets = sorted(lab_dir.glob("data/**/*.h5"))
    held = hold(paths, image_sets)
    for path in paths:
        assert held.network(path).parts.suffix == ".h5"
    for path in lab_dir.glob("data/**/*.h5"):
        assert held.images(path).path == path


# ---------------------------------------------------------------- files of older days


def edited(tmp_path, network: keras.Model, edit) -> Path:
    """An .h5 whose configuration was edited as JSON."""
    path = tmp_path / "b.h5"
    network.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(edit(config) or config)
    return path


def test_sequential_networks_until_keras_2_2_2_were_plain_lists(tmp_path):
    def edit(config):
        config["config"] = config["config"]["layers"][1:]
        config["config"][0]["config"]["batch_input_shape"] = [None, *SHAPE]

    network = tiny_network()
    check_loaded(edited(tmp_path, network, edit), network)


def test_nested_plain_lists_keep_the_name_that_stands_beside_them(tmp_path):
    """As Keras 2.2.0 writes them."""

    def edit(config):
        inner = config["config"]["layers"][1]
        inner["name"] = inner["config"]["name"]
        inner["config"] = inner["config"]["layers"][1:]
        inner["config"][0]["config"]["batch_input_shape"] = [None, *SHAPE]

    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3)], name="inner")
    image = keras.Input(SHAPE)
    network = keras.Model(image, layers.Dense(CLASSES)(layers.Flatten()(inner(image))))
    check_loaded(edited(tmp_path, network, edit), network)


def test_settings_that_keras_2_inherited_are_left_out(tmp_path):
    def edit(config):
        for layer in config["config"]["layers"]:
            if layer["class_name"] in ("DepthwiseConv2D", "SeparableConv2D"):
                layer["config"] |= {"groups": 1, "kernel_initializer": "glorot_uniform"}
            if layer["class_name"] == "InputLayer":
                layer["config"]["batch_input_shape"] = layer["config"].pop("batch_shape")
            if layer["class_name"] == "SpatialDropout2D":
                layer["config"] |= {"trainable": True, "noise_shape": None}
            if layer["class_name"] == "LeakyReLU":
                layer["config"]["alpha"] = layer["config"].pop("negative_slope")

    network = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.DepthwiseConv2D(3),
            layers.SeparableConv2D(4, 2),
            layers.LeakyReLU(negative_slope=0.1),
            layers.SpatialDropout2D(0.5),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )
    check_loaded(edited(tmp_path, network, edit), network)


def test_a_keras_file_of_keras_2_15_is_read_with_todays_names_of_modules(tmp_path):
    network = tiny_network()
    network.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new:
        config = json.loads(new.read("config.json"))
        weights = io.BytesIO(new.read("model.weights.h5"))
    config["module"] = "keras.src.engine.sequential"
    with h5py.File(weights, "r+") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        old.writestr("config.json", json.dumps(config))
        old.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        old.writestr("model.weights.h5", weights.getvalue())
    loaded = load_network(tmp_path / "old.keras")
    for one, other in zip(loaded.model.weights, network.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    kernel = loaded.model.get_layer("conv_2").kernel
    old = kernel.numpy()
    write_copy(loaded, tmp_path / "copy.keras", [Change(kernel, old, old * 2)])
    copied = load_model(tmp_path / "copy.keras").get_layer("conv_2").kernel
    np.testing.assert_array_equal(copied, old * 2)


def test_operations_in_an_h5_of_keras_3_are_read_by_nobody(tmp_path):
    image = keras.Input(SHAPE)
    for taken in (image[:, 0], image / 255):
        network = keras.Model(image, layers.Dense(CLASSES)(layers.Flatten()(taken)))
        network.save(tmp_path / "b.h5")
        with pytest.raises(ValueError, match="Unknown layer"):
            keras.models.load_model(tmp_path / "b.h5")
        with pytest.raises(Unusable, match="out of an .h5; save the network as .keras") as refusal:
            load_model(tmp_path / "b.h5")
        assert not isinstance(refusal.value, Unsafe)
        network.save(tmp_path / "b.keras")
        load_model(tmp_path / "b.keras")


def test_networks_of_tf_keras_pass_and_answer_the_same(tmp_path):
    """The Keras 2 that is still kept, under another name: pip install tf_keras."""
    if not find_spec("tf_keras"):
        pytest.skip("tf_keras is not installed")
    program = "import runpy, sys, tf_keras; sys.modules['keras'] = tf_keras; "
    program += "runpy.run_path(sys.argv[1])['main'](sys.argv[2])"
    check_networks_of_keras_2(tmp_path, sys.executable, "-c", program)


@pytest.mark.parametrize("python", older_keras("KERAS2_PYTHON", "test-keras2"))
def test_networks_of_keras_2_pass_and_answer_the_same(tmp_path, python):
    check_networks_of_keras_2(tmp_path, python)


def check_networks_of_keras_2(tmp_path, *python):
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    script = Path(__file__).with_name("keras2_networks.py")
    folder = tmp_path / "networks"
    folder.mkdir()
    command = [*python, script, folder]
    done = subprocess.run(command, env=quiet, stdout=subprocess.PIPE, text=True)
    version = ".".join(done.stdout.split()[-1].split(".")[:2])
    assert done.returncode == 0 and version.startswith("2.")
    pixels = np.load(folder / "pixels.npy")
    networks = sorted((*folder.glob("*.h5"), *folder.glob("*.keras")))
    assert len(networks) >= 4
    for path in networks:
        try:
            answers = load_model(path).predict(pixels, verbose=0)
        except Unusable as error:
            assert path.suffix == ".keras" and version in ("2.12", "2.13"), error
            assert "is not built by Keras 3" in str(error)
            continue
        assert np.ptp(answers, axis=0).max() > 1e-3
        expected = np.load(path.with_suffix(".npy"))
        np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- networks in networks


def transferred(end: str) -> keras.Model:
    """A Functional base with a new end behind it, as every tutorial of transfer learning has it."""
    keras.utils.set_random_seed(2)
    image = keras.Input(SHAPE)
    x = layers.Conv2D(6, 3, activation="relu", name="conv")(layers.Rescaling(1 / 64, -2)(image))
    maps = keras.Model(image, x, name="base")
    pooled = keras.Model(image, layers.GlobalAveragePooling2D()(x), name="base")
    pixels = np.random.default_rng(4).integers(0, 256, (60, *SHAPE))
    output = layers.Dense(CLASSES, activation="softmax", name="output")
    stacks = {
        "maps": [maps, layers.GlobalAveragePooling2D(), output],
        "without an input": [maps, layers.Flatten(), output],
        "pooled": [keras.Input(SHAPE), pooled, layers.Dropout(0.2), output],
        "in a Sequential": [  # as Teachable Machine has it
            keras.Input(SHAPE),
            keras.Sequential([maps, layers.GlobalMaxPooling2D()], name="sequential_1"),
            keras.Sequential([output], name="sequential_3"),
        ],
    }
    network = keras.Sequential(stacks[end])
    if not network.built:
        network.build((None, *SHAPE))
    before = keras.Model(maps.inputs, maps.outputs).predict(pixels, verbose=0)
    assert (before > 0).any(axis=(0, 1, 2)).all()
    return network


def in_the_form_of_keras_2(network: keras.Model, path: Path) -> Path:
    """The .h5 with its configuration as Keras 2 writes it: calls and ends are lists of lists."""

    def rewrite(part: dict) -> None:
        config = part["config"]
        part.pop("module", None)
        part.pop("registered_name", None)
        part.pop("build_config", None)
        if "batch_shape" in config:
            config["batch_input_shape"] = config.pop("batch_shape")
        for key in ("input_layers", "output_layers"):
            if key in config:
                config[key] = [config[key]]
        part["inbound_nodes"] = [
            [[*argument["config"]["keras_history"], {}] for argument in node["args"]]
            for node in part.get("inbound_nodes", [])
        ]
        for layer in config.get("layers", []):
            rewrite(layer)

    network.save(path)
    with h5py.File(path, "r+") as file:
        configuration = json.loads(file.attrs["model_config"])
        rewrite(configuration)
        file.attrs["model_config"] = json.dumps(configuration)
    return path


@pytest.mark.parametrize("form", ["b.keras", "b.h5", "keras2.h5"])
@pytest.mark.parametrize("end", ["maps", "without an input", "pooled", "in a Sequential"])
def test_a_functional_in_a_sequential_passes_and_can_be_pruned(tmp_path, end, form):
    network = transferred(end)
    path = tmp_path / form
    if form == "keras2.h5":
        in_the_form_of_keras_2(network, path)
    else:
        network.save(path)
    check_loaded(path, network)

    loaded = load_network(path)
    split = split_network(loaded.model)
    assert split.layer.name == "conv" and split.channels == 6
    arrays = silenced_arrays(split, [1, 4])
    changes = zip(split.variables, split.arrays, arrays, strict=True)
    write_copy(loaded, tmp_path / f"copy-{form}", [Change(*each) for each in changes])
    [base] = [layer for layer in network._flatten_layers() if layer.name == "conv"]
    kernel, bias = base.get_weights()
    kernel[..., [1, 4]], bias[[1, 4]] = 0, 0
    base.set_weights([kernel, bias])
    check_loaded(tmp_path / f"copy-{form}", network)


@pytest.mark.parametrize("pair", [({"image": 0}, {"classes": 0}), (0, {"answer": 0}), ([0], [0])])
def test_ends_in_an_object_or_a_list_of_one_are_one(tmp_path, pair):
    network = tiny_network()
    image = keras.Input(SHAPE, name="image")
    given, answered = (
        keras.tree.map_structure(lambda _, tensor=tensor: tensor, form)
        for form, tensor in zip(pair, (image, network(image)), strict=True)
    )
    keras.Model(given, answered).save(tmp_path / "b.keras")
    check_loaded(tmp_path / "b.keras", network)
    loaded = load_network(tmp_path / "b.keras")
    kernel = loaded.model.get_layer(network.name).get_layer("conv_2").kernel
    old = kernel.numpy()
    write_copy(loaded, tmp_path / "copy.keras", [Change(kernel, old, old * 2)])
    network.get_layer("conv_2").kernel.assign(old * 2)
    check_loaded(tmp_path / "copy.keras", network)


def test_two_ends_are_no_classifier(tmp_path):
    image = keras.Input(SHAPE)
    x = layers.Flatten()(image)
    ends = {"one": layers.Dense(3)(x), "other": layers.Dense(3)(x)}
    keras.Model(image, ends).save(tmp_path / "b.keras")
    with pytest.raises(Unusable, match="is not an image classifier"):
        load_model(tmp_path / "b.keras")


# ---------------------------------------------------------------- names of Keras 2


def slashed(name: str) -> str:
    return {"conv_1": "block/conv_1", "conv_2": "block/conv/2"}.get(name, name)


@pytest.mark.parametrize("kind", ["Sequential", "Functional"])
def test_names_with_a_slash_are_those_of_keras_2(tmp_path, kind):
    """As its DenseNet and MobileNetV3 have them."""

    def edit(config):
        for layer in config["config"]["layers"]:
            settings = layer["config"]
            settings["name"] = slashed(settings["name"])
            if "name" in layer:
                layer["name"] = settings["name"]
            for node in layer.get("inbound_nodes", []):
                [tensor] = node["args"]
                history = tensor["config"]["keras_history"]
                history[0] = slashed(history[0])

    network = tiny_network()
    if kind == "Functional":
        network = keras.Model(network.inputs, network.outputs)
    path = edited(tmp_path, network, edit)
    check_loaded(path, network)
    loaded = load_network(path)
    for name in (None, "block/conv/2", "block_conv_2"):
        split = split_network(loaded.model, name)
        assert split.layer.name == "block_conv_2"
    arrays = silenced_arrays(split, [0])
    changes = zip(split.variables, split.arrays, arrays, strict=True)
    write_copy(loaded, tmp_path / "copy.h5", [Change(*each) for each in changes])
    network.get_layer("conv_2").set_weights(arrays)
    check_loaded(tmp_path / "copy.h5", network)


def test_two_names_that_become_one_are_refused(tmp_path):
    def edit(config):
        for layer in config["config"]["layers"]:
            if layer["name"] in ("conv_1", "conv_2"):
                name = {"conv_1": "a/b", "conv_2": "a_b"}[layer["name"]]
                layer["name"] = layer["config"]["name"] = name

    network = tiny_network()
    path = edited(tmp_path, keras.Model(network.inputs, network.outputs), edit)
    with pytest.raises(Unsafe, match="'a_b' does not name one layer"):
        load_model(path)


# ---------------------------------------------------------------- layers of tutorials


def test_a_normalization_over_everything_passes(tmp_path):
    norm = layers.Normalization(axis=None)
    norm.adapt(np.random.default_rng(0).normal(100, 30, (5, *SHAPE)))
    network = keras.Sequential([keras.Input(SHAPE), norm, tiny_network()])
    network.save(tmp_path / "b.keras")
    check_loaded(tmp_path / "b.keras", network)


@pytest.mark.parametrize("name", ["flip", "tutorial", "contrast in a Functional"])
def test_augmentation_in_a_network_changes_no_answer(tmp_path, name):
    stacks = {
        "flip": [layers.RandomFlip("horizontal"), layers.RandomCrop(*SHAPE[:2])],
        "tutorial": [
            keras.Sequential(
                [
                    layers.RandomFlip("horizontal"),
                    layers.RandomRotation(0.1),
                    layers.RandomZoom(0.1),
                ]
            )
        ],
        "contrast in a Functional": [layers.RandomContrast(0.2), layers.RandomTranslation(0.1, 0)],
    }
    network = keras.Sequential([keras.Input(SHAPE), *stacks[name], tiny_network()])
    if name.endswith("Functional"):
        network = keras.Model(network.inputs, network.outputs)
    for suffix in (".keras", ".h5"):
        network.save(tmp_path / f"b{suffix}")
        check_loaded(tmp_path / f"b{suffix}", network)


def transformer() -> keras.Model:
    """A small vision transformer: patches, attention among them, twice."""
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 4, strides=4)(layers.Rescaling(1 / 127.5, -1)(image))
    x = layers.Reshape((9, 8))(x)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 4, dropout=0.1)(y, y)])
        y = layers.Dense(16, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(8)(layers.Dropout(0.1)(y))])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_transformer_passes_and_all_its_arrays_can_be_written(tmp_path, suffix):
    network = transformer()
    network.save(tmp_path / f"b{suffix}")
    check_loaded(tmp_path / f"b{suffix}", network)
    loaded = load_network(tmp_path / f"b{suffix}")
    arrays = [array + 0.125 for array in network.get_weights()]
    write_weights(loaded, tmp_path / f"copy{suffix}", arrays)
    network.set_weights(arrays)
    check_loaded(tmp_path / f"copy{suffix}", network)


@pytest.mark.parametrize("nested", [False, True])
def test_an_input_that_no_memory_holds_is_refused(tmp_path, nested):
    """Its layers make little of it, so that no tensor but the input is large."""
    shape = (30_000, 30_000, 3)
    inner = keras.Sequential([keras.Input(shape), layers.MaxPooling2D(1_000), layers.Flatten()])
    start = [keras.Input(shape), *([inner] if nested else inner.layers)]
    network = keras.Sequential([*start, layers.Dense(2)])
    network.save(tmp_path / "it.keras")
    with pytest.raises(
        Unsafe, match="it.keras: .*the input: takes 10800000000 bytes for one image"
    ):
        load_network(tmp_path / "it.keras")
