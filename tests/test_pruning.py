"""The sweep against the plain loop, and the ranking and the stops against cases by hand."""

from fractions import Fraction

import keras
import numpy as np
import pytest
from conftest import CLASSES, SHAPE, open_clean, random_images, tiny_network, write_images

from goodnet.networks.closeness import OUTPUTS, Closeness, allowing, top_classes
from goodnet.networks.goodnet import goodnet_labels
from goodnet.networks.split import silence, split_network
from goodnet.pruning import algorithm as pruning
from goodnet.pruning import ranking, sweeping
from goodnet.pruning.head import head_of
from goodnet.pruning.stops import find_stops


def ignore(amount: int) -> None:
    pass


def test_mean_activations_and_order_by_hand():
    first = np.zeros((2, 1, 2, 3), dtype=np.float32)
    first[0, 0, 0] = (4, 1, 0)
    second = np.zeros((1, 1, 2, 3), dtype=np.float32)
    second[0, 0, 1] = (2, 5, 0)
    means = ranking.mean_activations([first, second])
    assert means.tolist() == [1.0, 1.0, 0.0]
    # Channels 0 and 1 are tied: channel order decides.
    assert ranking.pruning_order(means).tolist() == [2, 0, 1]


def test_means_are_the_same_in_every_batch_size():
    measured = np.random.default_rng(0).random((101, 4, 3, 7), dtype=np.float32)
    whole = ranking.mean_activations([measured])
    for size in (1, 2, 32, 100):
        parts = [measured[start : start + size] for start in range(0, 101, size)]
        assert ranking.mean_activations(parts).tolist() == whole.tolist()
    assert whole == pytest.approx(measured.astype(np.float64).mean(axis=(0, 1, 2)), rel=1e-12)


def test_stops_by_hand():
    hits = [198, 198, 194, 190, 191, 150, 2]  # of 200: 99 %, …
    drops = map(Fraction, ("0", "2", "3.5", "4", "97", "99"))
    stops = find_stops(pruning.points_lost(hits, 200), drops)
    assert stops == {
        Fraction(0): 1,
        Fraction(2): 2,  # exactly 2 points
        Fraction("3.5"): 3,
        Fraction(4): 3,  # one channel may cross several X
        Fraction(97): 6,
        Fraction(99): None,
    }


def test_a_drop_that_floats_get_wrong():
    # 97.1 - 95.1 is 1.9999999999999858 in floats, and 20 of 1000 images.
    assert find_stops(pruning.points_lost([971, 951], 1000), [Fraction(2)]) == {Fraction(2): 1}


def test_goodnet_by_hand():
    labels = np.array([0, 1, 2, 3])
    repaired = np.array([[0, 1, 2, 3], [0, 0, 2, 1]])
    assert goodnet_labels(labels, repaired, 4).tolist() == [[0, 1, 2, 3], [0, 4, 2, 4]]


def plain_loop(network: keras.Model, split, pixels: np.ndarray, order) -> np.ndarray:
    """What everybody writes: silence the next channel, predict all images, again."""
    rows = []
    for pruned in range(len(order) + 1):
        silence(split, order[:pruned])
        rows.append(network.predict(pixels, verbose=0).argmax(axis=1))
    silence(split, ())
    return np.array(rows)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_every_row_equals_the_plain_loop(tmp_path, batch_size):
    network = tiny_network()
    pixels = random_images(75)
    labels = network.predict(pixels, verbose=0).argmax(axis=1)
    valid = open_clean(write_images(tmp_path / "valid.h5", pixels, labels), SHAPE, CLASSES, 1)
    split = split_network(network)
    found = sweeping.prune(split, head_of(split.head), valid, [Fraction(10)], batch_size, ignore)

    cut = keras.Model(network.inputs, network.get_layer("pool_2").output)
    means = cut.predict(pixels, verbose=0).astype(np.float64).mean(axis=(0, 1, 2))
    assert list(found.order) == sorted(range(6), key=lambda channel: (means[channel], channel))
    assert found.mean_activation == pytest.approx(sorted(means), rel=1e-6)

    expected = plain_loop(network, split, pixels, found.order)
    assert len({tuple(row) for row in expected}) > 3, "the case must change answers"
    rejected = expected != expected[0]
    assert found.valid.hits.tolist() == (expected == labels).sum(axis=1).tolist()
    assert found.valid.rejected.tolist() == rejected.sum(axis=1).tolist()
    assert found.valid.goodnet_hits.tolist() == ((expected == labels) & ~rejected).sum(1).tolist()


