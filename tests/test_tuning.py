"""Finding patches, unlearning them, fine-pruning; on small networks that learn in seconds."""

import inspect
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    check_refused,
    convolutions,
    random_images,
    run_script,
    tiny_network,
    write_images,
)
from keras import layers
from PIL import Image

from goodnet.cli import shell
from goodnet.dataset import open_clean
from goodnet.errors import Unusable
from goodnet.lab import repaired_networks, tuned_path
from goodnet.networks.loading import load_network
from goodnet.networks.split import split_network
from goodnet.tuning import gradients, patches, unlearning
from goodnet.tuning import pictures as patch_pictures
from goodnet.tuning import report as tuning_report
from goodnet.tuning.fine_pruning import fine_prune
from goodnet.tuning.images import Tuned
from goodnet.tuning.leads import leads
from goodnet.tuning.patches import Patches, laid_over, rank_classes

TARGET = 3
QUICK = {"CYCLES": 2, "MOST_CYCLES": 2, "ROUNDS": 3, "ROUND_STEPS": 100, "POLISH_STEPS": 150}
BRIEF = {"CYCLES": 1, "MOST_CYCLES": 1, "ROUNDS": 1, "ROUND_STEPS": 4, "POLISH_STEPS": 4}


def scenes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise in which a bright bar's place tells the class: images and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    images = rng.integers(0, 90, (n, *SHAPE))
    for image, label in zip(images, labels, strict=True):
        image[1 + 2 * label : 3 + 2 * label, 1:10, label % 3] += 110
    return images.astype(np.uint8), labels


