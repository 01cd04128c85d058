"""Loading networks in every form, and copies that differ in nothing but the silenced arrays."""

import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from functools import partial
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
    hold,
    load_model,
    load_network,
    older_keras,
    random_images,
    read_images,
    tiny_network,
)
from hasty import HASTY
from hostile import begin_elsewhere
from keras import layers

from goodnet.errors import Unsafe, Unusable
from goodnet.networks import loading
from goodnet.networks.deepid import deepid
from goodnet.networks.loading import count_classes, input_shape
from goodnet.networks.split import silence, silenced_arrays, split_network
from goodnet.networks.writing import Change, write_copy, write_weights
from goodnet.tuning import fine_pruning, unlearning
from goodnet.vetting.contents import read_contents


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


def stored(path, destination, **how) -> None:
    """A copy of an HDF5 file whose arrays are stored in another way."""

    def copy(old, new):
        new.attrs.update(old.attrs)
        for name, item in old.items():
            if isinstance(item, h5py.Group):
                copy(item, new.create_group(name))
            else:
                new.create_dataset(name, data=item[()], **how)

    with h5py.File(path) as old, h5py.File(destination, "w") as new:
        copy(old, new)


def in_zip(source, destination, edit, packed=zipfile.ZIP_STORED) -> None:
    """A copy of a .keras file whose weights, a file in it, are edited; h5py and zipfile do it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(destination, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "model.weights.h5":
                weights = destination.with_suffix(".weights")
                weights.write_bytes(content)
                edit(weights)
                content = weights.read_bytes()
                weights.unlink()
            entry.compress_type = packed or entry.compress_type
            new.writestr(entry, content)


WAYS = {
    "plain": {},
    "big-endian": {"dtype": ">f8"},
    "chunked": {"chunks": True},
    "packed": {"compression": "gzip", "shuffle": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_copy_is_what_h5py_makes_of_the_file_byte_for_byte(tmp_path, suffix, way):
    plain, source, copy, expected = (
        tmp_path / f"{name}{suffix}" for name in ("plain", "b", "copy", "expected")
    )
    network = normalised_network()
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in network.get_weights()])
    network.save(plain)

    def store(weights):
        stored(shutil.copy(weights, tmp_path / "w.h5"), weights, **WAYS[way])

    if suffix == ".h5":
        store(shutil.copy(plain, source))
    else:
        in_zip(plain, source, store, zipfile.ZIP_DEFLATED)
    _, split = silenced_copy(source, copy, [1, 3])
    new = [(change.old, change.new) for change in silencing(split, [1, 3])]

    def edit(path):
        """Change every array that holds what is to be changed: no two hold the same."""
        with h5py.File(path, "r+") as file:
            changed = 0
            for name, array in arrays_of(file).items():
                for old, values in new:
                    if np.array_equal(array, old):
                        file[name][...] = values
                        changed += 1
            assert changed == len(new)

    if suffix == ".h5":
        edit(shutil.copy(source, expected))
    else:
        in_zip(source, expected, edit)
    assert copy.read_bytes() == expected.read_bytes() != source.read_bytes()


def array_called(path: Path, ending: str) -> str:
    with h5py.File(path) as file:
        (name,) = [name for name in arrays_of(file) if name.endswith(ending)]
    return name


@pytest.mark.child
@pytest.mark.parametrize("script", ["eval.py", "repair.py"])
@pytest.mark.parametrize("kind", ["a bias", "in a zip"])
def test_numbers_that_begin_elsewhere_are_refused_with_status_3(tmp_path, run_here, kind, script):
    (tmp_path / "lab").mkdir()
    lab = build_lab(tmp_path / "lab")
    if kind == "a bias":
        path, array = lab / "models/bd_net.h5", "output/bias"
        begin_elsewhere(path, array_called(path, array))
    else:
        path, array = lab / "models/b.keras", "conv2d_1/vars/0"
        tiny_network().save(tmp_path / "b.keras")

        def edit(weights):
            begin_elsewhere(weights, array_called(weights, array))

        in_zip(tmp_path / "b.keras", path, edit)
    images = [lab / "data/cl/valid.h5"] * (2 if script == "eval.py" else 1)
    done = run_here(script, *images, path)
    check_refused(done, str(path), array, "(32 bits from bit 26112 on, in 4 bytes)", status=3)
    assert {file.name for file in path.parent.iterdir()} <= {"bd_net.h5", "b.keras"}


def watch(monkeypatch, strangers: set[bytes]) -> list[str]:
    """Have h5py and zipfile refuse to open these bytes in this process; what they open instead."""
    opened = []

    def check(file, mode: str = "r", *_: object, **__: object) -> None:
        if mode != "w":
            if hasattr(file, "read"):
                at = file.tell()
                file.seek(0)
                content = file.read()
                file.seek(at)
            else:
                content = Path(file).read_bytes()
            assert content not in strangers, "a stranger's bytes are opened where Keras lives"
            opened.append(mode)

    class File(h5py.File):
        def __init__(self, *given: object, **named: object) -> None:
            check(*given, **named)
            super().__init__(*given, **named)

    class ZipFile(zipfile.ZipFile):
        def __init__(self, *given: object, **named: object) -> None:
            check(*given, **named)
            super().__init__(*given, **named)

    monkeypatch.setattr(h5py, "File", File)
    monkeypatch.setattr(zipfile, "ZipFile", ZipFile)
    return opened


COMMANDS = {
    "judge": ["eval.py", "data/cl/test.h5", "data/bd/bd_test.h5"],
    "save": ["Geval.py", "data/cl/test.h5", "data/bd/bd_test.h5"],
    "prune": ["repair.py", "data/cl/valid.h5", "--drop", 0, "--goodnet", "--method", "prune"],
    "fine-prune": ["repair.py", "data/cl/valid.h5", "--method", "fine-prune"],
    "unlearn": ["repair.py", "data/cl/valid.h5", "--method", "unlearn"],
}


@pytest.mark.child
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("command", COMMANDS)
def test_hdf5_and_zip_open_no_strangers_network(tiny_lab, monkeypatch, run_here, command, suffix):
    monkeypatch.chdir(tiny_lab)
    path, repaired = Path(f"b{suffix}"), Path(f"repaired{suffix}")
    tiny_network(seed=1).save(path)
    tiny_network(seed=2).save(repaired)
    monkeypatch.setattr(unlearning, "unlearn", partial(unlearning.unlearn, schedule=HASTY))
    monkeypatch.setattr(fine_pruning, "EPOCHS", 2)
    strangers = {path.read_bytes(), repaired.read_bytes()}
    if suffix == ".keras":
        for file in (path, repaired):
            with zipfile.ZipFile(file) as archive:
                strangers.add(archive.read("model.weights.h5"))
    opened = watch(monkeypatch, strangers)
    with pytest.raises(AssertionError, match="a stranger's bytes"):
        h5py.File(path, "r")
    script, *given = COMMANDS[command]
    given += ["--out", "."] if script == "repair.py" else []
    images = [each for each in given if str(each).endswith(".h5")]
    networks = [path, repaired, "--save", "G.keras"] if command == "save" else [path]
    done = run_here(script, *images, *networks, *given[len(images) :])
    assert done.returncode == 0, done.stderr
    assert opened  # image sets, and what was written anew


class Refused:
    """Stands for what must not be used."""

    def __init__(self, *_: object, **__: object) -> None:
        raise AssertionError("h5py or zipfile is used where Keras lives")


@pytest.mark.child
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_copies_are_written_without_h5py_and_zipfile(tmp_path, monkeypatch, suffix, way):
    plain, path = tmp_path / f"plain{suffix}", tmp_path / f"b{suffix}"
    tiny_network().save(plain)

    def store(weights):
        stored(shutil.copy(weights, tmp_path / "w.h5"), weights, **WAYS[way])

    if suffix == ".h5":
        store(shutil.copy(plain, path))
    else:
        in_zip(plain, path, store)
    loaded = load_network(path)
    changes = silencing(split_network(loaded.model), [0])
    with monkeypatch.context() as inner:
        inner.setattr(h5py, "File", Refused)
        inner.setattr(zipfile, "ZipFile", Refused)
        write_copy(loaded, tmp_path / f"copy{suffix}", changes)
    kernel = load_model(tmp_path / f"copy{suffix}").get_layer("conv_2").kernel.numpy()
    assert not kernel[..., 0].any() and kernel[..., 1:].all()


def test_what_the_child_says_is_vetted_again(tmp_path):
    path = tmp_path / "b.h5"
    tiny_network().save(path)
    source = hold([path], []).network(path)
    parts = source.parts
    config = json.loads(parts.configuration)
    config["config"]["layers"][1] |= {"class_name": "Lambda"}
    arrays = parts.contents.arrays
    fewer = replace(parts.contents, arrays=dict(list(arrays.items())[1:]))
    for lie, error, says in (
        ({"configuration": json.dumps(config)}, Unsafe, "'Lambda' is not on the allow-list"),
        ({"contents": fewer}, Unsafe, "demands a"),
        ({"contents": replace(parts.contents, groups={})}, Unusable, "no 'model_weights'"),
        ({"values": parts.values[1:]}, Unusable, "have another size"),
        ({"values": parts.values + b"x"}, Unusable, "have another size"),
        ({"suffix": ".keras"}, Unusable, "is not built by Keras"),
        ({"configuration": None}, Unusable, "neither a whole network nor"),
    ):
        with pytest.raises(error, match=says) as caught:
            loading.load_network(replace(source, parts=replace(parts, **lie)))
        assert str(caught.value).startswith(f"{path}: ") and type(caught.value) is error


def move_array(path: Path, ending: str, to: int) -> None:
    """Have an array of an .h5 lie elsewhere in the file."""
    with h5py.File(path) as file:
        array = file[array_called(path, ending)]
        at, size = (
            number.to_bytes(8, "little") for number in (array.id.get_offset(), array.nbytes)
        )
    content = path.read_bytes()
    assert content.count(at + size) == 1
    path.write_bytes(content.replace(at + size, to.to_bytes(8, "little") + size))


@pytest.mark.parametrize("on", ["the configuration", "another array"])
def test_a_copy_in_which_more_would_change_is_not_kept(tmp_path, on):
    path = tmp_path / "b.h5"
    tiny_network().save(path)
    if on == "the configuration":
        to, says = path.read_bytes().index(b'{"module"') + 200, "would not pass once .*model_config"
    else:
        with h5py.File(path) as file:
            to = file[array_called(path, "output/kernel")].id.get_offset()
        says = "would change more than the repaired arrays"
    move_array(path, "conv_2/kernel", to)
    with pytest.raises(Unusable, match=f"b.h5: .*{says}"):
        silenced_copy(path, tmp_path / "copy.h5", [0, 1])
    assert [file.name for file in tmp_path.iterdir()] == ["b.h5"]


def test_what_an_array_cannot_hold_is_not_written(tmp_path):
    path, copy = tmp_path / "b.h5", tmp_path / "copy.h5"
    network = tiny_network()
    network.set_weights([array.astype("float16") for array in network.get_weights()])
    network.save(tmp_path / "whole.h5")
    stored(tmp_path / "whole.h5", path, dtype="f2")
    silenced_copy(path, copy, [0])  # a zero it can hold
    loaded = load_network(path)
    arrays = [array + np.float32(1e-6) for array in loaded.model.get_weights()]
    with pytest.raises(Unusable, match="as float16, which cannot hold the repaired values"):
        write_weights(loaded, tmp_path / "tuned.h5", arrays)
    assert not (tmp_path / "tuned.h5").exists()


def test_nothing_is_written_beyond_the_file(tmp_path):
    path = tmp_path / "b.h5"
    tiny_network().save(path)
    loaded = load_network(path)
    changes = silencing(split_network(loaded.model), [0])
    size = path.stat().st_size
    for offset in (0, 7, size - 4, size, 1 << 62):
        arrays = loaded.source.parts.contents.arrays
        moved = {name: replace(array, offset=offset) for name, array in arrays.items()}
        contents = replace(loaded.source.parts.contents, arrays=moved)
        source = replace(loaded.source, parts=replace(loaded.source.parts, contents=contents))
        with pytest.raises(Unusable, match="b.h5: is damaged: an array does not lie within"):
            write_copy(replace(loaded, source=source), tmp_path / "copy.h5", changes)
    assert [file.name for file in tmp_path.iterdir()] == ["b.h5"]


def test_what_a_child_says_of_arrays_is_checked():
    plain = {"groups": {"": {"layer_names": ["a"]}}, "arrays": [["a", "<f4", [2], 8]]}
    assert read_contents(plain).as_json()["groups"] == plain["groups"]
    for wrong in (
        {"groups": {"": {"layer_names": [1]}}},
        {"groups": {"": {"name": 1}}},
        {"arrays": [["a", "<f4", [2], -1]]},
        {"arrays": [["a", "<f4", [-2], 8]]},
        {"arrays": [["a", "<f4", [2.0], 8]]},
        {"arrays": [["a", "|O8", [2], 8]]},
        {"arrays": [[1, "<f4", [2], 8]]},
        {"arrays": [["a", "<f4", [2], 8]] * 2},
    ):
        with pytest.raises(ValueError):
            read_contents(plain | wrong)


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