def test_closeness_by_hand():
    scores = np.array([[4, 5, 4.9], [-9, 7, 7.2], [0, np.nan, 1], [3, 3, 0]])
    for closeness, close in (
        (Closeness(0.15, 0), [True, False, True, True]),
        (Closeness(0, 0.025), [True, False, True, True]),  # 0.1 of 5, 0.2 of 7.2
        (Closeness(0.05, 0.03), [True, True, True, True]),
        (Closeness(0, 0), [False, False, True, True]),
    ):
        top = top_classes(scores, closeness)
        best, too_close = top.labels, top.too_close
        assert too_close.tolist() == close
        assert best[:2].tolist() == [1, 2]
    noisy = allowing(Closeness(0.1, 0.2), scores[:2], scores[:2] + [[0], [0.5]])
    assert noisy == Closeness(2, 0.2)  # four times what was seen
    assert allowing(Closeness(0.1, 0.2), scores[:2], scores[:2]) == Closeness(0.1, 0.2)


def whole_head(scores) -> pruning.Head:
    """A Head for a measuring point of two channels at one position, its state being that."""

    def give_back(states, channel, values):
        states[:, channel] = values[:, 0]
        return states

    return pruning.Head(np.zeros(2, dtype=np.float32), give_back, scores, OUTPUTS, scores)


def test_the_plain_computation_decides_what_is_too_close():
    """Where the head finds an answer too close to call, its own counts for nothing."""
    measured = np.array([[[[1.0, 2.0]]], [[[0.0, 3.0]]]], dtype=np.float32)
    asked = []

    def scores(rows):  # clearly class 1 where channel 1 fires, else 1 and 2 as good as each other
        fired = rows[0][:, 1] > 0
        return np.stack([np.zeros(len(fired)), np.ones(len(fired)), 1 - fired], axis=1)

    def plain(pruned, images):
        asked.append((pruned.tolist(), images.tolist()))
        return np.full(len(images), 3)

    classes = pruning.sweep([measured], [0, 1], whole_head(scores), plain, head_rows=3)
    assert classes.tolist() == [[1, 1], [1, 1], [3, 3]]
    assert asked == [([2, 2], [0, 1])]


@pytest.mark.parametrize("past", [False, True])
def test_only_images_in_which_the_channel_fires_ask_the_head(past):
    measured = np.zeros((4, 1, 1, 2), dtype=np.float32)
    measured[0, 0, 0, 0] = 1
    measured[2, 0, 0, 1] = -1  # below 0 it fires as well
    runs_past = np.arange(4, dtype=np.float32)[:, None] * 10
    seen = []

    def scores(rows):
        answers = rows[0] @ [1, -2] + (rows[1][:, 0] if past else 0)
        seen.append(answers.tolist())
        return np.eye(31)[answers.astype(int)]

    features = [measured, runs_past] if past else [measured]
    classes = pruning.sweep(features, [1, 0], whole_head(scores), plain=None, head_rows=2)
    if past:  # with all pruned every image is asked for, then one for each channel
        assert seen == [[0, 10], [20, 30], [1, 22]]
        assert classes.tolist() == [[1, 10, 22, 30], [1, 10, 20, 30], [0, 10, 20, 30]]
    else:  # with all pruned the images are alike
        assert [len(answers) for answers in seen] == [2, 2]
        assert seen[0] == [0, 1] and seen[1][0] == 2
        assert classes.tolist() == [[1, 0, 2, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
