"""Which layer is pruned, where it is measured, and that silencing is exact."""

import keras
import numpy as np
import pytest
from conftest import tiny_network
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.deepid import deepid
from goodnet.networks.split import silence, silenced_arrays, split_network


def network_of(*stack, shape=(16, 16, 3), classes=4) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input(shape), *stack, layers.Flatten(), layers.Dense(classes, activation="softmax")]
    )


def randomise(network: keras.Model) -> keras.Model:
    """Give batch norms and biases values that pruning has to deal with."""
    generator = np.random.default_rng(2)
    network.set_weights([generator.normal(0.3, 0.5, w.shape) ** 2 for w in network.get_weights()])
    return network


def test_deepid_is_pruned_at_conv_3_and_measured_at_pool_3():
    split = split_network(deepid(7))
    assert (split.layer.name, split.measured_at, split.channels) == ("conv_3", "pool_3", 60)


def test_another_layer_can_be_named():
    split = split_network(deepid(7), "conv_4")
    # Behind conv_4 comes Flatten, which mixes positions into channels: the chain ends there.
    assert (split.layer.name, split.measured_at, split.channels) == ("conv_4", "conv_4", 80)
    with pytest.raises(Unusable, match="conv_9.*conv_1, conv_2, conv_3, conv_4"):
        split_network(deepid(7), "conv_9")


def test_the_chain_goes_through_batch_norm_activation_and_global_pooling():
    network = network_of(
        layers.Conv2D(5, 3, name="conv"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.5),
        layers.GlobalAveragePooling2D(name="gap"),
    )
    split = split_network(network)
    assert (split.layer.name, split.measured_at) == ("conv", "gap")


def test_without_pooling_it_is_the_last_conv():
    network = network_of(layers.Conv2D(5, 3, name="a"), layers.Conv2D(6, 3, name="b"))
    assert split_network(network).layer.name == "b"


def residual_network() -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3))
    start = layers.Conv2D(6, 3, padding="same", activation="relu", name="start")(image)
    x = layers.Conv2D(6, 3, padding="same", name="inner")(start)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(layers.Add()([x, start]))
    x = layers.GlobalAveragePooling2D()(x)
    return randomise(keras.Model(image, layers.Dense(4, activation="softmax")(x)))


def test_other_tensors_run_past_the_measuring_point():
    split = split_network(residual_network())
    assert (split.layer.name, split.measured_at) == ("inner", "norm")
    assert len(split.trunk.outputs) == 2


STACKS = {
    "conv": lambda: [layers.Conv2D(6, 3, activation="relu"), layers.MaxPooling2D()],
    "no bias": lambda: [layers.Conv2D(6, 3, use_bias=False), layers.AveragePooling2D(2)],
    "batch norm": lambda: [
        layers.Conv2D(6, 3),
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.MaxPooling2D(),
    ],
    "batch norm behind the activation": lambda: [
        layers.Conv2D(6, 3, activation="relu"),
        layers.BatchNormalization(scale=False),
        layers.MaxPooling2D(),
    ],
    "separable": lambda: [layers.SeparableConv2D(6, 3, depth_multiplier=2), layers.MaxPooling2D()],
    "depthwise": lambda: [
        layers.Conv2D(3, 1),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
    ],
    "grouped": lambda: [
        layers.Conv2D(4, 1),
        layers.Conv2D(6, 3, groups=2),
        layers.GlobalMaxPooling2D(),
    ],
}


@pytest.mark.parametrize("name", STACKS)
def test_silencing_zeroes_one_channel_and_leaves_the_others(name):
    network = randomise(network_of(*STACKS[name]()))
    split = split_network(network)
    images = np.random.default_rng(0).normal(0, 1, (3, 16, 16, 3)).astype(np.float32)
    before = np.asarray(split.trunk(images)[0])
    assert (before != 0).any(axis=tuple(range(before.ndim - 1))).all(), "every channel must fire"
    whole = network.get_weights()
    for channel in (0, 4):
        silence(split, [channel])
        after = np.asarray(split.trunk(images)[0])
        assert (after[..., channel] == 0).all()
        np.testing.assert_array_equal(
            np.delete(after, channel, axis=-1), np.delete(before, channel, axis=-1)
        )
    silence(split, ())
    for now, then in zip(network.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("name", STACKS)
def test_trunk_and_head_make_the_network(name):
    network = randomise(network_of(*STACKS[name]()))
    split = split_network(network)
    images = np.random.default_rng(0).normal(0, 1, (3, 16, 16, 3)).astype(np.float32)
    whole = np.asarray(network(images))
    np.testing.assert_allclose(np.asarray(split.head(split.trunk(images))), whole, rtol=1e-5)


def test_a_network_nested_in_a_network_is_split_inside():
    keras.utils.set_random_seed(4)
    base = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(6, 3, activation="relu", name="inner")]
    )
    image = keras.Input((16, 16, 3))
    x = layers.MaxPooling2D()(base(layers.Rescaling(0.5)(image)))
    network = keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))
    split = split_network(network)
    assert split.layer.name == "inner"
    images = np.random.default_rng(0).normal(0, 1, (3, 16, 16, 3)).astype(np.float32)
    silence(split, [1, 2])
    np.testing.assert_allclose(
        np.asarray(split.head(split.trunk(images))), np.asarray(network(images)), rtol=1e-5
    )


def test_silenced_arrays_do_not_touch_the_network():
    network = tiny_network()
    split = split_network(network)
    before = [array.copy() for array in network.get_weights()]
    kernel, bias = silenced_arrays(split, [1])
    assert not kernel[..., 1].any() and bias[1] == 0 and kernel[..., 0].any()
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        ([layers.Conv2D(5, 3, activation="sigmoid"), layers.MaxPooling2D()], "still answers 0.5"),
        ([layers.Conv2D(5, 3, activation="softmax"), layers.MaxPooling2D()], "still answers 0.2"),
        ([layers.MaxPooling2D()], "no conv layer comes before"),
        ([], "has no conv layer"),
    ],
)
def test_what_cannot_be_pruned_exactly_is_refused(stack, reason):
    with pytest.raises(Unusable, match=reason):
        split_network(network_of(*stack))


def test_a_layer_used_twice_is_refused():
    image = keras.Input((16, 16, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    x = layers.MaxPooling2D()(shared(shared(image)))
    network = keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))
    with pytest.raises(Unusable, match="shared is used 2 times"):
        split_network(network)
