"""The front of the package, for notebooks: it gives what the scripts give, to the last digit."""

import ast
import json
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    build_lab,
    read_images,
    run_in_process,
    tiny_network,
)
from hasty import HASTY, hurry_relearning
from keras import layers
from PIL import Image

import goodnet
from goodnet.errors import Unsafe, Unusable
from goodnet.methods import METHODS
from goodnet.pruning.curve import read_curve
from goodnet.tuning import unlearning


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> SimpleNamespace:
    """A lab that repair.py has pruned, and what a notebook has of it."""
    folder = build_lab(tmp_path_factory.mktemp("front"))
    sets = {name: folder / f"data/{name}.h5" for name in ("cl/valid", "cl/test", "bd/bd_test")}
    model = folder / "models/bd_net.h5"
    done = run_in_process("repair.py", sets["cl/valid"], model, "--drop", 2, 20, 100, "--goodnet")
    assert done.returncode == 0, done.stderr
    x, y = read_images(sets["cl/valid"])
    b = goodnet.load_network(model)
    return SimpleNamespace(
        folder=folder,
        models=folder / "models",
        model=model,
        valid=sets["cl/valid"],
        test=sets["cl/test"],
        bd_test=sets["bd/bd_test"],
        x=x,
        y=y,
        b=b,
        found=goodnet.prune(b, x, y, [2, 20, 100.0]),
    )


def weights_of(network: keras.Model) -> list[np.ndarray]:
    return [array.copy() for array in network.get_weights()]


def check_same(before: list[np.ndarray], after: list[np.ndarray]) -> None:
    assert all(map(np.array_equal, before, after)) and len(before) == len(after)


# ---------------------------------------------------------------- the scripts' answers


def test_pruning_gives_the_curve_and_the_files_of_repair_py(lab, tmp_path):
    assert lab.found.curve == read_curve(lab.models / "pruning.csv")
    assert list(lab.found.networks) == [2, 20, 100.0]
    for name, drop in (("0.02", 2), ("0.2", 20), ("1", 100)):
        repaired = lab.found.networks[drop]
        goodnet.save(repaired, tmp_path / "it.h5", like=lab.b)
        theirs = (lab.models / f"B_pi_net_{name}.h5").read_bytes()
        assert (tmp_path / "it.h5").read_bytes() == theirs
        goodnet.save(goodnet.goodnet(lab.b, repaired), tmp_path / "it.keras")
        theirs = (lab.models / f"G_{name}.keras").read_bytes()
        assert (tmp_path / "it.keras").read_bytes() == theirs


def test_drops_that_are_not_reached_have_no_network(lab):
    hits = lab.found.curve.percentages["valid_accuracy"]
    assert hits[0] == 100 and hits[-1] == 0
    assert list(goodnet.prune(lab.b, lab.valid, drops=0.5).networks) == [0.5]
    constant = tiny_network()
    kernel, bias = constant.layers[-1].get_weights()
    constant.layers[-1].set_weights([np.zeros_like(kernel), np.eye(len(bias))[1]])
    none = goodnet.prune(constant, lab.x, np.ones(len(lab.x)), 10)
    assert not none.networks and list(none.pruning.stops.values()) == [None]


def test_judging_counts_what_geval_py_counts(lab, tmp_path):
    paths = [lab.models / f"B_pi_net_{name}.h5" for name in ("0.02", "0.2")]
    told = tmp_path / "told.json"
    done = run_in_process("Geval.py", lab.test, lab.bd_test, lab.model, *paths, "--json", told)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(told.read_text())["networks"]
    clean, backdoored = read_images(lab.test), read_images(lab.bd_test)
    repaired = [lab.found.networks[drop] for drop in (2, 20)]
    for judged in (
        goodnet.judge(lab.b, clean, backdoored, repaired),
        goodnet.judge(lab.model, lab.test, lab.bd_test, map(str, paths)),
        goodnet.judge(lab.b.in_file, clean, lab.bd_test, [paths[0], repaired[1]]),
    ):
        for ours, their in zip(judged.networks, theirs, strict=True):
            for mine, said in ((ours.itself, their["itself"]), (ours.goodnet, their["goodnet"])):
                assert (mine is None) == (said is None)
                for name, value in (said or {}).items():
                    assert getattr(mine, name) == value
    # And plain Keras counts the same.
    plain = repaired[1].predict(clean[0], verbose=0).argmax(axis=1)
    assert judged.networks[2].itself.clean_hits == (plain == clean[1]).sum()
    answers = goodnet.goodnet(lab.b, repaired[1]).predict(clean[0], verbose=0).argmax(axis=1)
    assert judged.networks[2].goodnet.clean_rejected == (answers == CLASSES).sum() > 0


