"""What is too close to call: the plain computation, from features at hand where these are exact.

The oracle is the loop that everybody writes: silence, `predict`, again.
"""

from dataclasses import replace

import keras
import numpy as np
import pytest
from test_sweep import CIFAR, SMALL, image_set, small, varied

from goodnet import dataset
from goodnet.networks.answers import PLAIN_BATCH
from goodnet.networks.split import Split, silence, split_network
from goodnet.pruning import batches
from goodnet.pruning.algorithm import Features
from goodnet.pruning.batches import Batch, count_together
from goodnet.pruning.plainly import make_plain
from goodnet.pruning.sweeping import features

COUNT = 150
TOGETHER = 64  # two full batches, of two blocks each, and one of 22 images


@pytest.fixture
def images(tmp_path) -> dataset.ImageSet:
    return image_set(tmp_path / "images.h5", CIFAR, COUNT, 10)


@pytest.fixture
def asked(monkeypatch) -> list[tuple[keras.Model, int]]:
    """The networks that are asked, and how many images for."""
    found, ask = [], keras.Model.predict_on_batch

    def predict_on_batch(network, given):
        found.append((network, len(keras.tree.flatten(given)[0])))
        return ask(network, given)

    monkeypatch.setattr(keras.Model, "predict_on_batch", predict_on_batch)
    return found


def check(split: Split, images: dataset.ImageSet, at_hand: list[Features]) -> None:
    """Ask for every second image with 0, 1, … channels pruned; compare with the plain loop.

    at_hand: the features, in batches of TOGETHER images.
    """
    order = np.random.default_rng(1).permutation(split.channels).tolist()
    pixels, expected = dataset.read(images, 0, COUNT), []
    for row in range(split.channels + 1):
        silence(split, order[:row])
        expected.append(split.network.predict(pixels, verbose=0).argmax(axis=1))
    silence(split, ())
    assert len({tuple(row) for row in expected}) > 3, "the case must change answers"
    decide = make_plain(split, order, images, TOGETHER)
    for batch in batches.join(at_hand, 2 * TOGETHER):
        found = np.array(expected)[:, batch.start : batch.start + len(batch.parts[0])]
        pruned, places = (each[:, ::2].ravel() for each in np.indices(found.shape))
        assert decide(batch, pruned, places).tolist() == found[pruned, places].tolist()


def whole_asked(split: Split, asked: list[tuple[keras.Model, int]]) -> list[int]:
    return [size for network, size in asked if network is split.network]


@pytest.mark.parametrize("name", SMALL)
def test_it_gives_what_the_plain_loop_gives(images, name):
    split = split_network(varied(small(name), images))
    check(split, images, list(features(split, images, TOGETHER)))


def test_the_whole_network_is_asked_once_for_each_size(images, asked):
    split = split_network(varied(small("flat, softmax"), images))
    check(split, images, list(features(split, images, TOGETHER)))
    assert whole_asked(split, asked) == [PLAIN_BATCH, COUNT % PLAIN_BATCH]


def test_where_the_features_are_not_exact_the_whole_network_decides(images, asked):
    split = split_network(varied(small("flat, softmax"), images))
    at_hand = list(features(split, images, TOGETHER))
    at_hand[0][0] = at_hand[0][0] * np.float32(1 + 1e-6)
    check(split, images, at_hand[:2])
    assert whole_asked(split, asked) == [PLAIN_BATCH] * (1 + 4 * (split.channels + 1))
    other = keras.models.clone_model(split.head)
    *weights, bias = split.head.get_weights()
    other.set_weights([*weights, np.roll(bias, 1)])
    check(replace(split, head=other), images, list(features(split, images, TOGETHER)))


def test_batches_are_joined_in_order():
    parts = [
        [np.arange(start, start + 32)[:, None], np.arange(start, start + 32)]
        for start in range(0, 160, 32)
    ]
    parts.append([np.arange(160, 170)[:, None], np.arange(160, 170)])
    for count, sizes in (
        (1, [32] * 5 + [10]),
        (32, [32] * 5 + [10]),
        (33, [64, 64, 42]),
        (999, [170]),
    ):
        joined: list[Batch] = list(batches.join(parts, count))
        assert [len(each.parts[0]) for each in joined] == sizes
        for each in joined:
            assert each.parts[0][0, 0] == each.parts[1][0] == each.start
        assert np.concatenate([each.parts[1] for each in joined]).tolist() == list(range(170))


def test_a_small_head_sweeps_more_images_together_than_the_trunk_takes(monkeypatch):
    image = keras.Input((10,))
    head = keras.Model(image, keras.layers.Dense(6)(image))  # 64 bytes for an image
    monkeypatch.setattr(batches, "HEAD_BYTES", 64 * 100)
    assert [count_together(head, size) for size in (32, 64, 96, 128)] == [96, 96, 96, 128]
    monkeypatch.setattr(batches, "HEAD_BYTES", 64 * 100_000)
    assert count_together(head, 32) == 768
    image = keras.Input((None, None, 3))
    assert count_together(keras.Model(image, keras.layers.GlobalMaxPooling2D()(image)), 32) == 32
