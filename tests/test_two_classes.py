"""Networks of one output are networks of two classes, whatever is done with them.

The oracle is plain Keras: the file is loaded with it, and an image is class 1 where `predict` gives
more than 1/2, or more than 0 where nothing closes the network.
"""

import json
from functools import cache, partial
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import SHAPE, check_refused, convolutions, load_network, open_clean, write_images
from hasty import HASTY, hurry_relearning
from keras import layers
from PIL import Image

from goodnet.methods import METHODS
from goodnet.networks import answers
from goodnet.networks.closeness import BEFORE_SOFTMAX, Closeness
from goodnet.networks.goodnet import goodnet_network
from goodnet.networks.loading import count_classes
from goodnet.networks.split import silence, split_network
from goodnet.pruning import head, sweeping
from goodnet.tuning import fine_pruning, unlearning
from goodnet.tuning.gradients import copy_with_logits

IMAGES = 80


def ignore(amount: int) -> None:
    pass


def functional() -> keras.Model:
    first, *rest = convolutions(4, 6, -2)
    x = first
    for layer in rest:
        x = layer(x)
    return keras.Model(first, layers.Activation("sigmoid")(layers.Dense(1, name="last")(x)))


def nested() -> keras.Model:
    """A pretrained part and a new end, as everybody makes them."""
    first, *rest = convolutions(4, 6, -2)
    end = keras.Sequential([keras.Input((rest[-1].compute_output_shape((None, 2, 2, 6))[1],))])
    end.add(layers.Dense(1, activation="sigmoid", name="last"))
    x = first
    for layer in rest:
        x = layer(x)
    return keras.Model(first, end(x))


def stacked(*end: keras.Layer) -> keras.Model:
    return keras.Sequential([*convolutions(4, 6, -2), *end])


KINDS = {
    "dense": lambda: stacked(layers.Dense(1, activation="sigmoid", name="last")),
    "activation": functional,
    "linear": lambda: stacked(layers.Dense(1, name="last")),
    "hard": lambda: stacked(layers.Dense(1, activation="hard_sigmoid", name="last")),
    "two dense": lambda: stacked(
        layers.Dense(8, activation="relu"), layers.Dense(1, "sigmoid", name="last")
    ),
    "cast": lambda: stacked(
        layers.Dense(1, "sigmoid", name="last"), layers.Activation("linear", dtype="float32")
    ),
    "nested": nested,
}


def find(network: keras.Model, name: str) -> keras.Layer:
    return next(layer for layer in network._flatten_layers() if layer.name == name)


