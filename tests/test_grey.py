"""Images without an axis of colours, and networks that take them. The oracle is plain Keras."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import check_refused, load_network, open_clean, write_images
from keras import layers
from PIL import Image

from goodnet import dataset

SIDES, IMAGES, N = (12, 10), 70, 6


def digits() -> np.ndarray:
    """Blotches (n, height, width)."""
    rng = np.random.default_rng(8)
    coarse = rng.normal(128, 80, (IMAGES, 6, 5)).repeat(2, axis=1).repeat(2, axis=2)
    return coarse.clip(0, 255).astype(np.uint8)


def network(takes: str, outputs: int = N) -> keras.Model:
    keras.utils.set_random_seed(6)
    first = [keras.Input((*SIDES, 1))]
    if takes == "no colour":
        first = [keras.Input(SIDES), layers.Reshape((*SIDES, 1))]
    last = layers.Dense(outputs, activation="softmax" if outputs > 1 else "sigmoid")
    middle = [layers.Conv2D(8, 3, activation="relu", name="conv"), layers.MaxPooling2D()]
    made = keras.Sequential([*first, layers.Rescaling(1 / 64, -2), *middle, layers.Flatten(), last])
    before = keras.Model(made.inputs, last.input).predict(digits(), verbose=0)
    kernel = 3 * last.get_weights()[0]
    last.set_weights([kernel, -(before @ kernel).mean(axis=0)])
    return made


def plain(model: keras.Model) -> np.ndarray:
    answers = model.predict(digits().astype("float32"), verbose=0)
    return answers.argmax(axis=1) if answers.shape[1] > 1 else (answers[:, 0] > 0.5).astype(int)


def images_file(path: Path, labels: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = digits(), labels
    return path


@pytest.fixture(params=[("no colour", N), ("one colour", N), ("no colour", 1)])
def files(request, tmp_path) -> tuple[Path, Path]:
    """A network's file and images (n, height, width), of which 7 of 70 have the wrong label."""
    model = network(*request.param)
    labels = plain(model)
    assert len(set(labels)) >= min(request.param[1], 2)
    labels[:7] = (labels[:7] + 1) % max(request.param[1], 2)
    path = tmp_path / ("b.h5" if request.param[0] == "one colour" else "b.keras")
    model.save(path)
    return path, images_file(tmp_path / "images.h5", labels)


def test_they_are_judged_as_plain_keras_answers(files, run_here):
    path, images = files
    done = run_here("eval.py", images, images, path)
    assert done.stdout.splitlines()[0] == "Clean Classification accuracy: 90.0", done.stderr


def test_a_copy_takes_what_b_takes(files, run_here, tmp_path):
    path, images = files
    done = run_here("repair.py", images, path, "--drop", 1, "--out", tmp_path, "--goodnet")
    assert done.returncode == 0, done.stderr
    copy = tmp_path / f"B_pi_net_0.01{path.suffix}"
    b, repaired = keras.models.load_model(path), keras.models.load_model(copy)
    assert repaired.input_shape == b.input_shape and repaired.output_shape == b.output_shape
    answers, other = plain(b), plain(repaired)
    assert (answers != other).any()
    rejected = max(N if b.output_shape[1] == N else 2, 2)
    goodnet = keras.models.load_model(tmp_path / "G_0.01.keras")
    found = goodnet.predict(digits()[..., None].astype("float32"), verbose=0).argmax(axis=1)
    assert found.tolist() == np.where(answers == other, answers, rejected).tolist()
    with h5py.File(images) as file:
        right = float((other == file["label"][()]).mean() * 100)
    first = run_here("eval.py", images, images, copy).stdout.splitlines()[0]
    assert float(first.rpartition(" ")[2]) == pytest.approx(right, abs=1e-9)


def test_image_files_are_answered(files, run_here, tmp_path):
    path, _ = files
    for number in range(5):
        Image.fromarray(digits()[number]).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.glob("*.png"))
    done = run_here("predict.py", *photos, "--model", path)
    said = [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]
    assert said == plain(load_network(path).in_file)[:5].tolist(), done.stderr


def test_fine_pruning_leaves_the_input_as_it_was(files, run_here, tmp_path, monkeypatch):
    from goodnet.tuning import fine_pruning

    monkeypatch.setattr(fine_pruning, "EPOCHS", 1)
    path, images = files
    done = run_here("repair.py", images, path, "--method", "fine-prune", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    repaired = keras.models.load_model(tmp_path / f"B_fine_pruned{path.suffix}")
    assert repaired.input_shape == keras.models.load_model(path).input_shape


def test_with_and_without_the_axis_the_images_are_the_same(tmp_path):
    labels = np.zeros(IMAGES)
    three = images_file(tmp_path / "three.h5", labels)
    four = write_images(tmp_path / "four.h5", digits()[..., None], labels)
    found = [
        dataset.read(open_clean(path, shape, 2), 3, 9)
        for path in (three, four)
        for shape in ((*SIDES, 1), (None, None, 1))
    ]
    assert all(np.array_equal(each, digits()[3:9, ..., None]) for each in found)


def test_a_network_of_three_colours_refuses_them(tmp_path, run_here):
    model = keras.Sequential([keras.Input((*SIDES, 3)), layers.Flatten(), layers.Dense(N)])
    model.save(tmp_path / "b.keras")
    images = images_file(tmp_path / "images.h5", np.zeros(IMAGES))
    done = run_here("eval.py", images, images, tmp_path / "b.keras")
    check_refused(done, "'data' has the shape (70, 12, 10)")


def test_a_network_of_vectors_is_no_classifier_of_images(tmp_path, run_here):
    for shape in ((120,), (None, 10)):
        model = keras.Sequential([keras.Input(shape), layers.Dense(N)])
        model.save(tmp_path / "b.keras")
        images = images_file(tmp_path / "images.h5", np.zeros(IMAGES))
        done = run_here("eval.py", images, images, tmp_path / "b.keras")
        check_refused(done, "b.keras: is not an image classifier")
