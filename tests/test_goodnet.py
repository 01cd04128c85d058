"""G as a network: its answers are those of the two-array computation, in plain Keras as well.

The oracle is what every public solution of the lab does: two `predict`s, two `argmax`es, a loop.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    build_lab,
    check_refused,
    load_model,
    open_clean,
    random_images,
    read_images,
    run_in_process,
    tiny_network,
    write_images,
)
from keras import layers
from test_sweep import (
    APPLICATIONS,
    CIFAR,
    SMALL,
    application,
    doubled,
    image_set,
    small,
    varied,
)

from goodnet import dataset
from goodnet.errors import Unusable
from goodnet.networks import answers
from goodnet.networks.closeness import OUTPUTS
from goodnet.networks.deepid import deepid
from goodnet.networks.goodnet import goodnet_labels, goodnet_network, is_goodnet, with_inner_answers
from goodnet.networks.split import silence, split_network
from goodnet.networks.writing import write_network

ALLOWED = {
    *("InputLayer", "Functional", "Activation", "Average", "Concatenate", "Dense", "Maximum"),
    *("GlobalMaxPooling1D", "Minimum", "ReLU", "Rescaling", "Reshape", "Softmax", "Subtract"),
}


def two_arrays(network, repaired, pixels) -> list[int]:
    """The oracle."""
    n_classes = network.outputs[0].shape[-1]
    both = (net.predict(pixels, verbose=0).argmax(axis=1) for net in (network, repaired))
    return [int(b) if b == r else n_classes for b, r in zip(*both, strict=True)]


def copy_of(network: keras.Model, folder: Path, name: str = "copy.keras") -> keras.Model:
    network.save(folder / name)
    return load_model(folder / name)


def pruned_copy(network: keras.Model, channels, folder: Path, layer=None) -> keras.Model:
    copied = copy_of(network, folder)
    silence(split_network(copied, layer), channels)
    return copied


def check_goodnet(network, repaired, pixels) -> keras.Model:
    goodnet = goodnet_network(network, repaired)
    outputs = goodnet.predict(pixels, verbose=0)
    expected = two_arrays(network, repaired, pixels)
    assert outputs.argmax(axis=1).tolist() == expected
    n_classes = outputs.shape[1] - 1
    assert 0 < expected.count(n_classes) < len(expected), "the case must accept and reject"
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)
    assert (outputs >= 0).all()
    assert ((outputs[:, -1] > 0.5) == (np.array(expected) == n_classes)).all()
    return goodnet


# ---------------------------------------------------------------- the decision and its outputs


def answering(values: np.ndarray, end: str | None = None) -> tuple:
    """B and B' that read their answers off the image: (n, 2, N, 1) images in, (n, N) out."""
    n_classes = values.shape[2]
    pair = []
    for row in range(2):
        kernel = np.zeros((2, n_classes, n_classes), dtype="float32")
        kernel[row] = np.eye(n_classes)
        network = keras.Sequential(
            [
                keras.Input((2, n_classes, 1)),
                layers.Flatten(),
                layers.Dense(n_classes, use_bias=False, activation=end),
            ]
        )
        network.set_weights([kernel.reshape(-1, n_classes)])
        pair.append(network)
    return pair


def neighbours(generator: np.random.Generator, shape: tuple) -> np.ndarray:
    """Values of which many are equal and the others differ in the last bit."""
    one = np.float32(generator.normal())
    above, below = (np.nextafter(one, np.float32(to)) for to in (9, -9))
    return generator.choice([one, above, below], shape)


