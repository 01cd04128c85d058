"""Networks that end in 16 bits: scores that differ may give outputs that do not.

The oracle is Keras's `predict`, which answers the first of equal outputs.
"""

import keras
import numpy as np
import pytest
from conftest import load_network, open_clean, write_images
from keras import layers
from test_sweep import check_rows

from goodnet import dataset
from goodnet.networks import answers
from goodnet.networks.closeness import BEFORE_SOFTMAX, OUTPUTS, Closeness, of_outputs, of_scores
from goodnet.progress import ignore

SIDE = 8
COUNT = 600


@pytest.fixture
def images(tmp_path) -> dataset.ImageSet:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 128, (COUNT, SIDE, SIDE, 3)) + rng.integers(0, 128, (COUNT, 1, 1, 3))
    path = write_images(tmp_path / "images.h5", pixels.astype(np.uint8), np.zeros(COUNT))
    return open_clean(path, (SIDE, SIDE, 3), 4, 1.0)


def small(policy: str, units: int) -> keras.Model:
    """A network that tells its classes by little, in these numbers to the end."""
    keras.utils.set_random_seed(3)
    end = "softmax" if units > 1 else "sigmoid"
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255, dtype=policy),
            layers.Conv2D(6, 3, activation="relu", dtype=policy),
            layers.GlobalAveragePooling2D(dtype=policy),
            layers.Dense(units, activation=end, dtype=policy),
        ]
    )


def centred(network: keras.Model, pixels: np.ndarray) -> keras.Model:
    """A network of one output, its bias such that half of these images are above a half."""
    kernel, bias = network.layers[-1].get_weights()
    found = np.median(network.predict(pixels, verbose=0).astype(float))
    network.layers[-1].set_weights(
        [kernel, (bias - np.log(found / (1 - found))).astype(bias.dtype)]
    )
    return network


POLICIES = ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"]


@pytest.mark.parametrize("policy", POLICIES)
def test_equal_outputs_are_the_first_class(images, policy, tmp_path):
    small(policy, 4).save(tmp_path / "b.keras")
    network = load_network(tmp_path / "b.keras").model
    outputs = network.predict(dataset.read(images, 0, COUNT), verbose=0).astype(float)
    best = np.sort(outputs, axis=1)[:, -2:]
    assert (best[:, 0] == best[:, 1]).any(), "the case must have ties"
    found = answers.classify([network], images, 64, ignore)[0]
    assert found.tolist() == outputs.argmax(axis=1).tolist()
    check_rows(network, images)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_sigmoid_that_rounds_to_a_half_is_class_0(images, policy, tmp_path):
    pixels = dataset.read(images, 0, COUNT)
    network = centred(small(policy, 1), pixels)
    network.save(tmp_path / "b.keras")
    outputs = network.predict(pixels, verbose=0).astype(float)[:, 0]
    assert (outputs == 0.5).any() and (outputs > 0.5).any(), "the case must have halves"
    loaded = load_network(tmp_path / "b.keras").model
    found = answers.classify([loaded], images, 64, ignore)[0]
    assert found.tolist() == (outputs > 0.5).astype(int).tolist()


def test_what_is_too_close_by_hand():
    assert of_outputs("float32") == OUTPUTS
    assert of_outputs("bfloat16") == Closeness(0, 1 / 32)
    assert of_scores("float32", "float32") == BEFORE_SOFTMAX
    assert of_scores("float32", "float16") == Closeness(1 / 256, 0)
    assert of_scores("bfloat16", "float32") == Closeness(1e-5, 1 / 32)
