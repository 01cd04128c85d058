"""Several networks asked together: what stands before silenced channels is computed once."""

import keras
import numpy as np
import pytest
from test_goodnet import copy_of, pruned_copy
from test_sweep import CIFAR, SMALL, image_set, small, varied

from goodnet import dataset
from goodnet.networks import answers, silenced
from goodnet.networks.silenced import find_silenced
from goodnet.networks.split import split_network
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
    for networks in ([network, own, other], [network, other, own], [network, other]):
        asked.clear()
        found = answers.classify(networks, images, BATCH, ignore)
        assert found.tolist() == [predicted(each, images) for each in networks]
        assert len({id(each) for each in asked}) == len(networks)  # trunk and head for two
    asked.clear()
    answers.classify([own, network], images, BATCH, ignore)  # the other way round it is no pruning
    assert [asked[0], asked[1]] != [asked[1], asked[0]] and len({id(x) for x in asked}) == 2


def test_where_numbers_are_large_the_plain_computation_decides(images, tmp_path):
    """Features of 1e6, whose rounding decides among classes that are almost equal."""
    network = copy_of(varied(small("flat, linear end"), images), tmp_path, "b.keras")
    split = split_network(network)
    network.set_weights([each * 40 for each in network.get_weights()])
    last = network.layers[-1]
    kernel = np.repeat(np.asarray(last.kernel)[:, :1], 10, axis=1)
    last.kernel.assign(kernel * (1 + 1e-7 * np.arange(10)))
    pruned = pruned_copy(network, range(split.channels // 2), tmp_path)
    found = answers.classify([network, pruned], images, BATCH, ignore)
    assert found.tolist() == [predicted(each, images) for each in (network, pruned)]


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
    again = find_silenced(network, second, found.split)
    assert again.split is found.split
    assert np.flatnonzero(~again.kept).tolist() == [0, 1, 2]
