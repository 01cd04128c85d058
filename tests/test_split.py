"""Which layer is pruned, where it is measured, and that silencing is exact."""

import keras
import numpy as np
import pytest
from conftest import tiny_network, write_images
from keras import layers
from test_sweep import image_set, varied

from goodnet import dataset
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


def residual_network(*behind, pooling=layers.GlobalAveragePooling2D) -> keras.Model:
    """A sum of two tensors of six channels, a pooling, and a classifier."""
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3))
    start = layers.Conv2D(6, 3, padding="same", activation="relu", name="start")(image)
    x = layers.Conv2D(6, 3, padding="same", name="inner")(start)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(layers.Add(name="sum")([x, start]))
    x = pooling(name="last_pooling")(x)
    for layer in behind:
        x = layer(x)
    x = layers.Dense(4, name="classifier")(x)
    return randomise(keras.Model(image, x))


def test_other_tensors_run_past_the_measuring_point():
    split = split_network(residual_network(), "inner")
    assert (split.layer.name, split.measured_at) == ("inner", "norm")
    assert len(split.trunk.outputs) == 2


# What stands between the last pooling and the kernel in which its channels are silenced.
ENTERING = {
    "global": ("classifier", layers.GlobalAveragePooling2D, lambda: [layers.Dropout(0.5)]),
    "positions": ("classifier", layers.MaxPooling2D, lambda: [layers.Flatten()]),
    "batch norm": (
        "classifier",
        layers.GlobalMaxPooling2D,
        lambda: [layers.BatchNormalization(), layers.Activation("sigmoid")],
    ),
    "conv": (
        "taking",
        layers.MaxPooling2D,
        lambda: [layers.Conv2D(5, 3, activation="relu", name="taking"), layers.Flatten()],
    ),
    "reshaped": (
        "classifier",
        layers.GlobalMaxPooling2D,
        lambda: [layers.Reshape((1, 1, 6)), layers.Flatten()],
    ),
}


@pytest.mark.parametrize("name", ENTERING)
def test_channels_of_a_sum_are_silenced_where_they_enter_the_classifier(name):
    """The oracle: the same network with a layer that multiplies these channels by 0."""
    taking, pooling, make_behind = ENTERING[name]
    behind = make_behind()
    network = residual_network(*behind, pooling=pooling)
    split = split_network(network)
    assert (split.layer.name, split.silenced_in, split.channels) == ("last_pooling", taking, 6)
    last = 2 if name == "batch norm" else 0  # so many layers behind the pooling keep channels apart
    mask = np.ones(6)
    mask[[1, 4]] = 0
    masked = residual_network(
        *behind[:last], layers.Rescaling(mask.tolist()), *behind[last:], pooling=pooling
    )
    masked.set_weights(network.get_weights())
    images = np.random.default_rng(0).normal(0, 1, (5, 16, 16, 3)).astype(np.float32)
    whole = network.predict(images, verbose=0)
    silence(split, [1, 4])
    silenced = network.predict(images, verbose=0)
    np.testing.assert_allclose(silenced, masked.predict(images, verbose=0), rtol=1e-5)
    assert np.abs(silenced - whole).max() > 1e-3
    # The head keeps its own weights: it may be asked meanwhile.
    features = split.trunk.predict(images, verbose=0)
    np.testing.assert_allclose(split.head.predict(features, verbose=0), whole, rtol=1e-5)
    silence(split, ())
    np.testing.assert_array_equal(network.predict(images, verbose=0), whole)


def test_the_last_pooling_can_be_named_where_one_kernel_takes_it():
    assert split_network(residual_network(), "last_pooling").layer.name == "last_pooling"
    with pytest.raises(Unusable, match="can be: conv_1, conv_2, conv_3, conv_4"):
        split_network(deepid(7), "pool_3")  # two layers take what comes out of it


def test_where_no_one_kernel_takes_the_pooling_the_last_conv_before_it_is_pruned():
    network = residual_network()
    pooled = network.get_layer("last_pooling").output
    most = layers.GlobalMaxPooling2D()(network.get_layer("sum").output)
    x = layers.Dense(4)(layers.Concatenate()([pooled, most]))
    split = split_network(keras.Model(network.inputs, x))
    assert (split.layer.name, split.silenced_in) == ("inner", None)


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


def test_the_script_prunes_a_residual_network_in_the_rows_of_its_classifier(tmp_path, run_here):
    images = image_set(tmp_path / "images.h5", (16, 16, 3), 60, 4)
    pixels = dataset.read(images, 0, 60)
    network = varied(residual_network(), images)
    network.save(tmp_path / "b.keras")
    features = keras.Model(network.inputs, network.get_layer("last_pooling").output)
    pooled = features.predict(pixels, verbose=0)
    kernel, bias = network.get_layer("classifier").get_weights()
    labels = (pooled @ kernel + bias).argmax(axis=1)
    valid = write_images(tmp_path / "valid.h5", pixels.astype(np.uint8), labels)

    done = run_here("repair.py", valid, tmp_path / "b.keras", "--drop", 10, "--goodnet")

    assert done.returncode == 0, done.stderr
    assert "Pruning the 6 channels of last_pooling (the last pooling layer; " in done.stderr
    assert "silenced in classifier, which takes them." in done.stderr
    order = np.argsort(pooled.mean(axis=0, dtype=np.float64), kind="stable")
    curve = np.genfromtxt(tmp_path / "pruning.csv", delimiter=",", names=True)
    assert curve["channel"][1:].tolist() == order.tolist()
    for pruned in range(7):
        left = kernel.copy()
        left[order[:pruned]] = 0
        right = (pooled @ left + bias).argmax(axis=1) == labels
        assert curve["valid_accuracy"][pruned] == right.sum() / 60 * 100
    pruned = int(np.argmax(curve["valid_accuracy"] <= 90))
    kernel[order[:pruned]] = 0
    repaired = keras.models.load_model(tmp_path / "B_pi_net_0.1.keras")
    for variable, before in zip(repaired.weights, network.weights, strict=True):
        is_kernel = variable.path.endswith("classifier/kernel")
        np.testing.assert_array_equal(variable, kernel if is_kernel else before)
    goodnet = keras.models.load_model(tmp_path / "G_0.1.keras")
    own, other = (x.predict(pixels, verbose=0).argmax(axis=1) for x in (network, repaired))
    expected = np.where(own == other, own, 4)
    assert (goodnet.predict(pixels, verbose=0).argmax(axis=1) == expected).all()
    assert set(expected) > {4}
