"""Every row of the sweep against the plain Keras loop, on many kinds of network.

The oracle is what everybody writes: silence, `predict` with its default batches, again.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    load_model,
    open_backdoored,
    open_clean,
    random_images,
    tiny_network,
    write_images,
)
from keras import layers
from keras.src.applications.densenet import DenseNet

from goodnet import dataset
from goodnet.lab import find_lab
from goodnet.networks import answers
from goodnet.networks.closeness import Closeness
from goodnet.networks.loading import count_classes, input_shape
from goodnet.networks.split import Split, silence, split_network
from goodnet.pruning import head, sweeping

CIFAR = (32, 32, 3)


def ignore(amount: int) -> None:
    pass


def swept(split: Split, images: dataset.ImageSet, order, batch_size: int = 64) -> np.ndarray:
    """The sweep's classes, (channels + 1, n)."""
    features = sweeping.features(split, images, batch_size)
    sweep = sweeping.Sweep(split, head.head_of(split.head), order, batch_size)
    return np.hstack(list(sweeping.class_rows(sweep, images, features)))


def check_rows(network: keras.Model, images: dataset.ImageSet, rows: int | None = None) -> Split:
    """Compare `rows` of the sweep's rows (all without a number) with the plain loop's."""
    split = split_network(network)
    pixels = dataset.read(images, 0, len(images))
    order = np.random.default_rng(1).permutation(split.channels).tolist()
    found = swept(split, images, order)
    assert found.shape == (split.channels + 1, len(images))
    asked = range(split.channels + 1)
    if rows:
        asked = np.unique(np.linspace(0, split.channels, rows).astype(int)).tolist()
    for pruned in asked:
        silence(split, order[:pruned])
        expected = network.predict(pixels, verbose=0).argmax(axis=1)
        assert found[pruned].tolist() == expected.tolist(), f"{pruned} channels pruned"
    silence(split, ())
    assert len({tuple(row) for row in found[asked]}) > 3, "the case must change answers"
    return split


