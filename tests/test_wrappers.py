"""Layers in SpectralNormalization: pruned as if they stood alone, written as they stand.

The oracle is plain Keras, which has the wrapper.
"""

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    edit_weights,
    random_images,
    run_in_process,
    write_images,
)
from keras import layers

import goodnet
from goodnet.errors import Unusable
from goodnet.networks.wrappers import arrays_with_wrappers, without_wrappers

KERNELS = ("layers/spectral_normalization/vars/0", "layers/spectral_normalization/layer/vars/0")


def spectral() -> keras.Model:
    keras.utils.set_random_seed(5)
    wrapped, image = layers.SpectralNormalization, keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255)(image)
    x = wrapped(layers.Conv2D(6, 3, activation="relu", name="inner"), name="outer")(x)
    x = wrapped(layers.Dense(8), name="inner")(layers.GlobalAveragePooling2D()(x))
    network = keras.Model(image, layers.Dense(CLASSES)(x))
    rng = np.random.default_rng(6)
    network.set_weights([rng.normal(0, 1, array.shape) for array in network.get_weights()])
    return network


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    source: Path | io.BytesIO = path
    if path.suffix == ".keras":
        source = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
    with h5py.File(source) as file:
        names: list[str] = []
        file.visit(names.append)
        arrays = (name for name in names if isinstance(file[name], h5py.Dataset))
        return {name: file[name][()] for name in arrays}


def predicted(network: keras.Model) -> np.ndarray:
    return network.predict(random_images(40), verbose=0)


@pytest.mark.parametrize("name", ["b.keras", "b.h5"])
def test_a_layer_in_a_wrapper_is_pruned_by_the_wrappers_name(tmp_path, name):
    b, copy = spectral(), tmp_path / f"copy{Path(name).suffix}"
    b.save(tmp_path / name)
    x, y = random_images(40), predicted(b).argmax(axis=1)
    loaded = goodnet.load_network(tmp_path / name)
    np.testing.assert_array_equal(predicted(loaded.model), predicted(b))
    found = goodnet.prune(loaded, x, y, 0.5)
    assert found.layer == "outer" and found.silenced_in is None
    goodnet.save(found.networks[0.5], copy, like=loaded)

    channels = list(found.pruning.order[: found.pruning.stops[0.5]])
    kernel, bias = (b.get_layer("outer").layer.kernel, b.get_layer("outer").layer.bias)
    for variable in (kernel, bias):
        array = variable.numpy()
        array[..., channels] = 0
        variable.assign(array)
    np.testing.assert_array_equal(predicted(keras.models.load_model(copy)), predicted(b))
    before, after = arrays_in(tmp_path / name), arrays_in(copy)
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    # The kernel stands twice in a .keras file.
    assert len(changed) == (3 if copy.suffix == ".keras" else 2)


def test_a_file_with_two_kernels_is_read_as_keras_reads_it_and_not_copied(tmp_path):
    path = tmp_path / "b.keras"
    spectral().save(path)

    def edit(file: h5py.File) -> None:
        assert np.array_equal(*(file[name][()] for name in KERNELS))
        file[KERNELS[0]][...] *= 2

    edit_weights(path, edit)
    loaded = goodnet.load_network(path)
    plain = keras.models.load_model(path)
    np.testing.assert_array_equal(predicted(loaded.model), predicted(plain))
    y = predicted(plain).argmax(axis=1)
    (pruned,) = goodnet.prune(loaded, random_images(40), y, 0.5).networks.values()
    with pytest.raises(Unusable, match="does not hold outer/.*kernel where Keras keeps it"):
        goodnet.save(pruned, tmp_path / "copy.keras", like=loaded)
    valid = write_images(tmp_path / "valid.h5", random_images(40), y)
    done = run_in_process("repair.py", valid, path, "--drop", 1)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.endswith("/kernel where Keras keeps it\n")


def test_a_wrapper_without_its_vector_is_refused(tmp_path):
    path = tmp_path / "b.keras"
    spectral().save(path)
    edit_weights(path, lambda file: file.__delitem__("layers/spectral_normalization/vars/1"))
    with pytest.raises(Unusable, match="demands a vector_u of"):
        goodnet.load_network(path)


def test_values_for_the_bare_network_find_their_places():
    network = spectral()
    bare = without_wrappers(network)
    assert len(bare.weights) == len(network.weights) - 2
    assert [layer.name for layer in bare.layers if layer.weights] == [
        "outer",
        "inner",
        network.layers[-1].name,
    ]
    new = [array + 1 for array in bare.get_weights()]
    for weight, array in zip(
        network.weights, arrays_with_wrappers(network, bare, new), strict=True
    ):
        expected = weight.numpy() + (0 if weight.path.endswith("vector_u") else 1)
        np.testing.assert_array_equal(array, expected)
    plain = keras.Sequential([keras.Input(SHAPE), layers.Flatten()])
    assert without_wrappers(plain) is plain
