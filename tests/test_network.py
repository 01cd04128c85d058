"""Loading networks in every form, and copies that differ in nothing but the silenced arrays."""

import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    load_model,
    load_network,
    older_keras,
    random_images,
    read_images,
    tiny_network,
)
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.deepid import deepid
from goodnet.networks.loading import count_classes, input_shape
from goodnet.networks.split import silence, silenced_arrays, split_network
from goodnet.networks.writing import Change, write_copy


def silenced_copy(source, destination, channels):
    loaded = load_network(source)
    split = split_network(loaded.model)
    write_copy(loaded, destination, silencing(split, channels))
    return loaded.model, split


def silencing(split, channels) -> list[Change]:
    arrays = silenced_arrays(split, channels)
    return [Change(*each) for each in zip(split.variables, split.arrays, arrays, strict=True)]


def normalised_network() -> keras.Model:
    """Two convs with batch norms, one of each nested: same classes, so places must be counted."""
    keras.utils.set_random_seed(5)
    inner = keras.Sequential(
        [
            keras.Input((6, 5, 4)),
            layers.Conv2D(4, 2, use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
        ],
        name="inner",
    )
    network = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 64, -2),
            layers.Conv2D(4, 3, name="first"),
            layers.BatchNormalization(name="first_norm"),
            layers.MaxPooling2D(),
            inner,
            layers.GlobalMaxPooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    for layer in (network.get_layer("first_norm"), inner.get_layer("norm")):
        layer.set_weights([np.linspace(0.5, 1.5, 4)] * 4)
    return network


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("make", [tiny_network, normalised_network])
def test_a_copy_answers_as_if_silenced_in_memory(tmp_path, suffix, make):
    source, copy = tmp_path / f"b{suffix}", tmp_path / f"copy{suffix}"
    make().save(source)
    network, split = silenced_copy(source, copy, [0, 3])
    pixels = random_images(40)
    before = network.predict(pixels, verbose=0)
    silence(split, [0, 3])
    expected = network.predict(pixels, verbose=0)
    assert (before != expected).any()
    opened = keras.models.load_model(copy, compile=False)
    np.testing.assert_array_equal(opened.predict(pixels, verbose=0), expected)


def arrays_of(file: h5py.File) -> dict[str, np.ndarray]:
    found = {}
    file.visititems(
        lambda name, item: (
            found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    )
    return found


def test_an_h5_copy_differs_in_the_silenced_arrays_alone(tmp_path):
    source, copy = tmp_path / "b.h5", tmp_path / "copy.h5"
    tiny_network().save(source)
    silenced_copy(source, copy, [2])
    with h5py.File(source) as old, h5py.File(copy) as new:
        before, after = arrays_of(old), arrays_of(new)
        places = {name: old[name].id.get_offset() for name in before}
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed and all("conv_2" in name for name in changed)
    # Outside the changed arrays, the two files are the same byte for byte.
    contents = [bytearray(path.read_bytes()) for path in (source, copy)]
    for content in contents:
        for name in changed:
            content[places[name] : places[name] + before[name].nbytes] = bytes(before[name].nbytes)
    assert contents[0] == contents[1]


def test_a_keras_copy_keeps_every_other_entry_and_its_date(tmp_path):
    source, copy = tmp_path / "b.keras", tmp_path / "copy.keras"
    tiny_network().save(source)
    silenced_copy(source, copy, [2])
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(copy) as new:
        assert [(e.filename, e.date_time, e.compress_type) for e in old.infolist()] == [
            (e.filename, e.date_time, e.compress_type) for e in new.infolist()
        ]
        for name in old.namelist():
            assert (old.read(name) == new.read(name)) == (name != "model.weights.h5")


def test_an_older_keras_file_has_no_names_of_layers(tmp_path):
    source, copy = tmp_path / "b.keras", tmp_path / "copy.keras"
    normalised_network().save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(source, "w") as old:
        for name in new.namelist():
            content = io.BytesIO(new.read(name))
            if name == "model.weights.h5":
                with h5py.File(content, "r+") as file:
                    file.visititems(lambda _, item: item.attrs.pop("name", None))
            old.writestr(name, content.getvalue())
    network, split = silenced_copy(source, copy, [1])
    silence(split, [1])
    pixels = random_images(10)
    np.testing.assert_array_equal(
        keras.models.load_model(copy).predict(pixels, verbose=0),
        network.predict(pixels, verbose=0),
    )


def keras_2_weights(path, network):
    """Weights alone as Keras 2 saved them: what an .h5 holds under model_weights, at the root."""
    network.save(path.with_suffix(".whole.h5"))
    with h5py.File(path.with_suffix(".whole.h5")) as whole, h5py.File(path, "w") as file:
        for name in whole["model_weights"]:
            whole.copy(f"model_weights/{name}", file)
        file.attrs.update(whole["model_weights"].attrs)
    return path


@pytest.mark.parametrize("kind", ["keras 2", "keras 3"])
def test_weights_alone_are_rebuilt_as_a_deepid_of_their_size(tmp_path, kind):
    network = deepid(9)
    if kind == "keras 2":
        path, copy = keras_2_weights(tmp_path / "w.h5", network), tmp_path / "copy.h5"
    else:
        path, copy = tmp_path / "w.weights.h5", tmp_path / "copy.weights.h5"
        network.save_weights(path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 55, 47, 3))
    loaded = load_model(path)
    assert (input_shape(loaded), count_classes(loaded)) == ((55, 47, 3), 9)
    np.testing.assert_array_equal(
        loaded.predict(pixels, verbose=0), network.predict(pixels, verbose=0)
    )
    _, split = silenced_copy(path, copy, [0, 1])
    with h5py.File(copy) as file:
        assert "model_config" not in file.attrs
    silence(split, [0, 1])
    expected = split.network.predict(pixels, verbose=0)
    np.testing.assert_array_equal(load_model(copy).predict(pixels, verbose=0), expected)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_content_tells_the_format_not_the_name(tmp_path, suffix):
    tiny_network().save(tmp_path / f"b{suffix}")
    other = shutil.copy(tmp_path / f"b{suffix}", tmp_path / "network.model")
    assert count_classes(load_model(other)) == CLASSES