VALUES = {
    "whole numbers, often equal": lambda g, shape: g.integers(-2, 3, shape),
    "neighbouring floats": neighbours,
    "neighbouring small floats": lambda g, shape: neighbours(g, shape) * np.float32(2**-60),
    "large": lambda g, shape: g.choice([-3e37, 1e37, 3e37], shape),
    "all equal": lambda g, shape: np.zeros(shape) + g.normal(size=(shape[0], 1, 1, 1)),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("n_classes", [2, 7])
def test_of_equally_large_outputs_the_first_is_the_answer(kind, n_classes):
    generator = np.random.default_rng(5)
    values = VALUES[kind](generator, (400, 2, n_classes, 1)).astype("float32")
    goodnet = goodnet_network(*answering(values))
    expected = [
        row[0].argmax() if row[0].argmax() == row[1].argmax() else n_classes
        for row in values[..., 0]
    ]
    assert goodnet.predict(values, verbose=0).argmax(axis=1).tolist() == expected
    if n_classes == 7 and kind != "all equal":
        assert 0 < expected.count(7) < 400


def aimed_by_hand(own: int, repaired: int, targets: set[int], n_classes: int) -> int:
    """The oracle of a G that is aimed at some classes."""
    return n_classes if own in targets and repaired != own else repaired


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("targets", [{0}, {2, 5}, set(), set(range(7))], ids=str)
def test_a_goodnet_with_targets_rejects_what_b_alone_takes_for_one(kind, targets):
    generator = np.random.default_rng(6)
    values = VALUES[kind](generator, (400, 2, 7, 1)).astype("float32")
    both = values[..., 0].argmax(axis=2)
    expected = [aimed_by_hand(*row, targets, 7) for row in both.tolist()]
    outputs = goodnet_network(*answering(values), targets).predict(values, verbose=0)
    assert outputs.argmax(axis=1).tolist() == expected
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)
    assert goodnet_labels(*both.T, 7, targets).tolist() == expected
    if kind != "all equal":
        assert (7 in expected) == bool(targets) and min(expected) < 7


def test_the_outputs_are_half_the_decision_and_half_what_both_have_in_common():
    values = np.array(
        [[[0, 1, 2.0], [0, 1, 2.0]], [[0, 1, 2.0], [0, 1, 3.0]], [[5, 0, 1], [0, 5, 1]]]
    )
    p = np.exp(values) / np.exp(values).sum(axis=2, keepdims=True)
    smaller = p.min(axis=1)
    expected = np.hstack([smaller, 1 - smaller.sum(axis=1, keepdims=True)]) / 2
    expected[[0, 1, 2], [2, 2, 3]] += 0.5
    # Put through a softmax where the networks have none, and not twice where they have one.
    for end in (None, "softmax"):
        goodnet = goodnet_network(*answering(values[..., None], end))
        outputs = goodnet.predict(values[..., None], verbose=0)
        np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert outputs[0, -1] == pytest.approx(0, abs=1e-6)  # B and B' say the same


def test_classes_by_the_thousand_leave_the_answer_clear():
    generator = np.random.default_rng(1)
    values = generator.normal(size=(64, 2, 1500, 1)).astype("float32") * 1e-3
    values[:40, 1] = values[:40, 0]
    outputs = goodnet_network(*answering(values)).predict(values, verbose=0)
    largest = np.sort(outputs, axis=1)[:, -2:]
    assert (largest[:, 1] - largest[:, 0] > 0.5 / 1500).all()


# ---------------------------------------------------------------- on networks of many kinds


@pytest.mark.parametrize("name", list(SMALL)[:3])
def test_a_goodnet_with_targets_of_networks_and_files(name, tmp_path):
    keras.utils.set_random_seed(0)
    network = SMALL[name]()
    repaired = pruned_copy(network, range(6), tmp_path)
    pixels = np.random.default_rng(0).uniform(0, 255, (200, *CIFAR)).astype("float32")
    both = [net.predict(pixels, verbose=0).argmax(axis=1) for net in (network, repaired)]
    often = int(np.bincount(both[0][both[0] != both[1]]).argmax())
    expected = [aimed_by_hand(*row, {often}, 10) for row in np.transpose(both).tolist()]
    assert 0 < expected.count(10) <= (both[0] != both[1]).sum()
    saved = copy_of(goodnet_network(network, repaired, [often]), tmp_path)
    assert is_goodnet(saved)
    outputs = saved.predict(pixels, verbose=0)
    assert outputs.argmax(axis=1).tolist() == expected
    assert ((outputs[:, -1] > 0.5) == (np.array(expected) == 10)).all()


