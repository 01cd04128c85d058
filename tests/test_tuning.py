"""Finding patches, unlearning them, fine-pruning; on small networks that learn in seconds."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    check_refused,
    convolutions,
    load_model,
    open_clean,
    random_images,
    run_script,
    tiny_network,
    write_images,
)
from hasty import hurry_relearning
from keras import layers
from PIL import Image

from goodnet import dataset, methods
from goodnet.cli import shell
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.lab import repaired_networks, tuned_path
from goodnet.methods import METHODS, Method
from goodnet.networks import writing
from goodnet.networks.split import split_network
from goodnet.progress import Progress
from goodnet.tuning import (
    command,
    cycles,
    fine_pruning,
    gradients,
    ranking,
    training,
    unlearning,
)
from goodnet.tuning import pictures as patch_pictures
from goodnet.tuning import report as tuning_report
from goodnet.tuning.fine_pruning import FinePruned, fine_prune
from goodnet.tuning.images import BATCH
from goodnet.tuning.lamb import Lamb
from goodnet.tuning.leads import measure_leads
from goodnet.tuning.naming import LIKELY
from goodnet.tuning.patches import Patch, Patches, lay_over
from goodnet.tuning.ranking import rank_classes
from goodnet.tuning.schedule import USUAL, Schedule
from goodnet.tuning.searching import FULL, HALF, SHORT, Effort, make_search
from goodnet.tuning.suspects import Suspect, Unlearned
from goodnet.tuning.tuned import Tuned
from goodnet.vetting import quarantine

TARGET = 3
QUICK = Schedule(
    cycles=2, most_cycles=2, rounds=2, round_steps=80, first_polish_steps=50, polish_steps=100
)
BRIEF = Schedule(cycles=1, most_cycles=1, rounds=1, round_steps=4, first_polish_steps=4)
HASTY = replace(BRIEF, naming=Effort(steps=5, images=8), search=Effort(steps=5, images=8))


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
    return load_model(folder / "b.h5"), write_images(folder / "valid.h5", pixels, answers)


def valid_of(path: Path):
    return open_clean(path, SHAPE, CLASSES, 1.0)


def rates(network: keras.Model) -> tuple[float, float]:
    """Clean accuracy and attack success on fresh images."""
    images, labels = scenes(200, 3)
    clean = (network.predict(images, verbose=0).argmax(1) == labels).mean()
    others = wearing(images[labels != TARGET])
    return clean, (network.predict(others, verbose=0).argmax(1) == TARGET).mean()


@pytest.fixture(scope="module")
def hastily_unlearned(poisoned) -> Tuned[Unlearned]:
    """What HASTY makes of the network with the seed 0."""
    network, valid = poisoned
    with quarantine.opened([], [valid]) as held:
        images = dataset.open_clean(held.images(valid), dataset.Fit(SHAPE, CLASSES))
        return unlearning.unlearn(network, images, 0, shell.progress, HASTY)


def filled(network: keras.Model, arrays: list[np.ndarray]) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(arrays)
    return copy


@pytest.fixture
def hasty(monkeypatch):
    """What the table of methods names takes little time."""
    monkeypatch.setattr(unlearning, "unlearn", partial(unlearning.unlearn, schedule=HASTY))
    monkeypatch.setattr(fine_pruning, "EPOCHS", 2)
    hurry_relearning(monkeypatch, 4)


# ---------------------------------------------------------------- patches


def test_a_patch_is_laid_over_by_its_mask():
    images = np.full((2, 1, 2, 1), 100.0)
    masks = np.array([[0, 1], [0.25, 0.5]]).reshape(2, 1, 2, 1)
    over = lay_over(images, Patches(np.array([0, 1]), masks, np.full((2, 1, 2, 1), 20.0)))
    assert over.ravel().tolist() == [100, 20, 80, 60]


def test_the_search_finds_the_only_pixels_that_matter():
    # Class 2 looks at one pixel's red, class 1 at the whole image's mean.
    def logits(pixels):
        spot = 8 * (pixels[:, 4, 5, 0] / 255 - 0.5)
        whole = 40 * (keras.ops.mean(pixels, axis=(1, 2, 3)) / 255 - 0.7)
        return keras.ops.stack([0 * spot, whole, spot], axis=1)

    images = random_images(50).astype(np.float32)
    images[:, 4, 5] = 0
    found = make_search(logits, images)(np.array([1, 2]), np.random.default_rng(0), FULL)
    assert found.sizes[1] < 0.1 < found.sizes[0]
    assert np.unravel_index(found.masks[1, ..., 0].argmax(), SHAPE[:2]) == (4, 5)
    assert found.patterns[1, 4, 5, 0] > 128 and found.masks[1, 4, 5, 0] > 0.5
    for image, targets in zip(found.masks, found.classes, strict=True):
        assert 0 <= image.min() and image.max() <= 1 and targets in (1, 2)


def known_search(sizes: np.ndarray):
    """A search that finds masks of known sizes, and its calls."""
    calls = []

    def search(classes, rng, effort, advance):
        calls.append((len(classes), effort))
        advance(effort.steps * len(classes))
        masks = np.broadcast_to(sizes[classes][:, None, None, None], (len(classes), 2, 2, 1))
        return Patches(np.asarray(classes), masks, np.zeros((len(classes), 2, 2, 3)))

    return search, calls


def test_a_score_counts_median_absolute_deviations_of_log_sizes():
    sizes = np.exp([-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, -9.0])
    ranked = rank_classes(
        known_search(sizes)[0],
        7,
        np.random.default_rng(0),
        shell.progress,
        [],
        FULL,
        USUAL.suspects,
    )
    assert ranked.patches.classes.tolist() == [6, 0, 1, 2, 3, 4, 5]
    # The median of the logarithms is -1.5; the deviations' is 1, of 1.5 .5 0 .5 1 1.5 7.5.
    assert np.allclose(ranked.scores, np.array([7.5, 1.5, 0.5, 0, -0.5, -1, -1.5]) / 1.4826)
    assert np.isclose(ranked.ordinary, np.exp(-1.5))


def test_many_classes_are_narrowed_down_and_the_smallest_is_never_lost():
    sizes = np.random.default_rng(1).uniform(0.3, 0.5, 1283)
    sizes[900] = 0.01
    search, calls = known_search(sizes)
    ranked = rank_classes(
        search, 1283, np.random.default_rng(0), shell.progress, [], FULL, USUAL.suspects
    )
    assert ranked.patches.classes[0] == 900 and ranked.scores[0] > 10 > ranked.scores[1]
    assert calls[:2] == [(1283, SHORT), (320, replace(SHORT, steps=2 * SHORT.steps))]
    assert calls[2][0] <= 140 and calls[2][1] == FULL
    assert calls[-1] == (ranking.SHORTLIST * ranking.REPEATS, FULL)
    assert len(ranked.scores) == USUAL.suspects


def test_a_class_that_is_certain_is_ranked_whatever_its_size():
    sizes = np.random.default_rng(1).uniform(0.3, 0.5, 1283)
    sizes[[7, 900]] = 0.6, 0.01

    def ranked(certain: list[int]) -> np.ndarray:
        search, _ = known_search(sizes)
        rng = np.random.default_rng(0)
        return rank_classes(
            search, 1283, rng, shell.progress, certain, FULL, USUAL.suspects
        ).patches.classes

    without = ranked([])
    assert 7 not in without
    assert ranked([900]).tolist() == without.tolist()
    assert ranked([7, 900]).tolist() == [*without[:-1], 7]


def test_a_lead_counts_median_absolute_deviations():
    logits = np.array([0.0, 1.0, 2.0, 4.0, 10.0], np.float32)

    def constant(pixels):
        return logits + 0 * keras.ops.mean(pixels, axis=(1, 2, 3))[:, None]

    images = random_images(3).astype(np.float32)
    found = measure_leads(constant, images, 5, np.random.default_rng(0), shell.progress)
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
        return measure_leads(logits, images * factor + offset, 5, rng, shell.progress)

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
    copy = gradients.copy_with_logits(network, images)
    found = np.asarray(copy.logits(images))
    if name != "linear":
        assert (found < 0).any() and not np.allclose(found.sum(axis=1), 1)
        found = np.asarray(keras.ops.softmax(found))
    assert np.allclose(found, before, atol=1e-5)
    assert np.array_equal(gradients.predict_classes(copy.logits, images), before.argmax(axis=1))
    copy.network.set_weights([weight * 0 for weight in copy.network.get_weights()])
    assert np.array_equal(network.predict(images, verbose=0), before)


def test_another_backend_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(Unusable, match="TensorFlow, not on jax"):
        gradients.check_backend()


def test_varied_images_keep_to_the_range_and_to_what_they_show():
    images = scenes(30, 0)[0].astype(np.float32)
    rng = np.random.default_rng(0)
    copies = training.vary(images, 0.0, 180.0, rng)
    assert copies.shape == images.shape and copies.min() >= 0 and copies.max() <= 180
    assert not (copies == images).all(axis=(1, 2, 3)).any()
    flat = training.vary(np.full((20, 5, 4, 1), 100.0), 50.0, 200.0, rng)
    assert (flat == flat[:, :1, :1]).all()
    assert 90 <= flat.min() < 95 and 105 < flat.max() <= 110  # 50 + 50 * (0.8 to 1.2)


def test_small_patches_and_the_newest_are_trained_on_more_often():
    sizes = np.array([0.1, 0.2, 0.4, 0.5, 0.5])
    assert np.allclose(training.weigh_patches(sizes), [100, 25, 6.25, 4, 4])
    assert np.allclose(training.weigh_patches(sizes, 5), [100, 25, 6.25, 4, 4])
    assert np.allclose(training.weigh_patches(sizes, 2), [100, 25, 6.25, 131.25 / 2, 131.25 / 2])


# ---------------------------------------------------------------- the two methods


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_clean_validation_images_alone_decide(poisoned, tmp_path, run_here, hasty, method):
    # In this lab nothing else can be read: what looks at a test file or a backdoored image fails.
    _, valid = poisoned
    b = valid.parent / "b.h5"
    lab = tmp_path / "lab"
    for role, source in {"models/bd_net.h5": b, "data/cl/valid.h5": valid}.items():
        (lab / role).parent.mkdir(parents=True)
        shutil.copy(source, lab / role)
    (lab / "data/bd").mkdir()
    for role in ("data/cl/test.h5", "data/bd/bd_valid.h5", "data/bd/bd_test.h5"):
        (lab / role).write_bytes(b"no image set")
    out = lab / "models"
    saved = tuned_path(b, method, out)
    among = run_here("repair.py", "--lab", lab, "--method", method.name)
    assert among.returncode == 0, among.stderr
    made = saved.read_bytes()
    saved.unlink()
    alone = run_here("repair.py", valid, b, "--method", method.name, "--out", out)
    assert alone.returncode == 0, alone.stderr
    assert saved.read_bytes() == made and alone.stdout == among.stdout


def test_unlearning_ends_a_backdoor_and_keeps_the_accuracy(poisoned):
    network, valid = poisoned
    before = network.get_weights()
    clean, asr = rates(network)
    assert clean > 0.95 and asr > 0.95
    result = unlearning.unlearn(network, valid_of(valid), 0, shell.progress, QUICK)
    assert all(map(np.array_equal, before, network.get_weights()))
    now, asr = rates(filled(network, result.arrays))
    assert now > clean - 0.03 and asr < 0.2
    first = result.findings.suspects[0]
    assert first.label == TARGET and first.size_at_last > 1.5 * first.size
    assert result.held_back == 33 and result.kept > 0.95 * 33


def test_a_seed_gives_one_network(poisoned, hastily_unlearned):
    network, valid = poisoned
    first = hastily_unlearned.arrays
    again, other = (
        unlearning.unlearn(network, valid_of(valid), seed, shell.progress, HASTY).arrays
        for seed in (0, 1)
    )
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def looked_at_by(poisoned, monkeypatch) -> Callable[..., Tuned[Unlearned]]:
    """Unlearning that finds ordinary patches of 0.3, but on the images held back those given.

    These are one size for each cycle, of all classes or (CLASSES,) of each.
    """
    network, valid = poisoned
    schedule = replace(BRIEF, cycles=USUAL.cycles, most_cycles=USUAL.most_cycles)

    def unlearned(held_back: list, lost: list[int], standing_out: int = -1):
        searches = iter([[], held_back])  # of images trained on, of others
        wrong = iter([0, *lost])

        def make_search(logits, images, together):
            sizes = iter(next(searches))

            def search(classes, rng, effort, advance=None, whole=False):
                covered = np.where(np.arange(CLASSES) == standing_out, 0.01, 0.3)
                if len(images) < 100:
                    covered = np.broadcast_to(next(sizes), CLASSES)
                covered = covered[np.asarray(classes), None, None, None]
                masks = np.broadcast_to(covered, (len(classes), *SHAPE[:2], 1))
                return Patches(np.asarray(classes), masks, np.zeros((len(classes), *SHAPE)))

            return search

        def predict_classes(logits, images, together):
            return np.arange(len(images)) < next(wrong)

        monkeypatch.setattr(unlearning, "make_search", make_search)
        for module in (unlearning, cycles):
            monkeypatch.setattr(module, "predict_classes", predict_classes)
        return unlearning.unlearn(network, valid_of(valid), 0, shell.progress, schedule)

    return unlearned


@pytest.mark.parametrize(
    ("needed", "lost", "taken"),
    [
        ([0.9, 0.9], [0, 0], 1),
        ([0.2, 0.9], [0, 0], 1),
        ([0.1, 0.25], [0, 0], 1),
        ([0.9, 0.2], [0, 3], 1),
        ([0.1, 0.12, 0.25], [0, 0, 3], 2),
        ([0.1, 0.12, 0.12, 0.12], [0, 4, 3, 5], 2),
        ([0.1, 0.12, 0.1, 0.1], [0, 3, 0, 0], 1),
    ],
    ids=[
        *("at once", "in two cycles", "nearly", "never the first", "in three"),
        *("the one that keeps most", "the one that came nearest"),
    ],
)
def test_the_images_held_back_choose_the_cycle(poisoned, monkeypatch, needed, lost, taken):
    unlearned = looked_at_by(poisoned, monkeypatch)
    result = unlearned(needed, lost)
    sizes = [suspect.size_at_last for suspect in result.findings.suspects]
    assert result.findings.cycles == len(needed) and np.allclose(sizes, needed[taken])
    assert result.kept == 33 - lost[taken]
    assert bool(result.findings.unfinished) == (needed[taken] < USUAL.enough * 0.3 / 2)
    # The same cycles, of which the last is taken.
    alone = unlearned([*needed[:taken], 0.95], [*lost[:taken], 0])
    assert all(map(np.array_equal, result.arrays, alone.arrays))


def least_reached(result: Tuned[Unlearned]) -> float:
    return min(suspect.reached for suspect in result.findings.suspects)


def test_more_is_asked_of_a_class_that_lags_behind(poisoned, monkeypatch):
    unlearned = looked_at_by(poisoned, monkeypatch)
    one = np.where(np.arange(CLASSES) == 3, 0.95, 2.0)
    assert np.isclose(least_reached(unlearned([one, 2 * one], [0, 0])), 0.95)
    assert least_reached(unlearned([one, np.maximum(one, 1.0)], [0, 0])) == 1


def test_more_is_asked_of_a_class_that_resists(poisoned, monkeypatch):
    unlearned = looked_at_by(poisoned, monkeypatch)
    assert np.isclose(least_reached(unlearned([0.5, 0.5], [0, 0])), 0.5 / 0.3)
    stood_out = unlearned([0.5, 0.5], [0, 0], standing_out=TARGET)
    assert stood_out.findings.targets == [TARGET]
    assert np.isclose(least_reached(stood_out), 0.5 / 0.3 / USUAL.enough_resistant)


def test_later_cycles_are_for_suspects_that_still_need_small_patches(poisoned, monkeypatch):
    unlearned = looked_at_by(poisoned, monkeypatch)
    seek, sought = cycles.seek_patches, []

    def noted(work, classes, effort):
        sought.append(sorted(classes.tolist()))
        return seek(work, classes, effort)

    monkeypatch.setattr(cycles, "seek_patches", noted)
    unlearned([np.where(np.arange(CLASSES) == 3, 0.1, 0.9), 0.9], [0, 0])
    assert sought == [[*range(CLASSES)], [3]]


def test_a_class_far_ahead_is_a_suspect_whatever_its_patch(poisoned, monkeypatch):
    network, valid = poisoned
    schedule = replace(HASTY, suspects=2)

    def unlearned() -> Tuned[Unlearned]:
        return unlearning.unlearn(network, valid_of(valid), 0, shell.progress, schedule)

    def leading(far: int | None) -> Tuned[Unlearned]:
        told = np.where(np.arange(CLASSES) == far, LIKELY.lead, -9.0)
        monkeypatch.setattr(unlearning, "measure_leads", lambda *arguments: told)
        return unlearned()

    usual = unlearned()
    far = max(set(range(CLASSES)) - {each.label for each in usual.findings.suspects})
    found = leading(far).findings
    assert found.targets == [far]
    leads = {suspect.label: suspect.lead for suspect in found.suspects}
    assert leads.pop(far) == LIKELY.lead and [*leads.values()] == [-9]
    # Where no class is far ahead, leads change nothing of the network that is made.
    assert all(map(np.array_equal, usual.arrays, leading(None).arrays))


def test_the_other_logits_may_not_sink_in_place_of_the_suspects():
    # The pixel is dark, and class 1 has a logit of 5; lit by the patch, -5. Class 0 always has 0.
    network = keras.Sequential([keras.Input((1, 1, 1)), layers.Flatten(), layers.Dense(2)])
    network.set_weights([np.array([[0.0, -10.0]]), np.array([0.0, 5.0])])
    images = np.tile(np.float32([0, 0.1]), 50).reshape(-1, 1, 1, 1)
    copy = gradients.copy_with_logits(network, images)
    teacher = gradients.copy_with_logits(network, images).logits
    ones = np.ones((1, 1, 1, 1), np.float32)
    train = training.make_trainer(copy, teacher, images, np.random.default_rng(0), USUAL)
    for _ in range(5):
        train(Patches(np.array([0]), ones, ones), np.ones(1), 32, 1e-2)
    assert copy.network.get_weights()[0][0, 1] > -9.9


def test_each_varied_image_is_trained_on_several_times_and_answered_once():
    images = np.random.default_rng(0).random((200, *SHAPE)).astype(np.float32)
    asked = []

    def teacher(pixels):
        asked.append(pixels)
        return pixels.mean(axis=(1, 2))

    rng = np.random.default_rng(0)
    drawn = training._draw(teacher, images, 0.0, 1.0, rng, 1 << 30)
    steps = training.ECHOES * training.MOST_BATCHES
    batches = [next(drawn) for _ in range(steps)]
    seen, times = np.unique(np.concatenate([x for x, _ in batches]), axis=0, return_counts=True)
    assert len(seen) == sum(map(len, asked)) == BATCH * training.MOST_BATCHES
    assert (times == training.ECHOES).all()
    assert all(np.array_equal(teacher(x), wanted) for x, wanted in batches)
    assert all(len(x) == BATCH for x, _ in batches)
    # Of large images no more are varied at a time than a step takes.
    large = np.zeros((2, 300, 300, 1), np.float32)
    asked.clear()
    next(training._draw(teacher, large, 0.0, 1.0, rng, 8))
    assert [len(x) for x in asked] == [8] * (BATCH // 8)


def test_a_dead_network_is_no_fault(poisoned):
    """Its logits are the same for all images: by nothing can it be told how far they moved."""
    _, valid = poisoned
    dead = tiny_network()
    *kept, kernel, bias = dead.get_weights()
    dead.set_weights([*kept, np.zeros_like(kernel), bias])
    arrays = unlearning.unlearn(dead, valid_of(valid), 0, shell.progress, HASTY).arrays
    assert all(np.isfinite(each).all() for each in arrays)


def test_lamb_is_that_of_keras():
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(3, 3, 4)), rng.normal(size=7), np.zeros(5)]
    ours, theirs = ([keras.Variable(np.float32(each)) for each in starts] for _ in range(2))
    optimizers = Lamb(1e-2), keras.optimizers.Lamb(1e-2)
    for _ in range(20):
        slopes = [keras.ops.array(np.float32(rng.normal(size=each.shape))) for each in starts]
        for optimizer, variables in zip(optimizers, (ours, theirs), strict=True):
            optimizer.apply(slopes, variables)
    for one, other, start in zip(ours, theirs, starts, strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-5)
        assert not np.allclose(one, start, atol=1e-3)


def test_names_are_sought_with_half_the_images(poisoned, monkeypatch):
    network, valid = poisoned
    efforts = []
    make = unlearning.make_search

    def make_search(*arguments):
        search = make(*arguments)

        def noted(classes, rng, effort, *more, **named):
            efforts.append((len(arguments[1]), effort))
            return search(classes, rng, effort, *more, **named)

        return noted

    monkeypatch.setattr(unlearning, "make_search", make_search)
    schedule = replace(BRIEF, rounds=2, first_rounds=1, small_patch=np.inf)
    unlearning.unlearn(network, valid_of(valid), 0, shell.progress, schedule)
    trained = [effort for images, effort in efforts if images > 100]
    # Two searches rank; each round has one for patches, one for faint ones.
    assert trained == [HALF] * 4 + [FULL] * 2
    assert {effort for images, effort in efforts if images < 100} == {FULL}


def test_fine_pruning_trains_what_is_left_and_leaves_the_rest_silent(poisoned):
    network, valid = poisoned
    before = network.get_weights()
    results = [fine_prune(network, valid_of(valid), seed, shell.progress) for seed in (0, 0, 1)]
    assert all(map(np.array_equal, before, network.get_weights()))
    first, again, other = (result.arrays for result in results)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))
    repaired = filled(network, first)
    kernel, bias = repaired.get_layer("conv_2").get_weights()
    silent = ~kernel.any(axis=(0, 1, 2)) & (bias == 0)
    found = results[0].findings
    assert found.layer == "conv_2" and silent.sum() == found.pruned > 0
    assert rates(repaired)[0] > 0.9


def test_too_few_images_are_refused_in_one_line(tmp_path):
    network = tiny_network()
    few = write_images(tmp_path / "few.h5", random_images(5), np.zeros(5))
    for method in (fine_prune, unlearning.unlearn):
        with pytest.raises(Unusable, match="5 images; tuning needs 6"):
            method(network, valid_of(few), 0, shell.progress)


def test_weights_that_end_as_no_numbers_are_not_saved(poisoned, tmp_path, monkeypatch, run_here):
    """As those of pure float16 do, which holds no number above 65504."""
    find = command.look_up

    def look_up(place: str):
        def repair(*given, **named):
            made = find(place)(*given, **named)
            last = np.full_like(made.arrays[-1], np.inf)
            return replace(made, arrays=[*made.arrays[:-1], last])

        return repair

    monkeypatch.setattr(command, "look_up", look_up)
    network, valid = poisoned
    network.save(tmp_path / "b.keras")
    options = ("--method", "fine-prune", "--out", tmp_path / "out")
    done = run_here("repair.py", valid, tmp_path / "b.keras", *options)
    says = "its weights, which are float32, grow beyond all numbers in training"
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(
        f"repair.py: {tmp_path}/b.keras: {says}"
    )
    assert not list((tmp_path / "out").iterdir())


def test_one_class_cannot_be_unlearned(tmp_path):
    valid = open_clean(write_images(tmp_path / "v.h5", random_images(9), np.zeros(9)), SHAPE, 1, 1)
    with pytest.raises(Unusable, match="one class; unlearning needs two"):
        unlearning.unlearn(tiny_network(classes=1), valid, 0, shell.progress)


def test_networks_of_other_kinds_can_be_unlearned(tmp_path):
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
    result = unlearning.unlearn(grey, valid, 0, shell.progress, HASTY)
    assert sorted(suspect.label for suspect in result.findings.suspects) == [0, 1]
    assert all(np.isfinite(array).all() for array in result.arrays)
    drawn = patch_pictures.write_patches(result.findings, tmp_path / "patches")
    assert Image.open(drawn[0]).size == (8 * 25, 9 * 25)


# ---------------------------------------------------------------- files and scripts


def test_a_picture_is_as_strong_as_the_mask():
    mask = np.array([[[0.0], [1.0]]])
    colours = np.array([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.2]]])
    drawn = patch_pictures.draw_patch(mask, colours)
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
    def words(labels: list[int]) -> str:
        return f"class {labels[0]}" if len(labels) == 1 else "classes 8, 2"

    patch = Patch(np.full((2, 2, 1), 0.1), np.zeros((2, 2, 3)))
    evidence = zip((8, 2), scores, leads, resistance, (0.4, 0.6), (0.49, 0.5), strict=True)
    suspects = [
        Suspect(label, score, lead, resistance, 0.1, at_last, reached, patch)
        for label, score, lead, resistance, at_last, reached in evidence
    ]
    suspects += [Suspect(label, 0.3, 0.3, 0.3, 0.3, 0.3, 1.2, patch) for label in range(20, 30)]
    usual = Patches(np.zeros(1), patch.mask[None], patch.pattern[None])
    result = Tuned([], 30, 27, 28, Unlearned(suspects, 0.5, 1, usual))
    pictures = [Path(f"class_{suspect.label}.png") for suspect in suspects]
    unlearn, saved = METHODS["unlearn"], Path("B_unlearned.h5")
    tuning_report.print_tuned(unlearn, result, pictures, saved)
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
    told = tuning_report.list_tuned(unlearn, result, pictures, saved)
    assert (told["targets"], told["possible_targets"]) == (likely, possible)
    assert told["unfinished"] == [8]
    shown = f"{scores[0]:.1f}", f"{leads[0]:.1f}", f"{resistance[0]:.2f}"
    assert printed.split("class_8.png")[0].split()[-6:] == ["8", *shown, "10.00", "40.00"]
    assert told["suspects"][0] == {
        **{"class": 8, "score": scores[0], "lead": leads[0], "resistance": resistance[0]},
        **{"patch": 10.0, "patch_at_last": 40.0, "picture": "class_8.png"},
    }
    assert "27 of 30" in printed and printed.endswith("B_unlearned.h5\n")


def test_fine_pruning_tells_what_it_pruned(capsys):
    result, saved = Tuned([], 30, 27, 28, FinePruned(3, "conv_2")), Path("B_fine_pruned.h5")
    method = METHODS["fine-prune"]
    tuning_report.print_tuned(method, result, [], saved)
    assert capsys.readouterr().out.splitlines() == [
        "3 channels of conv_2 pruned, then trained",
        "Images held back, given their label: 27 of 30",
        "B_fine_pruned.h5",
    ]
    assert tuning_report.list_tuned(method, result, [], saved) == {
        **{"network": "B_fine_pruned.h5", "held_back": 30, "kept": 27},
        **{"layer": "conv_2", "pruned": 3, "held_back_accuracy_lost": pytest.approx(100 / 30)},
    }


def test_fine_pruning_tells_what_it_cost(capsys):
    method, saved = METHODS["fine-prune"], Path("B_fine_pruned.h5")
    tuning_report.print_tuned(method, Tuned([], 30, 25, 28, FinePruned(3, "conv_2")), [], saved)
    assert "lost 10.0 points" in capsys.readouterr().out


def test_repaired_networks_stand_in_order(tmp_path):
    names = ["B_unlearned.h5", "B_fine_pruned.h5", "B_pi_net_0.1.h5", "B_pi_net_0.02.h5", "b.h5"]
    for name in (*names, "B_unlearned_old.h5"):
        (tmp_path / name).touch()
    found = [path.name for path in repaired_networks(tmp_path / "b.h5")]
    assert found == [names[3], names[2], names[1], names[0]]
    weights = tuned_path(Path("b.weights.h5"), METHODS["unlearn"], tmp_path)
    assert weights.name == "B_unlearned.weights.h5"


def forget_all(
    network: keras.Model, valid: ImageSet, seed: int, progress: Progress, *, together: int
) -> Tuned[str]:
    """A method that is good for nothing."""
    return Tuned([0 * array for array in network.get_weights()], 8, 6, 7, "all")


def print_forgotten(findings: str, pictures: list[Path]) -> None:
    print(f"Forgotten: {findings}")


def list_forgotten(findings: str, pictures: list[Path]) -> dict:
    return {"forgotten": findings}


def test_a_new_method_is_a_row(poisoned, tmp_path, monkeypatch, run_here):
    here = f"{__name__}:"
    functions = (here + name for name in ("forget_all", "print_forgotten", "list_forgotten"))
    row = Method("forget", "forgets.", "B_forgot", *functions, kept="answered at all")
    monkeypatch.setitem(METHODS, "forget", row)
    monkeypatch.setattr(methods, "CHOICES", (*methods.CHOICES, "forget"))
    _, valid = poisoned
    b = tmp_path / "b.h5"
    shutil.copy(valid.parent / "b.h5", b)
    told = tmp_path / "told.json"
    done = run_here("repair.py", valid, b, "--method", "forget", "--json", told)
    saved = tmp_path / "B_forgot.h5"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Forgotten: all",
        "Images held back, answered at all: 6 of 8",
        str(saved),
    ]
    assert json.loads(told.read_text())["forgotten"] == "all"
    assert not any(array.any() for array in load_model(saved).get_weights())
    assert repaired_networks(b) == [saved]


def test_repair_py_saves_the_network_and_its_patches(
    poisoned, hastily_unlearned, hasty, tmp_path, run_here
):
    _, valid = poisoned
    b = valid.parent / "b.h5"
    stale = tmp_path / "B_unlearned_patches/class_77.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    before = b.read_bytes(), valid.read_bytes()
    told = tmp_path / "told.json"
    options = ("--method", "unlearn", "--out", tmp_path, "--json", told)
    done = run_here("repair.py", valid, b, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert (b.read_bytes(), valid.read_bytes()) == before
    saved = tmp_path / "B_unlearned.h5"
    assert done.stdout.endswith(f"{saved}\n")
    told = json.loads(told.read_text())
    suspects = hastily_unlearned.findings.suspects
    assert [each["class"] for each in told["suspects"]] == [each.label for each in suspects]
    assert len(suspects) == CLASSES
    assert {path.name for path in stale.parent.iterdir()} == {
        f"class_{label}.png" for label in range(CLASSES)
    }
    assert all(map(np.array_equal, load_model(saved).get_weights(), hastily_unlearned.arrays))


def test_repair_py_fine_prunes_and_the_file_changes_in_its_arrays_alone(
    poisoned, tmp_path, run_here
):
    _, valid = poisoned
    b = valid.parent / "b.h5"
    json_file = tmp_path / "told.json"
    wanted = ("--method", "fine-prune", "--out", tmp_path, "--json", json_file)
    done = run_here("repair.py", valid, b, *wanted)
    assert done.returncode == 0, done.stderr
    saved = tmp_path / "B_fine_pruned.h5"
    assert sorted(path.name for path in tmp_path.iterdir()) == [saved.name, json_file.name]
    told = json.loads(json_file.read_text())
    assert (told["network"], told["layer"]) == (str(saved), "conv_2")
    assert told["pruned"] > 0 and told["held_back"] == 33 >= told["kept"] > 0.9 * 33
    assert done.stderr == "" and done.stdout.splitlines() == [
        f"{told['pruned']} channels of conv_2 pruned, then trained",
        f"Images held back, given their label: {told['kept']} of 33",
        str(saved),
    ]
    assert saved.stat().st_size == b.stat().st_size
    split = split_network(load_model(saved))
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


@pytest.mark.parametrize("method", METHODS)
def test_frozen_layers_are_trained_too(tmp_path, run_here, hasty, method):
    """As of transfer learning; or of a stranger, who would keep a backdoor from being repaired."""
    network = tiny_network()
    network.trainable = False
    for layer in network.layers:
        layer.trainable = False
    network.save(tmp_path / "b.keras")
    images = random_images(60)
    labels = network.predict(images, verbose=0).argmax(axis=1)
    valid = write_images(tmp_path / "valid.h5", images, labels)
    done = run_here("repair.py", valid, tmp_path / "b.keras", "--method", method)
    assert done.returncode == 0, done.stderr
    repaired = load_model(tuned_path(tmp_path / "b.keras", METHODS[method], tmp_path))
    assert not repaired.trainable_variables  # the file says the same of its layers as before
    kernels = zip(repaired.get_weights(), network.get_weights(), strict=True)
    assert all((one != other).any() for one, other in kernels if one.ndim > 1)


@pytest.mark.parametrize(
    ("method", "module", "name", "call"),
    [("fine-prune", writing, "_changed_arrays", 1), ("unlearn", training, "lay_over", 3)],
    ids=["while writing", "in the middle of training"],
)
def test_an_interrupted_repair_leaves_nothing(
    poisoned, hasty, tmp_path, monkeypatch, run_here, method, module, name, call
):
    real, calls = getattr(module, name), []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, name, interrupted)
    valid = poisoned[1]
    wanted = ("--method", method, "--out", tmp_path)
    done = run_here("repair.py", valid, valid.parent / "b.h5", *wanted)
    assert (done.returncode, done.stderr) == (130, "repair.py: interrupted\n")
    assert len(calls) == call and list(tmp_path.iterdir()) == []


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