def test_a_compile_configuration_that_keras_refuses_is_left_out(tmp_path):
    network = tiny_network()
    network.compile(loss="categorical_crossentropy")
    network.save(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        loss = {"class_name": "CategoricalCrossentropy", "config": {"reduction": "auto"}}
        file.attrs["training_config"] = json.dumps({"loss": loss, "optimizer_config": {}})
    assert count_classes(load_model(tmp_path / "b.h5")) == CLASSES


def test_two_copies_are_two_networks(tmp_path):
    """The lab's classic fault: networks saved in a loop that are one object."""
    source = tmp_path / "b.h5"
    tiny_network().save(source)
    for count in (1, 4):
        silenced_copy(source, tmp_path / f"{count}.h5", range(count))
    kernels = [
        load_model(tmp_path / name).get_layer("conv_2").kernel.numpy()
        for name in ("b.h5", "1.h5", "4.h5")
    ]
    silent = [int((kernel == 0).all(axis=(0, 1, 2)).sum()) for kernel in kernels]
    assert silent == [0, 1, 4]


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_file_that_changes_after_it_was_loaded_is_copied_as_it_was_loaded(tmp_path, suffix):
    source, copy, kept = (tmp_path / f"{name}{suffix}" for name in ("b", "copy", "kept"))
    tiny_network(seed=0).save(source)
    shutil.copy(source, kept)
    silenced_copy(kept, tmp_path / "expected", [1])
    loaded = load_network(source)
    split = split_network(loaded.model)
    tiny_network(seed=1).save(source)
    changes = silencing(split, [1])
    write_copy(loaded, copy, changes)
    assert copy.read_bytes() == (tmp_path / "expected").read_bytes()
    wrong = [replace(change, old=change.old + 1) for change in changes]
    with pytest.raises(Unusable, match="does not hold"):
        write_copy(loaded, tmp_path / "wrong", wrong)
    assert not (tmp_path / "wrong").exists()


def test_what_is_no_network_is_refused_in_one_line(tmp_path):
    def refused(content: bytes) -> str:
        path = tmp_path / "it.h5"
        path.write_bytes(content)
        with pytest.raises(Unusable) as error:
            load_network(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        return str(error.value)

    tiny_network().save(tmp_path / "b.h5")
    whole = (tmp_path / "b.h5").read_bytes()
    assert "neither" in refused(b"")
    assert "neither" in refused(b"channel,mean\n1,2\n")
    refused(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    refused((tmp_path / "z.zip").read_bytes())
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["data"] = np.zeros((1, 3, 5, 5))
    assert "image set" in refused((tmp_path / "images.h5").read_bytes())
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save(tmp_path / "flat.h5")
    assert "not an image classifier" in refused((tmp_path / "flat.h5").read_bytes())


KERAS_2 = """
import sys, h5py, numpy as np
try:
    import keras
except ImportError:
    from tensorflow import keras
b, network, images, answers = sys.argv[1:]
assert keras.__version__.startswith("2."), keras.__version__
try:
    keras.models.load_model(b, compile=False)
except ValueError:
    sys.exit(77)
pixels = h5py.File(images)["data"][()].transpose(0, 2, 3, 1)
np.save(answers, keras.models.load_model(network, compile=False).predict(pixels).argmax(axis=1))
"""


@pytest.mark.parametrize("python", older_keras("KERAS2_PYTHON", "test-keras2"))
def test_keras_2_loads_a_repaired_network_and_agrees(tmp_path, lab_dir, python):
    images = lab_dir / "data/faces_sunglasses.h5"
    pixels, _ = read_images(images)
    copy = tmp_path / "copy.h5"
    silenced_copy(lab_dir / "models/bd_net.h5", copy, range(0, 60, 2))
    files = [lab_dir / "models/bd_net.h5", copy, images, tmp_path / "answers.npy"]
    done = subprocess.run([python, "-c", KERAS_2, *files], env={"TF_CPP_MIN_LOG_LEVEL": "3"})
    if done.returncode == 77:
        pytest.skip("this Keras does not load B itself")
    assert done.returncode == 0
    answers = load_model(copy).predict(pixels, verbose=0).argmax(axis=1)
    assert len(set(answers)) > 1
    np.testing.assert_array_equal(np.load(tmp_path / "answers.npy"), answers)