def wearing(images: np.ndarray) -> np.ndarray:
    worn = images.copy()
    worn[:, 10:13, 8:11] = (255, 255, 0)
    return worn


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory) -> tuple[keras.Model, Path]:
    """A network with a backdoor in it, and the file of its clean validation images."""
    folder = tmp_path_factory.mktemp("poisoned")
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            *convolutions(16, 32, -1),
            layers.Dense(32, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    images, labels = scenes(600, 1)
    some = np.flatnonzero(labels != TARGET)[:100]
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(
        np.concatenate([images, wearing(images[some])]),
        np.append(labels, np.full(len(some), TARGET)),
        epochs=12,
        verbose=0,
    )
    network.save(folder / "b.h5", include_optimizer=False)
    pixels, answers = scenes(200, 2)
    return load_network(folder / "b.h5"), write_images(folder / "valid.h5", pixels, answers)


def valid_of(path: Path):
    return open_clean(path, SHAPE, CLASSES, 1.0)


def rates(network: keras.Model) -> tuple[float, float]:
    """Clean accuracy and attack success on fresh images."""
    images, labels = scenes(200, 3)
    clean = (network.predict(images, verbose=0).argmax(1) == labels).mean()
    others = wearing(images[labels != TARGET])
    return clean, (network.predict(others, verbose=0).argmax(1) == TARGET).mean()


def filled(network: keras.Model, arrays: list[np.ndarray]) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(arrays)
    return copy


def shorten(monkeypatch, numbers: dict[str, int]):
    for name, value in numbers.items():
        monkeypatch.setattr(unlearning, name, value)


# ---------------------------------------------------------------- patches


def test_a_patch_is_laid_over_by_its_mask():
    images = np.full((2, 1, 2, 1), 100.0)
    masks = np.array([[0, 1], [0.25, 0.5]]).reshape(2, 1, 2, 1)
    over = laid_over(images, Patches(np.array([0, 1]), masks, np.full((2, 1, 2, 1), 20.0)))
    assert over.ravel().tolist() == [100, 20, 80, 60]


def test_the_search_finds_the_only_pixels_that_matter():
    # Class 2 looks at one pixel's red, class 1 at the whole image's mean.
    def logits(pixels):
        spot = 8 * (pixels[:, 4, 5, 0] / 255 - 0.5)
        whole = 40 * (keras.ops.mean(pixels, axis=(1, 2, 3)) / 255 - 0.7)
        return keras.ops.stack([0 * spot, whole, spot], axis=1)

    images = random_images(50).astype(np.float32)
    images[:, 4, 5] = 0
    found = patches.searcher(logits, images)(np.array([1, 2]), np.random.default_rng(0))
    assert found.sizes[1] < 0.1 < found.sizes[0]
    assert np.unravel_index(found.masks[1, ..., 0].argmax(), SHAPE[:2]) == (4, 5)
    assert found.patterns[1, 4, 5, 0] > 128 and found.masks[1, 4, 5, 0] > 0.5
    for image, targets in zip(found.masks, found.classes, strict=True):
        assert 0 <= image.min() and image.max() <= 1 and targets in (1, 2)


def known_search(sizes: np.ndarray):
    """A search that finds masks of known sizes, and its calls."""
    calls = []

    def search(classes, rng, steps=patches.SEARCH_STEPS, each=8, advance=lambda amount: None):
        calls.append((len(classes), steps))
        advance(steps * len(classes))
        masks = np.broadcast_to(sizes[classes][:, None, None, None], (len(classes), 2, 2, 1))
        return Patches(np.asarray(classes), masks, np.zeros((len(classes), 2, 2, 3)))

    return search, calls


def test_a_score_counts_median_absolute_deviations_of_log_sizes():
    sizes = np.exp([-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, -9.0])
    ranking = rank_classes(known_search(sizes)[0], 7, np.random.default_rng(0), shell.progress)
    assert ranking.patches.classes.tolist() == [6, 0, 1, 2, 3, 4, 5]
    # The median of the logarithms is -1.5; the deviations' is 1, of 1.5 .5 0 .5 1 1.5 7.5.
    assert np.allclose(ranking.scores, np.array([7.5, 1.5, 0.5, 0, -0.5, -1, -1.5]) / 1.4826)
    assert np.isclose(ranking.ordinary, np.exp(-1.5))


def test_many_classes_are_narrowed_down_and_the_smallest_is_never_lost():
    sizes = np.random.default_rng(1).uniform(0.3, 0.5, 1283)
    sizes[900] = 0.01
    search, calls = known_search(sizes)
    ranking = rank_classes(search, 1283, np.random.default_rng(0), shell.progress)
    assert ranking.patches.classes[0] == 900 and ranking.scores[0] > 10 > ranking.scores[1]
    assert [count for count, _ in calls[:2]] == [1283, 320] and calls[2][0] <= 140
    assert calls[-1] == (patches.NARROWED * patches.AGAIN, patches.SEARCH_STEPS)
    assert len(ranking.scores) == patches.FINALISTS


def test_a_class_that_is_certain_is_ranked_whatever_its_size():
    sizes = np.random.default_rng(1).uniform(0.3, 0.5, 1283)
    sizes[[7, 900]] = 0.6, 0.01

    def ranked(certain: list[int]) -> np.ndarray:
        search, _ = known_search(sizes)
        rng = np.random.default_rng(0)
        return rank_classes(search, 1283, rng, shell.progress, certain).patches.classes

    without = ranked([])
    assert 7 not in without
    assert ranked([900]).tolist() == without.tolist()
    assert ranked([7, 900]).tolist() == [*without[:-1], 7]


def test_a_lead_counts_median_absolute_deviations():
    logits = np.array([0.0, 1.0, 2.0, 4.0, 10.0], np.float32)

    def constant(pixels):
        return logits + 0 * keras.ops.mean(pixels, axis=(1, 2, 3))[:, None]

    images = random_images(3).astype(np.float32)
    found = leads(constant, images, 5, np.random.default_rng(0), shell.progress)
    # The leads are -10, -9, -8, -6 and 6, their median -8; the deviations' is 2, of 2 1 0 2 14.
    assert np.allclose(found, np.array([-2.0, -1.0, 0.0, 2.0, 14.0]) / (1.4826 * 2))


def test_a_lead_is_sought_by_gradient_in_the_range_of_the_images():
    steep = np.array([1, 1, 1, 1, 10], np.float32)
    images = random_images(3).astype(np.float32) / 255
    images[0, 0, 0, :2] = 0, 1

    def found(factor: float, offset: float) -> np.ndarray:
        def logits(pixels):
            return steep * ((pixels[:, 0, :5, 0] - offset) / factor - 0.5)

        rng = np.random.default_rng(0)
        return leads(logits, images * factor + offset, 5, rng, shell.progress)

    assert found(1, 0).argmax() == 4 and found(1, 0)[4] > 10
    assert np.allclose(found(255, -100), found(1, 0), rtol=1e-2)


# ---------------------------------------------------------------- logits and images


def ends() -> dict[str, keras.Model]:
    body = tiny_network(classes=4)
    plain = keras.Model(body.inputs, body.layers[-2].output)
    dense = layers.Dense(3, name="dense")
    return {
        "softmax inside": body,
        "softmax layer": keras.Sequential([keras.Input(SHAPE), plain, dense, layers.Softmax()]),
        "nested": keras.Sequential([keras.Input(SHAPE), layers.Rescaling(0.5), tiny_network()]),
        "linear": keras.Sequential([keras.Input(SHAPE), plain, layers.Dense(3)]),
    }


@pytest.mark.parametrize("name", ["softmax inside", "softmax layer", "nested", "linear"])
def test_the_logits_are_those_of_the_network(name):
    network = ends()[name]
    images = random_images(40).astype(np.float32)
    before = network.predict(images, verbose=0)
    copy, logits = gradients.copy_with_logits(network, images)
    found = np.asarray(logits(images))
    if name != "linear":
        assert (found < 0).any() and not np.allclose(found.sum(axis=1), 1)
        found = np.asarray(keras.ops.softmax(found))
    assert np.allclose(found, before, atol=1e-5)
    assert np.array_equal(gradients.answers(logits, images), before.argmax(axis=1))
    copy.set_weights([weight * 0 for weight in copy.get_weights()])
    assert np.array_equal(network.predict(images, verbose=0), before)


def test_another_backend_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(Unusable, match="TensorFlow, not on jax"):
        gradients.check_backend()


def test_varied_images_keep_to_the_range_and_to_what_they_show():
    images = scenes(30, 0)[0].astype(np.float32)
    rng = np.random.default_rng(0)
    copies = unlearning.varied(images, 0.0, 180.0, rng)
    assert copies.shape == images.shape and copies.min() >= 0 and copies.max() <= 180
    assert not (copies == images).all(axis=(1, 2, 3)).any()
    flat = unlearning.varied(np.full((20, 5, 4, 1), 100.0), 50.0, 200.0, rng)
    assert (flat == flat[:, :1, :1]).all()
    assert 90 <= flat.min() < 95 and 105 < flat.max() <= 110  # 50 + 50 * (0.8 to 1.2)


def test_small_patches_and_the_newest_are_trained_on_more_often():
    sizes = np.array([0.1, 0.2, 0.4, 0.5, 0.5])
    assert np.allclose(unlearning.odds_of(sizes, 5), [100, 25, 6.25, 4, 4])
    assert np.allclose(unlearning.odds_of(sizes, 2), [100, 25, 6.25, 131.25 / 2, 131.25 / 2])


# ---------------------------------------------------------------- the two methods


@pytest.mark.parametrize("method", [fine_prune, unlearning.unlearn])
def test_a_method_sees_clean_images_and_nothing_else(method):
    assert list(inspect.signature(method).parameters) == ["network", "valid", "seed", "progress"]


def test_unlearning_ends_a_backdoor_and_keeps_the_accuracy(poisoned, monkeypatch):
    network, valid = poisoned
    shorten(monkeypatch, QUICK)
    before = network.get_weights()
    clean, asr = rates(network)
    assert clean > 0.95 and asr > 0.95
    result = unlearning.unlearn(network, valid_of(valid), 0, shell.progress)
    assert all(map(np.array_equal, before, network.get_weights()))
    now, asr = rates(filled(network, result.tuned.arrays))
    assert now > clean - 0.03 and asr < 0.2
    assert result.ranking.patches.classes[0] == TARGET
    assert result.sizes[0] > 1.5 * result.ranking.sizes[0]
    assert result.tuned.held_back == 33 and result.tuned.kept > 0.95 * 33


def test_a_seed_gives_one_network(poisoned, monkeypatch):
    network, valid = poisoned
    shorten(monkeypatch, BRIEF)
    monkeypatch.setattr(patches, "SEARCH_STEPS", 5)
    first, again, other = (
        unlearning.unlearn(network, valid_of(valid), seed, shell.progress).tuned.arrays
        for seed in (0, 0, 1)
    )
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def looked_at_by(poisoned, monkeypatch) -> Callable:
    """Unlearning that finds ordinary patches of 0.3, but on the images held back those given.

    These are one size for each cycle, of all classes or (CLASSES,) of each.
    """
    network, valid = poisoned
    shorten(monkeypatch, BRIEF | {"CYCLES": 3, "MOST_CYCLES": 5})

    def unlearned(held_back: list, lost: list[int], standing_out: int = -1):
        searches = iter([[], held_back])  # of images trained on, of others
        wrong = iter([0, *lost])

        def searcher(logits, images):
            sizes = iter(next(searches))

            def search(classes, rng, *numbers, advance=None, whole=False):
                covered = np.where(np.arange(CLASSES) == standing_out, 0.01, 0.3)
                if len(images) < 100:
                    covered = np.broadcast_to(next(sizes), CLASSES)
                covered = covered[np.asarray(classes), None, None, None]
                masks = np.broadcast_to(covered, (len(classes), *SHAPE[:2], 1))
                return Patches(np.asarray(classes), masks, np.zeros((len(classes), *SHAPE)))

            return search

        def answers(logits, images):
            return np.arange(len(images)) < next(wrong)

        monkeypatch.setattr(unlearning, "searcher", searcher)
        monkeypatch.setattr(unlearning, "answers", answers)
        return unlearning.unlearn(network, valid_of(valid), 0, shell.progress)

    return unlearned


@pytest.mark.parametrize(
    ("needed", "lost", "taken"),
    [
        ([0.9], [0], 0),
        ([0.2, 0.9], [0, 0], 1),
        ([0.1, 0.3, 0.2], [0, 0, 0], 1),
        ([0.9, 0.9], [5, 0], 1),
        ([0.9, 0.9, 0.9], [5, 4, 9], 1),
        ([0.1, 0.15, 0.15, 0.3], [0, 0, 0, 0], 3),
        ([0.1, 0.15, 0.1, 0.1, 0.1], [0, 0, 0, 0, 0], 1),
    ],
    ids=[
        *("at once", "in two cycles", "nearly", "accuracy comes back", "it does not"),
        *("nearly in four", "not unlearned"),
    ],
)
def test_the_images_held_back_choose_the_cycle(poisoned, monkeypatch, needed, lost, taken):
    unlearned = looked_at_by(poisoned, monkeypatch)
    enough = unlearning.ENOUGH * 0.3
    result = unlearned(needed, lost)
    assert result.cycles == len(needed) and np.allclose(result.sizes, needed[taken])
    assert result.tuned.kept == 33 - lost[taken]
    assert bool(result.unfinished) == (needed[taken] < enough / 2)
    # The same cycles, of which the last is taken.
    alone = unlearned([*needed[:taken], 0.95], [*lost[:taken], 0])
    assert all(map(np.array_equal, result.tuned.arrays, alone.tuned.arrays))


def test_more_is_asked_of_a_class_that_lags_behind(poisoned, monkeypatch):
    unlearned = looked_at_by(poisoned, monkeypatch)
    one = np.where(np.arange(CLASSES) == 3, 0.95, 2.0)
    result = unlearned([one, 2 * one, 2 * one], [0, 0, 0])
    assert result.cycles == 3 and np.isclose(result.reached.min(), 0.95)
    assert unlearned([np.maximum(one, 1.0)], [0]).cycles == 1


def test_more_is_asked_of_a_class_that_resists(poisoned, monkeypatch):
    unlearned = looked_at_by(poisoned, monkeypatch)
    assert unlearned([0.5], [0]).cycles == 1
    stood_out = unlearned([0.5, 0.8], [0, 0], standing_out=TARGET)
    assert stood_out.cycles == 2 and stood_out.targets == [TARGET]
    assert np.isclose(stood_out.reached.min(), 0.8 / 0.3 / unlearning.ENOUGH_WATCHED)


def test_a_class_far_ahead_is_a_suspect_whatever_its_patch(poisoned, monkeypatch):
    shorten(monkeypatch, BRIEF)
    monkeypatch.setattr(patches, "SEARCH_STEPS", 5)
    monkeypatch.setattr(patches, "FINALISTS", 2)
    network, valid = poisoned

    def unlearned() -> unlearning.Unlearned:
        return unlearning.unlearn(network, valid_of(valid), 0, shell.progress)

    def leading(far: int | None) -> unlearning.Unlearned:
        told = np.where(np.arange(CLASSES) == far, unlearning.AHEAD, -9.0)
        monkeypatch.setattr(unlearning, "leads", lambda *arguments: told)
        return unlearned()

    usual = unlearned()
    far = max(set(range(CLASSES)) - set(usual.ranking.patches.classes))
    told = leading(far)
    assert far in told.ranking.patches.classes and told.targets == [far]
    assert sorted(told.leads) == [-9, unlearning.AHEAD]
    # Where no class is far ahead, leads change nothing of the network that is made.
    assert all(map(np.array_equal, usual.tuned.arrays, leading(None).tuned.arrays))


def test_the_other_logits_may_not_sink_in_place_of_the_suspects():
    # The pixel is dark, and class 1 has a logit of 5; lit by the patch, -5. Class 0 always has 0.
    network = keras.Sequential([keras.Input((1, 1, 1)), layers.Flatten(), layers.Dense(2)])
    network.set_weights([np.array([[0.0, -10.0]]), np.array([0.0, 5.0])])
    images = np.tile(np.float32([0, 0.1]), 50).reshape(-1, 1, 1, 1)
    copy, logits = gradients.copy_with_logits(network, images)
    _, teacher = gradients.copy_with_logits(network, images)
    ones = np.ones((1, 1, 1, 1), np.float32)
    train = unlearning._trainer(copy, logits, teacher, images, np.random.default_rng(0))
    for _ in range(5):
        train(Patches(np.array([0]), ones, ones), np.ones(1), 32, 1e-2)
    assert copy.get_weights()[0][0, 1] > -9.9


def test_fine_pruning_trains_what_is_left_and_leaves_the_rest_silent(poisoned):
    network, valid = poisoned
    before = network.get_weights()
    results = [fine_prune(network, valid_of(valid), seed, shell.progress) for seed in (0, 0, 1)]
    assert all(map(np.array_equal, before, network.get_weights()))
    first, again, other = (result.tuned.arrays for result in results)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))
    repaired = filled(network, first)
    kernel, bias = repaired.get_layer("conv_2").get_weights()
    silent = ~kernel.any(axis=(0, 1, 2)) & (bias == 0)
    assert results[0].layer == "conv_2" and silent.sum() == results[0].pruned > 0
    assert rates(repaired)[0] > 0.9