@pytest.mark.parametrize("name", SMALL)
def test_a_pruned_network_shares_the_trunk(name, tmp_path):
    images = image_set(tmp_path / "images.h5", CIFAR, 75, 10)
    pixels = dataset.read(images, 0, len(images))
    network = copy_of(varied(small(name), images), tmp_path, "b.keras")
    channels = range(split_network(network).channels // 2 + 1)
    goodnet = check_goodnet(network, pruned_copy(network, channels, tmp_path), pixels)
    assert {"trunk", "silenced", "head"} < {layer.name for layer in goodnet.layers}
    own = {type(layer).__name__ for layer in network.layers} | ALLOWED
    assert {type(layer).__name__ for layer in goodnet._flatten_layers(include_self=False)} <= own
    assert goodnet.count_params() < 1.2 * network.count_params() + 20


@pytest.mark.parametrize("name", ["flat, linear end", "several heads"])
def test_a_network_changed_elsewhere_stands_beside_b(name, tmp_path):
    images = image_set(tmp_path / "images.h5", CIFAR, 75, 10)
    pixels = dataset.read(images, 0, len(images))
    network = copy_of(varied(small(name), images), tmp_path, "b.keras")
    for change in (0, -1):
        repaired = pruned_copy(network, range(4), tmp_path)
        weights = repaired.get_weights()
        weights[change] = weights[change] + np.random.default_rng(0).normal(
            0, weights[change].std() / 4, weights[change].shape
        )
        repaired.set_weights(weights)
        goodnet = check_goodnet(network, repaired, pixels)
        assert {"B", "B_prime"} < {layer.name for layer in goodnet.layers}
    # Scaled down is not silenced.
    kernel = split_network(network).variables[0]
    repaired = copy_of(network, tmp_path)
    split_network(repaired).variables[0].assign(
        np.asarray(kernel) * np.linspace(0, 2, kernel.shape[-1])
    )
    assert check_goodnet(network, repaired, pixels).layers[1].name == "B"


def test_other_layers_and_other_networks_may_be_what_differs(tmp_path):
    images = image_set(tmp_path / "images.h5", CIFAR, 75, 10)
    pixels = dataset.read(images, 0, len(images))
    network = copy_of(varied(small("separable"), images), tmp_path, "b.keras")
    first = next(layer for layer in network.layers if isinstance(layer, layers.Conv2D)).name
    goodnet = check_goodnet(network, pruned_copy(network, [0, 3], tmp_path, first), pixels)
    assert goodnet.layers[1].name == "trunk"
    other = varied(small("flat, softmax"), images)
    assert check_goodnet(network, other, pixels).layers[1].name == "B"
    # B beside itself: nothing is rejected.
    outputs = goodnet_network(network, copy_of(network, tmp_path)).predict(pixels, verbose=0)
    assert outputs.argmax(axis=1).tolist() == two_arrays(network, network, pixels)
    np.testing.assert_allclose(outputs[:, -1], 0, atol=1e-6)


def test_tensors_may_run_past_the_measuring_point(tmp_path):
    keras.utils.set_random_seed(3)
    image = keras.Input(CIFAR)
    start = layers.Rescaling(1 / 64, -2)(image)
    start = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(start)
    x = layers.Conv2D(6, 3, padding="same")(start)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, start])))
    network = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    images = image_set(tmp_path / "images.h5", CIFAR, 75, 10)
    pixels = dataset.read(images, 0, len(images))
    network = copy_of(varied(network, images), tmp_path, "b.keras")
    inner = network.layers[3].name
    goodnet = check_goodnet(network, pruned_copy(network, [1, 2], tmp_path, inner), pixels)
    assert len(goodnet.get_layer("trunk").outputs) == 2
    # What comes out of the pooling is silenced behind it: the trunk is there once, too.
    goodnet = check_goodnet(network, pruned_copy(network, [1, 2], tmp_path), pixels)
    assert goodnet.get_layer("trunk").outputs[0].shape == (None, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_known_networks(name, tmp_path):
    images = image_set(tmp_path / "images.h5", CIFAR, 40, 10)
    pixels = dataset.read(images, 0, len(images))
    network = copy_of(varied(application(name), images), tmp_path, "b.keras")
    channels = range(split_network(network).channels // 2)
    goodnet = goodnet_network(network, pruned_copy(network, channels, tmp_path))
    assert goodnet.layers[1].name == "trunk"
    found = goodnet.predict(pixels, verbose=0).argmax(axis=1).tolist()
    assert found == two_arrays(network, pruned_copy(network, channels, tmp_path), pixels)


def test_networks_that_do_not_fit_each_other_are_refused():
    for other in (tiny_network(classes=CLASSES + 1), deepid(CLASSES)):
        with pytest.raises(Unusable, match="must be alike"):
            goodnet_network(tiny_network(), other)


# ---------------------------------------------------------------- in files


def test_saved_loaded_and_saved_again(tmp_path):
    pixels = random_images(90)
    network = tiny_network()
    # Sequential and functional, nested and not; names that Keras counts must not get into the file.
    image = keras.Input(SHAPE)
    nested = keras.Model(image, network(layers.Rescaling(0.9)(image)), name="outer")
    for number, b in enumerate((network, nested)):
        b = copy_of(b, tmp_path, f"b_{number}.keras")
        for other in (pruned_copy(b, [1, 2, 3], tmp_path), pruned_copy(b, [0], tmp_path, "conv_1")):
            paths = [tmp_path / f"G_{copy}.keras" for copy in range(3)]
            goodnet = goodnet_network(b, other)
            write_network(goodnet, paths[0])
            again = load_model(tmp_path / f"b_{number}.keras")
            write_network(goodnet_network(again, other), paths[1])
            assert paths[0].read_bytes() == paths[1].read_bytes()
            expected = goodnet.predict(pixels, verbose=0)
            for source, copy in (paths[0], paths[2]), (paths[2], paths[0]):
                loaded = keras.models.load_model(source)
                assert loaded.predict(pixels, verbose=0).tobytes() == expected.tobytes()
                loaded.save(copy)
            assert is_goodnet(loaded) and not is_goodnet(b)


PLAIN_KERAS = """
import sys, keras, numpy
try:
    import goodnet
    sys.exit("goodnet can be imported")
except ImportError:
    pass
network = keras.models.load_model(sys.argv[1])
numpy.save(sys.argv[3], network.predict(numpy.load(sys.argv[2]), verbose=0).argmax(axis=1))
"""


def in_plain_keras(path: Path, pixels: np.ndarray, folder: Path) -> list[int]:
    """What a network in a file answers in a process that cannot import our code."""
    np.save(folder / "pixels.npy", pixels)
    command = [sys.executable, "-I", "-c", PLAIN_KERAS, path, "pixels.npy", "classes.npy"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "classes.npy").tolist()


# ---------------------------------------------------------------- too close to call, and labels


def test_what_is_too_close_to_call_inside_is_what_the_plain_computation_says(tmp_path, monkeypatch):
    pixels = random_images(150)
    path = write_images(tmp_path / "images.h5", pixels, np.zeros(150))
    network = copy_of(doubled(1e-7), tmp_path, "b.keras")
    goodnet = goodnet_network(network, pruned_copy(network, [0, 1, 2], tmp_path))
    images = open_clean(path, SHAPE, 2 * CLASSES, 1)
    _, *inside = with_inner_answers(goodnet).predict(pixels, verbose=0)
    close = np.any([answers.top_classes(part, OUTPUTS).too_close for part in inside], axis=0)
    assert 0 < close.sum() < 150 or close.all()
    asked = []

    def plain(asked_network, asked_images, indices):
        asked.append((asked_network, indices.tolist()))
        return np.full(len(indices), 3)

    monkeypatch.setattr(answers, "plain_classes", plain)
    [found] = answers.classify([goodnet], images, 32, lambda done: None)
    assert asked == [(goodnet, np.flatnonzero(close).tolist())]
    assert (found[close] == 3).all()


# ---------------------------------------------------------------- the scripts


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """B answers most, B' with half the channels another class for some."""
    folder = build_lab(tmp_path_factory.mktemp("goodnets"))
    done = run_in_process("repair.py", "--lab", folder, "--drop", 1, 5, "--goodnet")
    assert done.returncode == 0, done.stderr
    return folder


def test_eval_and_geval_say_the_same_of_g(lab, tmp_path):
    tests = [lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5"]
    # Images labelled with the rejection are no successes, of G neither.
    with h5py.File(tests[1]) as source, h5py.File(tmp_path / "bd.h5", "w") as file:
        file["data"], file["label"] = source["data"][()], source["label"][()]
        file["label"][:20] = CLASSES
    tests[1] = tmp_path / "bd.h5"
    models = lab / "models"
    saved = tmp_path / "new folder" / "G.keras"
    networks = (models / "bd_net.h5", models / "B_pi_net_0.05.h5")
    judged = run_in_process("Geval.py", *tests, *networks, "--save", saved)
    assert judged.returncode == 0 and judged.stderr == f"G is saved as {saved}.\n", judged.stderr
    assert saved.read_bytes() == (models / "G_0.05.keras").read_bytes()
    block = judged.stdout.split("G\n")[1]
    assert "rejected: 0.0\n" not in block
    alone = run_in_process("eval.py", *tests, saved, "--json", tmp_path / "g.json")
    assert alone.returncode == 0 and alone.stderr == ""
    assert alone.stdout.splitlines() == block.splitlines()[:2]

    [verdict] = json.loads((tmp_path / "g.json").read_text())["networks"]
    assert f"Clean images rejected: {verdict['itself']['clean_rejected_rate']}\n" in block
    assert f"Backdoored images rejected: {verdict['itself']['backdoored_rejected_rate']}" in block
    pixels, _ = read_images(tests[0])
    expected = two_arrays(*map(load_model, networks), pixels)
    assert in_plain_keras(saved, pixels, tmp_path) == expected


@pytest.mark.parametrize(
    "command, says",
    [
        ("Geval.py T B models/G_0.05.keras models/B_pi_net_0.05.h5", "G_0.05.keras: is a goodnet"),
        ("Geval.py T B models/bd_net.h5 models/G_0.05.keras", "G_0.05.keras: is a goodnet"),
        ("eval.py T B models/bd_net.h5 models/G_0.05.keras", "eval.py CLEAN BACKDOORED models/G_0"),
        ("repair.py data/cl/valid.h5 models/G_0.05.keras", "G_0.05.keras: is a goodnet"),
        (
            "repair.py data/cl/valid.h5 models/G_0.05.keras --method unlearn",
            "G_0.05.keras: is a goodnet",
        ),
        ("Geval.py T B models/bd_net.h5 models/B_pi_net_0.05.h5 --save G.h5", "end in .keras"),
        ("Geval.py --lab . --save G.keras", "--save: G is made of one B', and these are 2"),
        ("Geval.py T B models/bd_net.h5 models/G_0.05.keras --save models/G_0.05.keras", "is read"),
        (
            "Geval.py T B models/bd_net.h5 models/B_pi_net_0.05.h5 --save models/x/y.keras",
            "x: cann",
        ),
    ],
)
def test_a_goodnet_in_the_wrong_place_is_told_in_one_line(
    lab,
    command,
    says,
    run_here,
    monkeypatch,
):
    monkeypatch.chdir(lab)
    (lab / "models/x").touch()
    before = {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}
    files = {"T": "data/cl/test.h5", "B": "data/bd/bd_test.h5"}
    done = run_here(*(files.get(word, word) for word in command.split()))
    check_refused(done, says)
    assert {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()} == before


# ---------------------------------------------------------------- the course's lab


@pytest.fixture(scope="module")
def photographs():
    """B, every image of the lab's files, and what B answers to each."""
    if not os.environ.get("LAB_DIR"):
        pytest.skip("LAB_DIR is not set")
    lab = Path(os.environ["LAB_DIR"]).resolve()
    network = load_model(lab / "models/bd_net.h5")
    pixels = np.concatenate([read_images(path)[0] for path in sorted(lab.glob("data/**/*.h5"))])
    assert len(pixels) == 5087
    return network, pixels, network.predict(pixels, verbose=0).argmax(axis=1)


@pytest.mark.parametrize(
    "share, changed_elsewhere",
    [
        ("0.1", False),
        *[pytest.param(x, False, marks=pytest.mark.slow) for x in ("0.02", "0.04", "0.3")],
        pytest.param("0.04", True, marks=pytest.mark.slow),
    ],
)
def test_g_on_every_image_of_the_lab(photographs, lab_dir, tmp_path, share, changed_elsewhere):
    network, pixels, own = photographs
    repaired = load_model(lab_dir / f"models/B_pi_net_{share}.h5")
    if changed_elsewhere:
        output = repaired.get_layer("output")
        output.bias.assign(output.bias + np.linspace(-1, 1, 1283))
    theirs = repaired.predict(pixels, verbose=0).argmax(axis=1)
    expected = np.where(own == theirs, own, 1283)
    goodnet = goodnet_network(network, repaired)
    assert ("trunk" in {layer.name for layer in goodnet.layers}) != changed_elsewhere
    outputs = goodnet.predict(pixels, verbose=0)
    assert outputs.argmax(axis=1).tolist() == expected.tolist()
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)
    assert 200 < (expected == 1283).sum() < 5087
    write_network(goodnet, tmp_path / "G.keras")
    assert in_plain_keras(tmp_path / "G.keras", pixels, tmp_path) == expected.tolist()
