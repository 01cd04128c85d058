"""Several networks asked together: what stands before silenced channels is computed once."""

import keras
import numpy as np
import pytest
from conftest import SHAPE, open_clean, random_images, write_images
from test_goodnet import copy_of, pruned_copy
from test_sweep import CIFAR, SMALL, image_set, small, swept, varied

from goodnet import dataset
from goodnet.networks import answers, silenced
from goodnet.networks.silenced import find_silenced
from goodnet.networks.split import silence, split_network
from goodnet.progress import ignore

BATCH = 32


@pytest.fixture
def asked(monkeypatch) -> list[keras.Model]:
    """The networks that are computed, one entry a batch each."""
    found: list[keras.Model] = []
    real = answers.compute

    def compute(network, given):
        found.append(network)
        return real(network, given)

    monkeypatch.setattr(answers, "compute", compute)
    return found


@pytest.fixture
def images(tmp_path) -> dataset.ImageSet:
    return image_set(tmp_path / "images.h5", CIFAR, 75, 10)


def predicted(network: keras.Model, images: dataset.ImageSet) -> list[int]:
    """The oracle: plain Keras."""
    pixels = dataset.read(images, 0, len(images))
    return network.predict(pixels, verbose=0).argmax(axis=1).tolist()


@pytest.mark.parametrize("name", SMALL)
def test_pruned_copies_answer_as_by_themselves(name, images, tmp_path, asked):
    network = copy_of(varied(small(name), images), tmp_path, "b.keras")
    count = split_network(network).channels
    pruned = [
        pruned_copy(network, range(some), tmp_path) for some in (count // 2, count // 2 + 1, count)
    ]
    trained = copy_of(network, tmp_path)
    trained.set_weights([0.9 * each for each in network.get_weights()])
    networks = [network, *pruned[:2], trained, pruned[2]]
    found = answers.classify(networks, images, BATCH, ignore)
    for row, each in zip(found, networks, strict=True):
        assert row.tolist() == predicted(each, images)
    assert len({tuple(row) for row in found.tolist()}) > 2, "the case must tell them apart"
    batches = -(-len(images) // BATCH)
    assert len(asked) == 6 * batches  # the trunk, four heads, and the trained one as a whole
    assert len({id(each) for each in asked}) == 3


def test_copies_pruned_in_another_layer_are_asked_in_full(images, tmp_path, asked):
    network = copy_of(varied(small("separable"), images), tmp_path, "b.keras")
    first = next(x for x in network.layers if isinstance(x, keras.layers.Conv2D)).name
    own, other = (pruned_copy(network, [0, 3], tmp_path, layer) for layer in (None, first))
    for networks, computed in (
        ([network, own, other], 4),  # the trunk, two heads, and the other as a whole
        ([network, other, own], 4),
        ([network, other], 3),
        ([own, network], 2),  # with more channels than the first it is no pruned copy
    ):
        asked.clear()
        found = answers.classify(networks, images, BATCH, ignore)
        assert found.tolist() == [predicted(each, images) for each in networks]
        assert len(asked) == computed * -(-len(images) // BATCH)


@pytest.mark.parametrize("end", [[], [keras.layers.Softmax]], ids=["in a layer", "by itself"])
def test_a_closing_softmax_that_is_nested_is_left_out_alike(images, tmp_path, monkeypatch, end):
    """Else logits are compared with probabilities, and all is too close."""
    inner = varied(small("flat, softmax"), images)
    stack = [keras.Input(CIFAR), inner, *(make() for make in end)]
    network = copy_of(keras.Sequential(stack), tmp_path, "b.keras")
    pruned = pruned_copy(network, range(3), tmp_path)
    plainly = []
    real = answers.plain_classes
    monkeypatch.setattr(
        answers, "plain_classes", lambda *given: plainly.extend(given[2]) or real(*given)
    )
    found = answers.classify([network, pruned], images, BATCH, ignore)
    assert found.tolist() == [predicted(each, images) for each in (network, pruned)]
    assert len(plainly) < 0.1 * found.size


@pytest.fixture
def overflowing(tmp_path) -> tuple[keras.Model, dataset.ImageSet]:
    """A network of float16 in which the brightest images become infinite before the last layer."""
    pixels = random_images(75, 3)
    pixels[40:50] = 255
    path = write_images(tmp_path / "images.h5", pixels // 2 + pixels // 255 * 127, np.zeros(75))
    stack = [keras.Input(SHAPE)]
    stack += [keras.layers.Conv2D(4, 3, activation="relu", dtype="float16", name="first")]
    stack += [keras.layers.Conv2D(6, 3, activation="relu", dtype="float16", name="second")]
    stack += [keras.layers.GlobalAveragePooling2D(dtype="float16")]
    network = keras.Sequential([*stack, keras.layers.Dense(10, dtype="float16", name="last")])
    first, second, last = (network.get_layer(name) for name in ("first", "second", "last"))
    first.set_weights([np.full(first.kernel.shape, 65500 / 6300), np.zeros(4)])
    signs = np.where(np.arange(6) < 3, 1e-4, -1e-4)
    second.set_weights([signs * np.ones((3, 3, 4, 1)), np.zeros(6)])
    kernel = np.where(np.arange(10) == 3, 1e-3, -1e-3) * np.ones((6, 1))
    last.set_weights([kernel, np.arange(10)])
    return copy_of(network, tmp_path, "b.keras"), open_clean(path, SHAPE, 10, 1.0)


def test_where_numbers_overflow_silenced_channels_are_no_zeros(overflowing, tmp_path):
    """0 times infinity need not be 0: on most processors B' answers NaN, and Keras class 0."""
    network, images = overflowing
    pruned = [pruned_copy(network, range(some), tmp_path) for some in (3, 6)]
    found = answers.classify([network, *pruned], images, BATCH, ignore)
    assert found.tolist() == [predicted(each, images) for each in (network, *pruned)]
    first = keras.Model(network.inputs, network.get_layer("first").output)
    values = first.predict(dataset.read(images, 0, 75), verbose=0)
    overflown = np.isinf(values).any(axis=(1, 2, 3))
    assert 0 < overflown.sum() < 75, "the case must overflow here and not there"


def test_the_sweep_asks_plainly_where_numbers_overflow(overflowing, tmp_path):
    network, images = overflowing
    order = [4, 0, 3, 1, 5, 2]
    found = swept(split_network(network), images, order, BATCH)
    for count in range(7):
        repaired = pruned_copy(network, order[:count], tmp_path)
        assert found[count].tolist() == predicted(repaired, images), count


def test_rounding_is_allowed_for_as_much_as_the_first_images_show(images, tmp_path, monkeypatch):
    """A head that is a little off for all images: the plain computation decides more of them."""
    network = copy_of(varied(small("flat, linear end"), images), tmp_path, "b.keras")
    pruned = pruned_copy(network, range(3), tmp_path)
    real, plain = answers.compute, answers.plain_classes
    decided = []
    monkeypatch.setattr(
        answers, "plain_classes", lambda *given: decided.extend(given[2]) or plain(*given)
    )

    def off(network, given):
        found = real(network, given)
        if isinstance(given, list):
            found[0] = found[0] + 0.2 * np.random.default_rng(0).normal(size=found[0].shape)
        return found

    monkeypatch.setattr(answers, "compute", off)
    found = answers.classify([network, pruned], images, BATCH, ignore)
    assert found.tolist() == [predicted(each, images) for each in (network, pruned)]
    assert len(decided) > 0


@pytest.mark.parametrize("size", [20, 100])
def test_networks_of_open_size_are_split_at_the_images_own(tmp_path, asked, size):
    """What 64 x 64 does not fit, the images do."""
    stack = [keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 64, -2)]
    stack += [keras.layers.Conv2D(8, 3, activation="relu")]
    stack += [keras.layers.AveragePooling2D(70 if size == 100 else 6)]
    stack += [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(10)]
    images = image_set(tmp_path / "images.h5", (size, size, 3), 40, 10)
    network = copy_of(varied(keras.Sequential(stack), images), tmp_path, "b.keras")
    pruned = copy_of(network, tmp_path)
    silence(split_network(pruned, None, (size, size, 3)), range(4))
    found = answers.classify([network, pruned], images, BATCH, ignore)
    assert found.tolist() == [predicted(each, images) for each in (network, pruned)]
    assert len(asked) == 3 * 2
    assert find_silenced(network, pruned) is None or size == 20  # of other images it is not known


def test_a_trained_network_is_told_without_splitting(images, tmp_path, monkeypatch):
    network = copy_of(varied(small("flat, softmax"), images), tmp_path, "b.keras")
    trained = copy_of(network, tmp_path)
    trained.set_weights([each + 0.1 for each in network.get_weights()])
    monkeypatch.delattr(silenced, "split_network")
    assert find_silenced(network, trained) is None
    assert find_silenced(network, copy_of(network, tmp_path)) is None


def test_one_split_does_for_all_pruned_copies(images, tmp_path, monkeypatch):
    network = copy_of(varied(small("flat, softmax"), images), tmp_path, "b.keras")
    first, second = (pruned_copy(network, range(some), tmp_path) for some in (2, 3))
    found = find_silenced(network, first)
    monkeypatch.delattr(silenced, "split_network")
    again = find_silenced(network, second, known=found.split)
    assert again.split is found.split
    assert np.flatnonzero(~again.kept).tolist() == [0, 1, 2]
