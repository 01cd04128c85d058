"""Networks of pure bfloat16: files know no such numbers, so Keras says beside them what it is."""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    edit_weights,
    load_model,
    load_network,
    open_clean,
    random_images,
    write_images,
)
from keras import layers

from goodnet.errors import Unsafe, Unusable
from goodnet.networks.writing import Change, write_copy

BFLOAT16 = np.dtype("bfloat16")  # which Keras brings along
KERNEL = "layers/conv2d/vars/0"


def network() -> keras.Model:
    keras.utils.set_random_seed(4)
    policy = {"dtype": "bfloat16"}
    stack = [layers.Rescaling(1 / 64, **policy), layers.Conv2D(6, 3, activation="relu", **policy)]
    stack += [layers.Flatten(**policy), layers.Dense(CLASSES, **policy)]
    return keras.Sequential([keras.Input(SHAPE), *stack])


def predicted(model: keras.Model) -> np.ndarray:
    answers = model.predict(random_images(40), verbose=0)
    assert answers.dtype == BFLOAT16
    return answers


def edited(path: Path, edit: Callable[[h5py.File], None]) -> Path:
    """A .keras file of the network, in whose arrays something is changed."""
    network().save(path)
    edit_weights(path, edit)
    return path


def test_it_answers_as_in_keras_and_is_written_back(tmp_path):
    path, copy = tmp_path / "b.keras", tmp_path / "copy.keras"
    b = network()
    b.save(path)
    loaded = load_network(path)
    np.testing.assert_array_equal(predicted(loaded.model), predicted(b))
    kernel = loaded.in_file.layers[1].kernel
    old = np.asarray(kernel)
    assert old.dtype == BFLOAT16
    new = old * BFLOAT16.type(2)
    write_copy(loaded, copy, [Change(kernel, old, new)])
    b.layers[1].kernel.assign(new)
    np.testing.assert_array_equal(predicted(keras.models.load_model(copy)), predicted(b))
    too_fine = new.astype("float32") + 1e-6
    with pytest.raises(Unusable, match="keeps .* as bfloat16, which cannot hold the repaired"):
        write_copy(loaded, copy, [Change(kernel, old, too_fine)])


def without_a_word(file: h5py.File) -> None:
    del file[KERNEL].attrs["dtype"]


def with_another_word(file: h5py.File) -> None:
    file[KERNEL].attrs["dtype"] = "float16"


def with_a_list(file: h5py.File) -> None:
    file[KERNEL].attrs["dtype"] = ["bfloat16", "bfloat16"]


def with_a_number(file: h5py.File) -> None:
    file[KERNEL].attrs["dtype"] = 16


def of_three_bytes(file: h5py.File) -> None:
    shape = file[KERNEL].shape
    del file[KERNEL]
    file[KERNEL] = np.zeros(shape, "V3")
    file[KERNEL].attrs["dtype"] = "bfloat16"


def of_a_record(file: h5py.File) -> None:
    shape = file[KERNEL].shape
    del file[KERNEL]
    file[KERNEL] = np.zeros(shape, [("a", "u1"), ("b", "u1")])
    file[KERNEL].attrs["dtype"] = "bfloat16"


def tagged(file: h5py.File) -> None:
    """The same two bytes, which another program gave a meaning."""
    shape = file[KERNEL].shape
    del file[KERNEL]
    file.create_dataset(KERNEL, shape, h5py.opaque_dtype(np.dtype("M8[s]")))
    file[KERNEL].attrs["dtype"] = "bfloat16"


EDITS = [without_a_word, with_another_word, with_a_list, with_a_number]
EDITS += [of_three_bytes, of_a_record, tagged]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_two_bytes_that_are_not_said_to_be_bfloat16_are_no_numbers(tmp_path, edit):
    with pytest.raises(Unsafe):
        load_model(edited(tmp_path / "b.keras", edit))


def test_an_h5_of_it_is_refused_as_keras_does_not_read_it(tmp_path):
    network().save(tmp_path / "b.h5")
    with pytest.raises(ValueError, match="No cast function available"):
        keras.models.load_model(tmp_path / "b.h5")
    with pytest.raises(Unusable, match="not numbers"):
        load_model(tmp_path / "b.h5")


def test_an_image_set_holds_no_bfloat16(tmp_path):
    pixels = random_images(6).astype(BFLOAT16)
    path = write_images(tmp_path / "images.h5", pixels.view("V2"), np.zeros(6))
    with h5py.File(path, "r+") as file:
        file["data"].attrs["dtype"] = "bfloat16"
    with pytest.raises(Unusable, match="not numbers"):
        open_clean(path, SHAPE, CLASSES)