def images_of(seed: int) -> np.ndarray:
    """Blotches, of which a network makes different things."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 70, (IMAGES, 7, 6, 3)).repeat(2, axis=1).repeat(2, axis=2)
    return coarse.clip(0, 255).astype(np.uint8)


def plain_classes(network: keras.Model, pixels: np.ndarray, kind: str) -> np.ndarray:
    """What plain Keras answers, (n,)."""
    output = network.predict(pixels.astype("float32"), verbose=0)
    assert output.shape == (len(pixels), 1)
    return (output[:, 0] > (0 if kind == "linear" else 0.5)).astype(int)


@cache
def centred(kind: str) -> keras.Model:
    """A network that answers each class to half of the images."""
    keras.utils.set_random_seed(4)
    network = KINDS[kind]()
    last, low, high = find(network, "last"), -50.0, 50.0
    for _ in range(20):
        last.bias.assign([(low + high) / 2])
        if plain_classes(network, images_of(0), kind).mean() < 0.5:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    return network


@pytest.fixture(params=KINDS)
def binary(request, tmp_path) -> tuple[str, Path, Path]:
    """A kind of network, its file, and images, of which 4 of 80 have the wrong label."""
    kind, pixels = request.param, images_of(0)
    path = tmp_path / ("b.h5" if kind in ("dense", "linear") else "b.keras")
    centred(kind).save(path)
    labels = plain_classes(keras.models.load_model(path), pixels, kind)
    assert 30 < labels.sum() < 50
    labels[:4] = 1 - labels[:4]
    return kind, path, write_images(tmp_path / "images.h5", pixels, labels)


def test_it_is_judged_as_plain_keras_answers(binary, run_here):
    kind, path, images = binary
    loaded = load_network(path)
    assert count_classes(loaded.model) == 2 and loaded.in_file.output_shape == (None, 1)
    expected = plain_classes(keras.models.load_model(path), images_of(0), kind)
    opened = open_clean(images, SHAPE, 2, 1)
    for batch_size in (7, 64):
        found = answers.classify([loaded.model], opened, batch_size, ignore)
        assert found[0].tolist() == expected.tolist()
    done = run_here("eval.py", images, images, path)
    assert done.stdout.splitlines()[0] == "Clean Classification accuracy: 95.0", done.stderr


def test_an_output_of_one_half_is_class_0(binary):
    kind, path, images = binary
    loaded = load_network(path)
    last = find(loaded.model, "last")
    last.set_weights([0 * weight for weight in last.get_weights()])
    found = answers.classify([loaded.model], open_clean(images, SHAPE, 2, 1), 64, ignore)
    assert not found.any()


def test_what_is_too_close_is_decided_by_the_network_itself(binary, monkeypatch):
    kind, path, images = binary
    monkeypatch.setattr(answers, "allowing", lambda *_: Closeness(1e9, 0))
    loaded = load_network(path)
    asked = []
    plainly = answers.predict_plainly
    monkeypatch.setattr(
        answers, "predict_plainly", lambda *given: asked.append(len(given[1])) or plainly(*given)
    )
    found = answers.classify([loaded.model], open_clean(images, SHAPE, 2, 1), 64, ignore)
    assert found[0].tolist() == plain_classes(loaded.in_file, images_of(0), kind).tolist()
    assert sum(asked) == IMAGES


def test_the_scores_are_those_before_the_sigmoid(binary):
    kind, path, images = binary
    network = load_network(path).model
    scorer = answers.scorer_of(network)
    found = scorer.network.predict(images_of(0).astype("float32"), verbose=0)
    if kind in ("hard", "cast", "nested"):
        assert scorer.network is network and np.allclose(found.sum(axis=1), 1)
    else:
        assert scorer.closeness == BEFORE_SOFTMAX and np.allclose(found.sum(axis=1), 0)


def test_every_row_of_the_sweep_is_what_plain_keras_answers(binary):
    kind, path, images = binary
    loaded, plain = load_network(path), keras.models.load_model(path)
    opened = open_clean(images, SHAPE, 2, 1)
    split = split_network(loaded.model)
    assert (split.layer.name, split.measured_at) == ("conv_2", "pool_2")
    order = list(range(split.channels))
    features = sweeping.features(split, opened, 64)
    sweep = sweeping.Sweep(split, head.head_of(split.head), order, 64)
    rows = np.hstack(list(sweeping.class_rows(sweep, opened, features)))
    conv = find(plain, "conv_2")
    for pruned in range(len(order) + 1):
        expected = plain_classes(plain, images_of(0), kind)
        assert rows[pruned].tolist() == expected.tolist(), f"{pruned} channels pruned"
        if pruned < len(order):
            kernel, bias = conv.get_weights()
            kernel[..., pruned], bias[pruned] = 0, 0
            conv.set_weights([kernel, bias])
    assert len({tuple(row) for row in rows}) > 2
    silence(split, ())


def test_a_copy_has_one_output_and_the_goodnet_three(binary, run_here, tmp_path):
    kind, path, images = binary
    done = run_here("repair.py", images, path, "--drop", 1, "--out", tmp_path, "--goodnet")
    assert done.returncode == 0, done.stderr
    copy = tmp_path / f"B_pi_net_0.01{path.suffix}"
    pixels = images_of(0)
    b, repaired = (
        plain_classes(keras.models.load_model(each), pixels, kind) for each in (path, copy)
    )
    assert (b != repaired).any()
    with_plain_keras = keras.models.load_model(tmp_path / "G_0.01.keras")
    answer = with_plain_keras.predict(pixels.astype("float32"), verbose=0)
    assert answer.shape == (IMAGES, 3) and np.allclose(answer.sum(axis=1), 1, atol=1e-5)
    assert answer.argmax(axis=1).tolist() == np.where(b == repaired, b, 2).tolist()
    done = run_here("Geval.py", images, images, path, copy)
    rejected = float((b != repaired).mean() * 100)
    assert f"Clean images rejected: {rejected}\n" in done.stdout
    again = run_here("eval.py", images, images, tmp_path / "G_0.01.keras")
    assert again.stdout.splitlines() == done.stdout.split("\nG\n")[1].splitlines()[:2]


def answered(binary) -> tuple:
    """A network of one output, images, what it gives for them, and the probability that it says."""
    kind, path, _ = binary
    network = load_network(path)
    pixels = images_of(0).astype("float32")
    output = network.in_file.predict(pixels, verbose=0)
    return network, pixels, output, 1 / (1 + np.exp(-output)) if kind == "linear" else output


def test_the_goodnet_says_the_probabilities_of_both(binary):
    network, pixels, output, p = answered(binary)
    answer = goodnet_network(network.model, network.model).predict(pixels, verbose=0)
    both = np.concatenate([1 - p, p, 0 * p], axis=1) / 2
    both[np.arange(IMAGES), answer.argmax(axis=1)] += 0.5
    np.testing.assert_allclose(answer, both, atol=1e-6)


def test_the_logits_give_the_probabilities(binary):
    network, pixels, output, p = answered(binary)
    copy = copy_with_logits(network.model, pixels)
    found = np.asarray(keras.ops.softmax(copy.logits(pixels)))
    np.testing.assert_allclose(found, np.concatenate([1 - p, p], axis=1), atol=1e-6)
    np.testing.assert_array_equal(network.in_file.predict(pixels, verbose=0), output)


@pytest.mark.parametrize("binary", ["dense", "linear", "hard", "nested"], indirect=True)
@pytest.mark.parametrize("method", METHODS)
def test_repairs_that_train_leave_one_output(binary, run_here, tmp_path, monkeypatch, method):
    kind, path, images = binary
    monkeypatch.setattr(unlearning, "unlearn", partial(unlearning.unlearn, schedule=HASTY))
    monkeypatch.setattr(fine_pruning, "EPOCHS", 1)
    hurry_relearning(monkeypatch, 2)
    done = run_here("repair.py", images, path, "--method", method, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (made,) = tmp_path.glob(f"B_*{path.suffix}")
    repaired, b = keras.models.load_model(made), keras.models.load_model(path)
    assert repaired.output_shape == (None, 1) and repaired.to_json() == b.to_json()
    assert any((x != y).any() for x, y in zip(repaired.get_weights(), b.get_weights(), strict=True))


def test_predict_shows_both_classes(binary, run_here, tmp_path):
    kind, path, _ = binary
    pixels = images_of(0)
    for number in range(6):
        Image.fromarray(pixels[number]).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.glob("*.png"))
    done = run_here("predict.py", *photos, "--model", path, "--json", "-")
    found = json.loads(done.stdout)["images"]
    plain = keras.models.load_model(path)
    expected = plain_classes(plain, pixels, kind)[:6]
    assert [each["class"] for each in found] == expected.tolist()
    outputs = plain.predict(pixels[:6].astype("float32"), verbose=0)[:, 0]
    for each, output in zip(found, outputs, strict=True):
        top = {best["class"]: best["output"] for best in each["network"]["top"]}
        scale = 0.5 if kind == "linear" else 1
        assert top.keys() == {0, 1} and np.isclose(top[1], scale * output, atol=1e-6)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ([layers.Dense(1, activation="tanh")], "ends in tanh"),
        ([layers.Dense(1, activation="relu")], "ends in relu"),
        ([layers.Dense(1, activation="softmax")], "ends in softmax"),
        ([layers.Dense(1), layers.BatchNormalization()], "ends in BatchNormalization"),
    ],
)
def test_what_one_output_does_not_tell_is_refused_in_one_line(tmp_path, run_here, end, said):
    stacked(*end).save(tmp_path / "b.keras")
    images = write_images(tmp_path / "images.h5", images_of(0), np.arange(IMAGES) % 2)
    done = run_here("eval.py", images, images, tmp_path / "b.keras")
    check_refused(done, "b.keras: has one output", said, "an output for each class")


@pytest.mark.parametrize("binary", ["dense"], indirect=True)
def test_three_classes_need_three_outputs(binary, run_here):
    kind, path, images = binary
    with h5py.File(images, "r+") as file:
        file["label"][0] = 2
    done = run_here("eval.py", images, images, path)
    check_refused(done, "1 of 80 labels are outside 0..1")