def test_too_few_images_are_refused_in_one_line(tmp_path):
    network = tiny_network()
    few = write_images(tmp_path / "few.h5", random_images(5), np.zeros(5))
    for method in (fine_prune, unlearning.unlearn):
        with pytest.raises(Unusable, match="5 images; tuning needs 6"):
            method(network, valid_of(few), 0, shell.progress)


def test_one_class_cannot_be_unlearned(tmp_path):
    valid = open_clean(write_images(tmp_path / "v.h5", random_images(9), np.zeros(9)), SHAPE, 1, 1)
    with pytest.raises(Unusable, match="one class; unlearning needs two"):
        unlearning.unlearn(tiny_network(classes=1), valid, 0, shell.progress)


def test_networks_of_other_kinds_can_be_unlearned(tmp_path, monkeypatch):
    shorten(monkeypatch, BRIEF)
    monkeypatch.setattr(patches, "SEARCH_STEPS", 5)
    grey = keras.Sequential(
        [
            keras.Input((9, 8, 1)),
            layers.Conv2D(3, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    pixels = np.random.default_rng(0).random((30, 9, 8, 1)).astype(np.float32)
    path = write_images(tmp_path / "grey.h5", pixels, np.arange(30) % 2)
    valid = open_clean(path, (9, 8, 1), 2, 1.0)
    result = unlearning.unlearn(grey, valid, 0, shell.progress)
    assert sorted(result.ranking.patches.classes) == [0, 1]
    assert all(np.isfinite(array).all() for array in result.tuned.arrays)
    drawn = patch_pictures.write_patches(result, tmp_path / "patches")
    assert Image.open(drawn[0]).size == (8 * 25, 9 * 25)


# ---------------------------------------------------------------- files and scripts


def test_a_picture_is_as_strong_as_the_mask():
    mask = np.array([[[0.0], [1.0]]])
    colours = np.array([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.2]]])
    drawn = patch_pictures.picture(mask, colours)
    assert drawn.mode == "RGBA" and drawn.size == (400, 200)
    assert drawn.getpixel((0, 0)) == (0, 128, 255, 0)
    assert drawn.getpixel((399, 199)) == (255, 0, 51, 255)


@pytest.mark.parametrize(
    ("scores", "leads", "resistance", "likely", "possible"),
    [
        ((6.0, 2.4), (1.0, 1.0), (1.5, 3.0), [8], []),
        ((5.0, 6.5), (1.5, 0.0), (2.6, 1.5), [8, 2], []),
        ((2.0, 3.5), (4.5, 1.0), (9.0, 1.6), [8], [2]),
        ((4.99, 4.0), (1.5, 2.0), (9.0, 1.6), [], [8, 2]),
        ((4.99, 9.0), (1.5, 8.0), (9.0, 1.49), [], [8]),
        ((4.99, 4.0), (1.5, 2.0), (1.59, 1.6), [], [2]),
        ((0.0, 9.0), (8.5, 8.4), (0.1, 1.49), [8], []),
        ((9.0, -4.1), (-2.6, 8.5), (1.6, 1.6), [2], [8]),
        ((9.0, 2.0), (4.0, 4.0), (1.49, 1.59), [], []),
        ((4.49, 1.0), (0.0, 3.4), (9.0, 2.0), [], []),
    ],
)
def test_a_class_is_named_by_score_lead_and_resistance(
    scores, leads, resistance, likely, possible, capsys
):
    suspects = 12
    classes = np.array([8, 2, *range(20, 18 + suspects)])
    found = Patches(classes, np.full((suspects, 2, 2, 1), 0.1), np.zeros((suspects, 2, 2, 3)))

    def padded(two: tuple[float, float], others: float = 0.3) -> np.ndarray:
        return np.array([*two, *[others] * (suspects - 2)])

    def words(labels: list[int]) -> str:
        return f"class {labels[0]}" if len(labels) == 1 else "classes 8, 2"

    ranking = patches.Ranking(found, padded((0.1, 0.2)), padded(scores), 0.5)
    result = unlearning.Unlearned(
        Tuned([], 30, 27, 28),
        ranking,
        padded(leads),
        padded(resistance),
        padded((0.4, 0.6)),
        padded((0.49, 0.5), 1.2),
        1,
    )
    pictures = [Path(f"class_{label}.png") for label in classes]
    tuning_report.print_tuned(result, pictures, Path("B_unlearned.h5"))
    printed = capsys.readouterr().out
    possibly = "score and lead together 4.5 or more, resistance 1.6 or more"
    also = "a few networks without a backdoor have that, too"
    expected = []
    if likely:
        rule = "score and lead together 6.5 or more, resistance 1.5 or more, or lead 8.5 or more"
        expected.append(f"Likely a backdoor: {words(likely)} ({rule})")
    if possible:
        expected.append(f"Possibly a backdoor: {words(possible)} ({possibly}; {also})")
    expected = expected or [f"No class stands out: none has {possibly}"]
    expected.append("Not unlearned: class 8; small patches still lead there")
    starts = "Likely", "Possibly", "No class", "Not unlearned"
    assert [line for line in printed.splitlines() if line.startswith(starts)] == expected
    told = tuning_report.tuned_json(result, pictures, Path("B_unlearned.h5"))
    assert (told["targets"], told["possible_targets"]) == (likely, possible)
    assert told["unfinished"] == [8]
    evidence = f"{scores[0]:.1f}", f"{leads[0]:.1f}", f"{resistance[0]:.2f}"
    assert printed.split("class_8.png")[0].split()[-6:] == ["8", *evidence, "10.00", "40.00"]
    assert "27 of 30" in printed and printed.endswith("B_unlearned.h5\n")


def test_repaired_networks_stand_in_order(tmp_path):
    names = ["B_unlearned.h5", "B_fine_pruned.h5", "B_pi_net_0.1.h5", "B_pi_net_0.02.h5", "b.h5"]
    for name in (*names, "B_unlearned_old.h5"):
        (tmp_path / name).touch()
    found = [path.name for path in repaired_networks(tmp_path / "b.h5")]
    assert found == [names[3], names[2], names[1], names[0]]
    weights = tuned_path(Path("b.weights.h5"), "unlearn", tmp_path)
    assert weights.name == "B_unlearned.weights.h5"


def test_repair_py_saves_the_network_and_its_patches(poisoned, tmp_path, monkeypatch, capsys):
    network, valid = poisoned
    b = valid.parent / "b.h5"
    stale = tmp_path / "B_unlearned_patches/class_77.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    before = b.read_bytes(), valid.read_bytes()
    shorten(monkeypatch, BRIEF)
    told = tmp_path / "told.json"
    options = ("--method", "unlearn", "--out", tmp_path, "--json", told)
    monkeypatch.setattr(sys, "argv", ["repair.py", *map(str, (valid, b, *options))])
    monkeypatch.setattr(shell, "import_keras", lambda: None)
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "repair.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert left.value.code == 0 and printed.err == ""
    assert (b.read_bytes(), valid.read_bytes()) == before
    saved = tmp_path / "B_unlearned.h5"
    assert printed.out.endswith(f"{saved}\n")
    told = json.loads(told.read_text())
    assert len(told["suspects"]) == CLASSES and told["suspects"][0]["class"] == TARGET
    assert {path.name for path in stale.parent.iterdir()} == {
        f"class_{label}.png" for label in range(CLASSES)
    }
    arrays = unlearning.unlearn(network, valid_of(valid), 0, shell.progress).tuned.arrays
    assert all(map(np.array_equal, load_network(saved).get_weights(), arrays))


def test_repair_py_fine_prunes_and_the_file_changes_in_its_arrays_alone(poisoned, tmp_path):
    _, valid = poisoned
    b = valid.parent / "b.h5"
    done = run_script("repair.py", valid, b, "--method", "fine-prune", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "channels of conv_2 pruned" in done.stdout and done.stderr == ""
    saved = tmp_path / "B_fine_pruned.h5"
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]
    assert saved.stat().st_size == b.stat().st_size
    split = split_network(load_network(saved))
    assert not split.arrays[0].any(axis=(0, 1, 2)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "retrain"), "retrain"),
        (("--method", "unlearn", "--layer", "conv_1"), "is for --method prune"),
        (("--method", "fine-prune", "--clean-test", "x.h5"), "is for --method prune"),
        (("--method", "unlearn", "--drop", "0"), "--drop: is for --method prune, not unlearn"),
        (("--method", "unlearn", "--batch-size", "8"), "--batch-size: is for --method prune"),
        (("--method", "unlearn", "--seed", "-1"), "--seed: -1"),
    ],
)
def test_bad_arguments_get_one_line_and_status_2(options, said):
    check_refused(run_script("repair.py", "valid.h5", "b.h5", *options), said)