def test_one_repaired_network_and_a_goodnet_can_be_judged(lab):
    repaired = lab.found.networks[20]
    b, itself = goodnet.judge(lab.b, lab.test, lab.bd_test, repaired).networks
    assert b.goodnet is None
    g = goodnet.goodnet(lab.b, repaired)
    (alone,) = goodnet.judge(g, lab.test, lab.bd_test).networks
    assert alone.itself == itself.goodnet


@pytest.mark.parametrize("method", METHODS)
def test_training_gives_the_files_of_repair_py(lab, tmp_path, monkeypatch, method):
    monkeypatch.setattr(unlearning, "unlearn", partial(unlearning.unlearn, schedule=HASTY))
    hurry_relearning(monkeypatch, 2)
    told = tmp_path / "told.json"
    options = ("--method", method, "--seed", 3, "--out", tmp_path, "--json", told)
    done = run_in_process("repair.py", lab.valid, lab.model, *options)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(told.read_text())
    repair = getattr(goodnet, method.replace("-", "_"))
    repaired = repair(lab.b, lab.x, lab.y, seed=3)
    goodnet.save(repaired.network, tmp_path / "it.h5", like=lab.b)
    assert (tmp_path / "it.h5").read_bytes() == Path(theirs["network"]).read_bytes()
    assert repaired.tuned.kept == theirs["kept"]
    if method == "unlearn":
        assert [each.label for each in repaired.tuned.findings.suspects] == [
            each["class"] for each in theirs["suspects"]
        ]
    assert len(repr(repaired)) < 10_000  # what a notebook shows of it


# ---------------------------------------------------------------- what is given


def datasets(x: np.ndarray, y: np.ndarray) -> dict[str, object]:
    plain = tf.data.Dataset.from_tensor_slices((x, y))
    one_hot = tf.data.Dataset.from_tensor_slices((x, np.eye(CLASSES, dtype="float32")[y]))
    return {
        "one by one": plain,
        "batches": plain.batch(32),
        "one hot": one_hot.batch(9),
        "one hot, one by one": one_hot,
    }