def image_set(path: Path, shape: tuple[int, int, int], n: int, classes: int) -> dataset.ImageSet:
    generator = np.random.default_rng(0)
    # Blotches: images of which a network makes different things.
    coarse = generator.normal(128, 60, (n, 4, 4, 3)).repeat(shape[0] // 4, 1)
    pixels = coarse.repeat(shape[1] // 4, 2) + generator.normal(0, 20, (n, *shape))
    path = write_images(path, pixels.clip(0, 255).astype(np.uint8), np.zeros(n))
    return open_clean(path, shape, classes, 1)


def varied(network: keras.Model, images: dataset.ImageSet) -> keras.Model:
    """Give a network without training weights with which its answers differ between images."""
    generator = np.random.default_rng(3)
    pixels = dataset.read(images, 0, len(images))
    for layer in network._flatten_layers():
        if getattr(layer, "bias", None) is not None:  # so that some channels fire here, not there
            layer.bias.assign(generator.normal(-0.3, 0.5, layer.bias.shape))
    norms = [x for x in network._flatten_layers() if isinstance(x, layers.BatchNormalization)]
    for norm in norms:
        norm.beta.assign(generator.normal(0.1, 0.3, norm.beta.shape))
        norm.momentum = 0  # a run in training mode leaves the statistics of these images
    network(pixels, training=True)
    last = network.layers[-1]
    before = keras.Model(network.inputs, last._inbound_nodes[0].input_tensors[0])
    seen = before.predict(pixels, verbose=0)
    kernel = generator.normal(0, 1, last.kernel.shape) / seen.std(axis=0).mean()
    last.kernel.assign(kernel / np.sqrt(len(kernel)) * 3)
    last.bias.assign(-seen.mean(axis=0) @ keras.ops.convert_to_numpy(last.kernel))
    return network


def stacked(*stack, end: str | None = "softmax") -> keras.Model:
    """A Sequential network of CIFAR's size."""
    return keras.Sequential(
        [
            keras.Input(CIFAR),
            layers.Rescaling(1 / 64, -2),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            *stack,
            layers.Dense(10, activation=end),
        ]
    )


def several_heads() -> keras.Model:
    """As in a DeepID: two layers take the measured features, a third comes behind them."""
    image = keras.Input(CIFAR)
    x = layers.Conv2D(12, 5, strides=2, activation="relu")(layers.Rescaling(1 / 64, -2)(image))
    x = layers.MaxPooling2D()(x)
    near = layers.Dense(16, activation="tanh")(layers.Flatten()(x))
    far = layers.Conv2D(6, 2, strides=2, padding="same", activation="relu")(x)
    far = layers.Dense(16, use_bias=False)(layers.Dropout(0.2)(layers.Flatten()(far)))
    # Names that Keras gives by itself, as old files have them: they must not clash.
    x = layers.Activation("relu", name="activation")(layers.Add(name="add")([near, far]))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


SMALL = {
    "flat, softmax": lambda: stacked(
        layers.Conv2D(12, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()
    ),
    "flat, linear end": lambda: stacked(
        layers.Conv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(20, activation="relu"),
        end=None,
    ),
    "batch norm": lambda: stacked(
        layers.Conv2D(12, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.3),
    ),
    "separable": lambda: stacked(
        layers.SeparableConv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(6, 3, dilation_rate=2, activation="relu"),
        layers.Flatten(),
    ),
    "depthwise": lambda: stacked(
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.AveragePooling2D(2),
        layers.Flatten(),
    ),
    "batch norm behind the flattening": lambda: stacked(
        layers.Conv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.BatchNormalization(),
    ),
    "mixed bfloat16": lambda: stacked(
        layers.Conv2D(12, 3, activation="relu", dtype="mixed_bfloat16"),
        layers.MaxPooling2D(dtype="mixed_bfloat16"),
        layers.Flatten(dtype="mixed_bfloat16"),
    ),
    "mixed bfloat16 to the end": lambda: stacked(
        layers.Conv2D(12, 3, activation="relu", dtype="mixed_bfloat16"),
        layers.GlobalAveragePooling2D(dtype="mixed_bfloat16"),
        layers.Dense(20, activation="relu", dtype="mixed_bfloat16"),
        layers.Activation("linear", dtype="mixed_bfloat16"),
    ),
    "several heads": several_heads,
}


def small(name: str) -> keras.Model:
    keras.utils.set_random_seed(1)
    return SMALL[name]()


@pytest.mark.parametrize(
    "name, suffix",
    # test_goodnet.py has .keras files of all of them.
    [*((name, ".h5") for name in SMALL), ("several heads", ".keras")],
)
def test_small_networks_of_every_kind(tmp_path, name, suffix):
    images = image_set(tmp_path / "images.h5", CIFAR, 75, 10)
    path = tmp_path / f"network{suffix}"
    varied(small(name), images).save(path)
    check_rows(load_model(path), images)


def application(name: str, make: Callable | None = None, **options) -> keras.Model:
    """A network of keras.applications, or of what `make` makes, which tells ten classes apart."""
    keras.utils.set_random_seed(1)
    image = keras.Input(CIFAR)
    make = make or getattr(keras.applications, name)
    body = make(include_top=False, weights=None, input_shape=CIFAR, **options)
    x = body(layers.Rescaling(1 / 64)(image))
    if name == "VGG16":
        x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    else:
        x = layers.GlobalAveragePooling2D(name="last_pooling")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


APPLICATIONS = {
    # the layer it is, and whether something runs past the measuring point
    "VGG16": ("block5_conv3", False),
    "ResNet50": ("last_pooling", False),
    "MobileNetV2": ("Conv_1", False),
    "EfficientNetB0": ("top_conv", False),
    "DenseNet121": ("last_pooling", False),
}


def check_application(tmp_path: Path, network: keras.Model, rows: int | None) -> tuple[str, bool]:
    """Check a network; the layer it is, and whether something runs past the measuring point."""
    images = image_set(tmp_path / "images.h5", CIFAR, 40, 10)
    split = check_rows(varied(network, images), images, rows)
    return split.layer.name, len(split.trunk.outputs) > 1


def test_some_rows_of_a_short_densenet(tmp_path):
    network = application("DenseNet", DenseNet, blocks=[1, 1, 1, 2])
    assert check_application(tmp_path, network, 14) == APPLICATIONS["DenseNet121"]


def test_some_rows_of_a_slim_mobilenet(tmp_path):
    network = application("MobileNetV2", alpha=0.35)
    assert check_application(tmp_path, network, 8) == APPLICATIONS["MobileNetV2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_row_of_known_networks(tmp_path, name):
    assert check_application(tmp_path, application(name), None) == APPLICATIONS[name]


def doubled(difference: float, common: float = 0) -> keras.Model:
    """Every class has a double whose weights differ a little; `common` is added to all weights."""
    network = tiny_network(classes=2 * CLASSES)
    kernel, bias = network.layers[-1].get_weights()
    kernel[:, CLASSES:] = kernel[:, :CLASSES] * (
        1 + np.random.default_rng(0).normal(0, difference, (len(kernel), CLASSES))
    )
    network.layers[-1].set_weights([kernel + common, bias])
    return network


@pytest.mark.parametrize("end", ["Softmax", "Activation", "Dense", "linear", "nested"])
def test_scores_are_what_a_closing_softmax_takes(end):
    generator = np.random.default_rng(0)
    values = generator.normal(0, 3, (20, 4)).astype(np.float32)
    close = {
        "Softmax": [layers.Softmax()],
        "Activation": [layers.Activation("softmax")],
        "Dense": [layers.Dense(6, activation="softmax")],
        "linear": [layers.Dense(6)],
        "nested": [keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.Softmax()])],
    }[end]
    network = keras.Sequential([keras.Input((4,)), *close])
    scorer = answers.scorer_of(network)
    scores, closeness = scorer.network, scorer.closeness
    found = scores.predict_on_batch(values)
    if end in ("linear", "nested"):
        assert scores is network and closeness == Closeness(0, 1e-5)
    else:
        assert closeness == Closeness(1e-5, 0)
        kernel, bias = close[-1].get_weights() if end == "Dense" else (np.eye(4), 0)
        np.testing.assert_allclose(found, values @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_a_softmax_right_behind_the_measuring_point(tmp_path):
    keras.utils.set_random_seed(4)
    convolution = [layers.Conv2D(10, 3, bias_initializer="random_normal")]
    end = [layers.GlobalAveragePooling2D(), layers.Softmax()]
    network = keras.Sequential([keras.Input(CIFAR), layers.Rescaling(1 / 64), *convolution, *end])
    check_rows(network, image_set(tmp_path / "images.h5", CIFAR, 60, 10))


# With large numbers in all scores alike, rounding is larger than what is always too close to call.
@pytest.mark.parametrize(("difference", "common"), [(1e-7, 0), (1e-3, 1e4)])
def test_what_is_too_close_to_call_is_what_the_plain_computation_says(
    tmp_path, monkeypatch, difference, common
):
    path = write_images(tmp_path / "images.h5", random_images(150), np.zeros(150))
    images = open_clean(path, SHAPE, 2 * CLASSES, 1)
    check_rows(doubled(difference, common), images)
    monkeypatch.setattr(sweeping, "allowing", lambda closeness, ours, plain: closeness)
    if not common:  # the usual rule is enough
        check_rows(doubled(difference, common), images)
        unsure = Closeness(-1, 0)
        monkeypatch.setattr(head, "scorer_of", lambda network: answers.Scorer(network, unsure))
    with pytest.raises(AssertionError, match="channels pruned"):
        check_rows(doubled(difference, common), images)


def test_the_plain_computation_is_that_of_predict(tmp_path):
    path = write_images(tmp_path / "images.h5", random_images(75), np.zeros(75))
    images = open_clean(path, SHAPE, CLASSES, 1)
    network = doubled(1e-7)
    whole = network.predict(dataset.read(images, 0, 75), verbose=0)
    for start in range(0, 75, answers.PLAIN_BATCH):
        pixels = dataset.read(images, start, min(start + answers.PLAIN_BATCH, 75))
        block = network.predict_on_batch(pixels)
        assert block.tobytes() == whole[start : start + answers.PLAIN_BATCH].tobytes()
    indices = np.array([0, 31, 32, 74])
    assert answers.plain_classes(network, images, indices).tolist() == (
        whole.argmax(axis=1)[indices].tolist()
    )


def one_position() -> keras.Model:
    """One image alone is computed in another way than several: its convs end at one position."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 64, -2),
            layers.Conv2D(32, SHAPE[:2], activation="relu"),
            layers.Conv2D(24, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def test_an_image_alone_is_computed_as_among_others():
    network, pixels = one_position(), random_images(32).astype(np.float32)
    [among_others] = answers.compute(network, pixels)
    assert (network.predict_on_batch(pixels[:1]) != among_others[:1]).any()
    for count in (1, 7):
        [few] = answers.compute(network, pixels[:count])
        assert few.tobytes() == among_others[:count].tobytes()


def test_the_result_does_not_depend_on_how_it_is_computed_or_stored(tmp_path):
    pixels = random_images(139)
    split = split_network(one_position())
    labels = split.network.predict(pixels, verbose=0).argmax(axis=1)

    def result(batch_size: int, last: bool = False, **options) -> dict:
        path = tmp_path / "valid.h5"
        write_images(path, pixels, labels, **options)
        if last:
            with h5py.File(path, "w") as file:
                file["data"], file["label"] = pixels, labels
        valid = open_clean(path, SHAPE, CLASSES, 1)
        found = sweeping.prune(
            split, head.head_of(split.head), valid, [Fraction(10)], batch_size, ignore
        )
        rows = {name: np.asarray(row).tolist() for name, row in asdict(found.valid).items()}
        return asdict(found) | {"valid": rows}

    first = result(64)
    for batch_size in (1, 7, 33, 1024):
        assert result(batch_size) == first
    for dtype in ("float32", "float64"):
        assert result(64, dtype=dtype) == first
    assert result(64, chunks=(5, 1, 7, 12), compression="gzip", shuffle=True) == first
    assert result(64, last=True) == first


def test_a_front_too_large_is_not_built(tmp_path, monkeypatch):
    images = image_set(tmp_path / "images.h5", CIFAR, 40, 10)
    network = varied(small("flat, softmax"), images)
    split = split_network(network)
    assert head.head_of(split.head).start.shape == (10,)  # the classes, from pooling through flat
    monkeypatch.setattr(head, "SHARES_LIMIT", 1000)
    assert head.head_of(split.head).start.shape == (6, 6, 12)
    check_rows(network, images)


ON_ANOTHER_BACKEND = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from test_sweep import *
assert keras.backend.backend() == {backend!r}
for name in ("several heads", "batch norm behind the flattening"):
    images = image_set(Path({folder!r}) / "images.h5", CIFAR, 40, 10)
    check_rows(varied(small(name), images), images)
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_the_sweep_on_jax(tmp_path):
    code = ON_ANOTHER_BACKEND.format(root=str(ROOT), backend="jax", folder=str(tmp_path))
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_all_rows_on_the_labs_images(lab_dir):
    lab = find_lab(lab_dir)
    network = load_model(lab.network)
    fit = input_shape(network), count_classes(network), 1
    for images in (
        open_clean(lab.clean_valid, *fit),
        open_clean(lab.clean_test, *fit),
        open_backdoored(lab.backdoored_test, *fit),
    ):
        check_rows(network, images)