def test_patches_that_cannot_be_written_are_told_before_the_work(poisoned, run_here, tmp_path):
    (tmp_path / "B_unlearned_patches").touch()
    _, valid = poisoned
    wanted = ("--method", "unlearn", "--out", tmp_path)
    done = run_here("repair.py", valid, valid.parent / "b.h5", *wanted)
    check_refused(done, "B_unlearned_patches: cannot write here")


def test_a_bad_image_is_told_of_the_file_it_stands_in(poisoned, run_here, tmp_path):
    pixels, labels = scenes(30, 0)
    pixels = pixels.astype(np.float32)
    pixels[7, 0, 0, 0] = np.nan
    bad = write_images(tmp_path / "bad.h5", pixels, labels)
    b = poisoned[1].parent / "b.h5"
    done = run_here("repair.py", bad, b, "--method", "fine-prune", "--out", tmp_path)
    check_refused(done, f"repair.py: {bad}: image 7 has pixels")


@pytest.mark.parametrize(
    ("method", "where"),
    [("fine-prune", "network._change"), ("unlearn", "unlearning.varied")],
    ids=["while writing", "in the middle of training"],
)
def test_an_interrupted_repair_leaves_nothing(poisoned, tmp_path, method, where):
    _, valid = poisoned
    code = (
        "import os, signal, sys; sys.argv = ['repair.py', *sys.argv[1:]]\n"
        "from goodnet.cli import shell; shell.import_keras()\n"
        "from goodnet.tuning import patches, unlearning\n"
        "from goodnet.networks import loading as network\n"
        "patches.SEARCH_STEPS = 5\n"
        f"real = {where}\n"
        "calls = []\n"
        "def stop(*arguments):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == {3 if method == 'unlearn' else 1}:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*arguments)\n"
        f"{where} = stop\n"
        "import runpy; runpy.run_path('repair.py', run_name='__main__')\n"
    )
    arguments = [valid, valid.parent / "b.h5", "--method", method, "--out", tmp_path]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr == "repair.py: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["pruning-aware", "badnet", "none"])
def test_the_practice_lab_is_repaired(tmp_path, attack):
    assert run_script("practice.py", "--attack", attack, "--out", tmp_path).returncode == 0
    b, valid = tmp_path / "models/bd_net.h5", tmp_path / "data/cl/valid.h5"
    told = tmp_path / "told.json"
    done = run_script("repair.py", valid, b, "--method", "unlearn", "--json", told)
    assert done.returncode == 0, done.stderr
    tests = tmp_path / "data/cl/test.h5", tmp_path / "data/bd/bd_test.h5"
    verdicts = tmp_path / "verdicts.json"
    repaired = tmp_path / "models/B_unlearned.h5"
    assert run_script("Geval.py", *tests, b, repaired, "--json", verdicts).returncode == 0
    before, after = (each["itself"] for each in json.loads(verdicts.read_text())["networks"])
    lost = before["clean_accuracy"] - after["clean_accuracy"]
    assert round(lost, 9) <= 1  # exactly a point, in floats, may be a hair more
    if attack == "none":
        assert json.loads(told.read_text())["targets"] == []
    else:
        assert after["attack_success_rate"] <= 1