FORMS = {
    "uint8": lambda x, y: (x.astype(np.uint8), y),
    "float64": lambda x, y: (x.astype(float), y.astype(float)),
    "big endian": lambda x, y: (x.astype(">f4"), y.astype(">i2")),
    "channels first": lambda x, y: (x.transpose(0, 3, 1, 2), y),
    "lists": lambda x, y: (x.tolist(), y.tolist()),
    "a column": lambda x, y: (x, y[:, None]),
    "one-hot": lambda x, y: (x, np.eye(CLASSES)[y]),
    "a pair": lambda x, y: ((x, y), None),
    "tensors": lambda x, y: (tf.constant(x), tf.constant(y)),
    "bfloat16": lambda x, y: (tf.cast(x, tf.bfloat16), y),
    **{
        f"dataset, {form}": lambda x, y, form=form: (datasets(x, y)[form], None)
        for form in ("one by one", "batches", "one hot", "one hot, one by one")
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_images_may_be_given_in_many_forms(lab, form):
    assert goodnet.prune(lab.b, *FORMS[form](lab.x, lab.y.astype(int))).curve == lab.found.curve


def written(path: Path, pixels: np.ndarray, labels: np.ndarray, names: str) -> Path:
    """An image set with two pairs of arrays, of which no names tell which one is meant."""
    images, of_them = names.split(",")
    with h5py.File(path, "w") as file:
        file[images], file[of_them] = pixels, labels
        file["x_other"], file["y_other"] = pixels[::-1], labels
    return path


def test_arrays_of_other_names_are_read_as_the_scripts_read_them(lab, tmp_path):
    clean, backdoored = (
        written(tmp_path / f"{name}.h5", *read_images(path), "x_mine,y_mine")
        for name, path in (("clean", lab.test), ("backdoored", lab.bd_test))
    )
    for keys in ("x_mine,y_mine", ("x_mine", "y_mine"), ["x_mine", "y_mine"]):
        judged = goodnet.judge(lab.b, clean, backdoored, keys=keys)
        told = goodnet.judge(lab.b, lab.test, lab.bd_test)
        assert judged.networks[0].itself == told.networks[0].itself
    other = goodnet.judge(lab.b, clean, backdoored, keys="x_other,y_other").networks[0].itself
    assert other != told.networks[0].itself
    done = run_in_process("eval.py", clean, backdoored, lab.model, "--keys", "x_other,y_other")
    accuracy, rate = (float(line.split(": ")[1]) for line in done.stdout.splitlines())
    assert (other.clean_accuracy, other.attack_success_rate) == (accuracy, rate)
    valid = written(tmp_path / "valid.h5", lab.x, lab.y, "x_mine,y_mine")
    found = goodnet.prune(lab.b, valid, drops=[2, 20, 100.0], keys="x_mine,y_mine")
    assert found.curve == lab.found.curve
    trained = [
        goodnet.fine_prune(lab.b, *images, **said).network.get_weights()
        for images, said in (((lab.x, lab.y), {}), ((valid,), {"keys": ("x_mine", "y_mine")}))
    ]
    check_same(*trained)


def pictures(folder: Path, pixels: np.ndarray, labels: np.ndarray, names: list[str]) -> Path:
    """A subfolder for each class that has images."""
    for number, (image, label) in enumerate(zip(pixels, labels.astype(int), strict=True)):
        (folder / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(folder / names[label] / f"{number:05}.png")
    return folder


def test_folders_are_read_in_another_order_as_the_scripts_read_them(lab, tmp_path):
    names = ["elk", "ant", "dog", "bee", "cat"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    clean = pictures(tmp_path / "clean", *read_images(lab.test), names)
    for name in names:  # those without images, too
        (clean / name).mkdir(exist_ok=True)
    backdoored = pictures(tmp_path / "backdoored", *read_images(lab.bd_test), names)
    assert len(list(backdoored.iterdir())) == 1  # its classes are those of the other folder
    told = goodnet.judge(lab.b, lab.test, lab.bd_test).networks[0].itself
    for classes in (names, tuple(names), tmp_path / "names.txt", str(tmp_path / "names.txt")):
        judged = goodnet.judge(lab.b, clean, backdoored, classes=classes)
        assert judged.networks[0].itself == told
    for said, option in (({}, ()), ({"classes": sorted(names)}, ())):
        other = goodnet.judge(lab.b, clean, backdoored, **said).networks[0].itself
        done = run_in_process("eval.py", clean, backdoored, lab.model, *option)
        accuracy, rate = (float(line.split(": ")[1]) for line in done.stdout.splitlines())
        assert (other.clean_accuracy, other.attack_success_rate) == (accuracy, rate)
        assert other != told
    order = np.argsort(np.array(names)[lab.y.astype(int)], kind="stable")
    valid = pictures(tmp_path / "valid", lab.x, lab.y, names)
    found = goodnet.prune(lab.b, valid, classes=names).curve
    assert found == goodnet.prune(lab.b, lab.x[order], lab.y[order]).curve
    for call in (goodnet.fine_prune, goodnet.relearn, goodnet.unlearn):
        with pytest.raises(Unusable, match="names 'a' twice"):
            call(lab.b, valid, classes=["a", "a"], keys="x,y")


def test_networks_may_be_given_in_many_forms(lab):
    for network in (lab.b.in_file, lab.model, str(lab.model)):
        assert goodnet.prune(network, lab.valid).curve == lab.found.curve
    assert goodnet.prune(lab.b, lab.x * 4, lab.y, scale=4).curve == lab.found.curve
    of_unit_range = goodnet.prune(lab.b, lab.x / 255, lab.y, pixels="0..255").curve
    assert of_unit_range.percentages == lab.found.curve.percentages


class Own(layers.Layer):
    def call(self, pixels):
        return pixels * 1.0


def test_a_network_of_ones_own_may_hold_code(lab):
    """A file may not; what a notebook has made itself runs there anyway."""
    own = keras.Sequential([keras.Input(SHAPE), Own(), *tiny_network().layers])
    assert goodnet.prune(own, lab.x, lab.y).curve.percentages == lab.found.curve.percentages


def test_a_network_of_one_output_keeps_its_form(lab):
    keras.utils.set_random_seed(1)
    binary = keras.Sequential(
        [
            keras.Input(SHAPE),
            *tiny_network().layers[:-1],
            layers.Dense(1, activation="sigmoid", name="one"),
        ]
    )
    labels = (binary.predict(lab.x, verbose=0)[:, 0] > 0.5).astype(int)
    found = goodnet.prune(binary, lab.x, labels, 0)
    assert found.networks[0].output_shape == (None, 1)
    judged = goodnet.judge(binary, (lab.x, labels), (lab.x, 1 - labels), found.networks[0])
    plain = found.networks[0].predict(lab.x, verbose=0)[:, 0] > 0.5
    assert judged.networks[1].itself.clean_hits == (plain == labels).sum()
    assert judged.networks[0].itself.attack_success_rate == 0


# ---------------------------------------------------------------- nothing is changed


def test_a_network_is_never_changed_in_place(lab):
    own = tiny_network()
    before, called = weights_of(own), len(own.layers[0]._inbound_nodes)
    asked = own.predict(lab.x, verbose=0)

    class Stopped(Exception):
        pass

    def stop(description: str, done: int, total: int) -> None:
        if done > total / 2:
            raise Stopped

    for repair in (goodnet.prune, goodnet.fine_prune):
        with pytest.raises(Stopped):
            repair(own, lab.x, lab.y, progress=stop)
    found = goodnet.prune(own, lab.x, lab.y)
    repaired = goodnet.fine_prune(own, lab.x, lab.y).network
    goodnet.goodnet(own, repaired)
    goodnet.judge(own, (lab.x, lab.y), (lab.x, lab.y), repaired)
    check_same(before, own.get_weights())
    assert len(own.layers[0]._inbound_nodes) == called
    np.testing.assert_array_equal(own.predict(lab.x, verbose=0), asked)
    # What is given back is the caller's: it may be changed without any effect on the others.
    for network in (repaired, *found.networks.values()):
        network.set_weights([np.zeros_like(array) for array in network.get_weights()])
    check_same(before, own.get_weights())


def test_settings_of_keras_are_put_back_and_change_no_answer(lab):
    config = keras.config
    try:
        config.set_floatx("float16")
        config.set_dtype_policy("mixed_float16")
        config.set_image_data_format("channels_first")
        config.set_epsilon(0.1)
        assert goodnet.prune(lab.model, lab.x, lab.y).curve == lab.found.curve
        with pytest.raises(Unusable):
            goodnet.prune(lab.model, lab.x)
        assert config.floatx() == "float16" and config.dtype_policy().name == "mixed_float16"
        assert config.image_data_format() == "channels_first" and config.epsilon() == 0.1
    finally:
        config.set_floatx("float32")
        config.set_dtype_policy("float32")
        config.set_image_data_format("channels_last")
        config.set_epsilon(1e-7)


def test_progress_is_told_if_it_is_asked_for(lab, capfd):
    told = []
    goodnet.prune(lab.b, lab.x, lab.y, progress=lambda *each: told.append(each))
    assert told[-1] == ("Pruning", 2 * len(lab.x), 2 * len(lab.x))
    goodnet.judge(lab.b, lab.test, lab.bd_test, progress=lambda *each: told.append(each))
    assert told[-1] == ("Judging", 100, 100)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- what is wrong, and what is right


def refusals(lab: SimpleNamespace) -> dict[str, object]:
    x, y, b = lab.x, lab.y.astype(int), lab.b
    pairs = tf.data.Dataset.from_tensor_slices((x, y))
    once = goodnet.prune, b
    return {
        "x and y: 'x' has the shape (14, 12, 3), but the network takes images of (14, 12, 3), "
        "so it must be ('n', 3, 14, 12) or ('n', 14, 12, 3)": (*once, x[0], y[0]),
        "x and y: 'x' has the shape (70,), but": (*once, y, x[:, 0, 0, 0]),
        "x and y: 'y' has the shape (3,), but there are 70 images": (*once, x, y[:3]),
        "x and y: needs images and labels: two arrays, a tf.data.Dataset of pairs": (*once, x),
        "x and y: 'x' is empty": (*once, x[:0], y[:0]),
        "x and y: is empty; at least one": (*once, pairs.take(0)),
        "x and y: is a dataset without an end; leave out .repeat()": (*once, pairs.repeat()),
        "x and y: is a dataset of dict, and must be one of pairs": (
            *once,
            tf.data.Dataset.from_tensor_slices({"image": x, "label": y}),
        ),
        "x and y: holds the labels as well; leave them out": (*once, pairs, y),
        f"{lab.valid}: holds the labels as well": (*once, lab.valid, y),
        "x and y: its labels have the shape (70, 9), and their rows are not those of 5 classes": (
            *once,
            x,
            np.eye(9)[y],
        ),
        "rows are not those of 5 classes, with one 1 and else 0": (*once, x, np.ones((70, 5))),
        "x and y: 70 of 70 labels are outside 0..4, the network's classes": (*once, x, y + 5),
        "x and y: 'y' holds <U21, not numbers": (*once, x, y.astype(str)),
        "x and y: 'x' holds <U": (*once, x.astype(str), y),
        "x and y: its images are no array": (*once, [x[0], x[0][1:]], [0, 0]),
        "x and y: image 1 has pixels that are NaN": (*once, np.insert(x, 1, np.nan, 0)[:-1], y),
        "nope.h5: there is no such file": (*once, "nope.h5"),
        "other.h5: there is no such file": (goodnet.load_network, "other.h5"),
        "it has no layer 'zz' that can be pruned; these can be: conv_1, conv_2": (
            partial(goodnet.prune, layer="zz"),
            b,
            x,
            y,
        ),
        "argument drops: '200' is not a number from 0 to 100": (*once, x, y, [2, 200]),
        "argument pixels: '0..2' is none of 0..255": (
            partial(goodnet.judge, pixels="0..2"),
            b,
            lab.test,
            lab.bd_test,
        ),
        "argument scale: '0' is not a finite number above 0": (
            partial(goodnet.prune, scale=0),
            b,
            x,
            y,
        ),
        "argument scale: not allowed with argument pixels": (
            partial(goodnet.prune, scale=1, pixels="0..1"),
            b,
            x,
            y,
        ),
        "argument keys: 'x' is not two names, as in data,label": (
            partial(goodnet.prune, keys="x"),
            b,
            lab.valid,
        ),
        "argument keys: 'x,y,z' is not two names": (
            partial(goodnet.prune, keys=("x", "y", "z")),
            b,
            lab.valid,
        ),
        "argument classes: '.' is the folder you are in": (
            partial(goodnet.judge, classes="."),
            b,
            lab.test,
            lab.bd_test,
        ),
        "no_names.txt: cannot be read": (
            partial(goodnet.prune, classes=Path("no_names.txt")),
            b,
            lab.valid,
        ),
        "classes: names 'a' twice": (partial(goodnet.prune, classes=["a", "a"]), b, lab.valid),
        "classes: 0 is no name": (partial(goodnet.prune, classes=range(5)), b, lab.valid),
        "argument seed: -1 is not from 0": (goodnet.unlearn, b, x, y, -1),
        "argument batch_size: '0' is not a whole number above 0": (
            partial(goodnet.prune, batch_size=0),
            b,
            x,
            y,
        ),
        "clean: needs images and labels": (goodnet.judge, b, x, (x, y)),
        "backdoored: 70 of 70 labels are outside 0..5": (goodnet.judge, b, (x, y), (x, y + 6)),
        "a network is the path of a file, what load_network gives, or a keras.Model, and not": (
            goodnet.prune,
            b.in_file.predict,
            x,
            y,
        ),
        "is not built yet; let it begin with keras.Input": (
            goodnet.prune,
            keras.Sequential([layers.Flatten()]),
            x,
            y,
        ),
        "one: is not an image classifier": (
            goodnet.prune,
            keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="one"),
            x,
            y,
        ),
        "is a goodnet, which holds B and B'": (goodnet.prune, goodnet.goodnet(b, b), x, y),
        "B takes and answers": (goodnet.goodnet, b, tiny_network(classes=4)),
        f"{lab.folder / 'it.keras'}: is to be a copy of {lab.model}, so its name must end in .h5": (
            goodnet.save,
            b,
            lab.folder / "it.keras",
        ),
        "it.h5: a new file is a .keras file; with like=B it is a copy of B's own": (
            goodnet.save,
            b.in_file,
            lab.folder / "it.h5",
        ),
        "comes from no file that could be copied": (
            goodnet.save,
            b.in_file,
            lab.folder / "it.h5",
            tiny_network(),
        ),
        "bd_net.h5: is read and would be written over": (goodnet.save, b, lab.model),
        "has other arrays than the network that is to be saved": (
            goodnet.save,
            tiny_network(classes=4),
            lab.folder / "it.h5",
            b,
        ),
    }


def test_what_is_wrong_is_told_with_what_is_right(lab):
    for says, (call, *arguments) in refusals(lab).items():
        with pytest.raises(Unusable) as raised:
            call(*arguments)
        assert says in str(raised.value), says
        assert "\n" not in str(raised.value)


def test_a_file_that_is_unsafe_is_refused_as_in_the_scripts(tmp_path):
    layer = layers.Lambda(lambda x: x, name="it")
    path = tmp_path / "lambda.keras"
    keras.Sequential([keras.Input(SHAPE), layer, layers.Flatten()]).save(path)
    with pytest.raises(goodnet.Unsafe, match="'Lambda' is not on the allow-list") as raised:
        goodnet.load_network(path)
    assert isinstance(raised.value, Unsafe)


def test_pixels_of_another_range_are_hinted_at_where_they_were_given(lab):
    with pytest.warns(UserWarning, match='B seems to take 0..255: try pixels="0..255" ') as said:
        goodnet.prune(lab.b, lab.x / 255, lab.y)
        goodnet.judge(lab.b, (lab.x / 255, lab.y), lab.bd_test)
        goodnet.fine_prune(lab.b, lab.x / 255, lab.y)
    assert len(said) == 3 and {warning.filename for warning in said} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        goodnet.prune(goodnet.load_network(lab.model), lab.x, lab.y)


# ---------------------------------------------------------------- the root


def test_the_root_is_found_when_it_is_used():
    program = "import sys; before = {*sys.modules}; import goodnet; print(*{*sys.modules} - before)"
    options = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
    done = subprocess.run([sys.executable, "-c", program], **options)
    assert done.stdout.split() == ["goodnet"]


def test_the_root_says_what_it_offers_once_for_python_and_once_for_types():
    tree = ast.parse((ROOT / "goodnet/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.asname: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    places = dict(goodnet._PLACES)
    assert places.pop("__version__") == "goodnet.version:VERSION"
    assert typed == places and set(places) <= set(dir(goodnet))
    for name in goodnet._PLACES:
        assert getattr(goodnet, name) is not None
        if callable(getattr(goodnet, name)):
            assert getattr(goodnet, name).__doc__
    with pytest.raises(AttributeError, match="module 'goodnet' has no attribute 'nothing'"):
        getattr(goodnet, "nothing")  # noqa: B009
