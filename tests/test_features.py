"""What a network makes its answer of, told beside the answer."""

import keras
import numpy as np
import pytest
from keras import layers

from goodnet.networks.features import with_features

PIXELS = np.random.default_rng(0).uniform(0, 1, (5, 8, 8, 3)).astype(np.float32)


def trunk() -> list[keras.Layer]:
    return [layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()]


def by_hand(network: keras.Model, last: str) -> np.ndarray:
    return np.asarray(keras.Model(network.inputs, network.get_layer(last).input)(PIXELS))


@pytest.mark.parametrize("dropped", [False, True])
def test_features_are_what_the_last_dense_layer_takes_before_dropout(dropped):
    between = [layers.Dense(6, activation="relu", name="between")]
    end = [layers.Dropout(0.5), layers.Dropout(0.1)] if dropped else []
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), *trunk(), *between, *end, layers.Dense(3, name="last")]
    )
    answer, features = with_features(network)(PIXELS, training=True)
    expected = np.asarray(keras.Model(network.inputs, network.get_layer("between").output)(PIXELS))
    assert np.array_equal(features, expected) and features.shape == (5, 6)
    if not dropped:
        assert np.array_equal(answer, network(PIXELS))
        assert np.array_equal(features, by_hand(network, "last"))


def test_an_inner_network_is_looked_into_and_a_softmax_behind_it_passed_over():
    inner = keras.Sequential([keras.Input((8, 8, 3)), *trunk(), layers.Dense(3)])
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, layers.Softmax()(inner(image)))
    answer, features = with_features(network)(PIXELS)
    assert np.allclose(answer, network(PIXELS), atol=1e-6)
    assert np.array_equal(features, by_hand(inner, inner.layers[-1].name))


def test_the_weights_are_the_networks_own():
    network = keras.Sequential([keras.Input((8, 8, 3)), *trunk(), layers.Dense(3)])
    seeing = with_features(network)
    network.layers[0].kernel.assign(network.layers[0].kernel * 2)
    assert np.array_equal(seeing(PIXELS)[0], network(PIXELS))


def test_a_network_without_a_dense_layer_tells_its_answer_alone():
    network = keras.Sequential([keras.Input((8, 8, 3)), *trunk(), layers.Softmax()])
    assert with_features(network) is network
