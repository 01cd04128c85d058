"""Tiny networks and image sets that the tests make, and the real lab where it is at hand."""

import functools
import importlib.util
import io
import json
import os
import re
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import h5py
import numpy as np
import portable
import pytest

if portable.SYSTEM:
    portable.install_everywhere(portable.SYSTEM)

from goodnet.cli import defaults, shell  # noqa: E402

shell.import_keras()

import keras  # noqa: E402

from goodnet import dataset  # noqa: E402
from goodnet.networks import loading  # noqa: E402
from goodnet.pixels import Scaling  # noqa: E402
from goodnet.vetting import asking, inside, inspector, pieces, quarantine  # noqa: E402
from goodnet.vetting.reading import AS_IT_SHOWS, Reading  # noqa: E402

ROOT = defaults.ROOT
SCRIPTS = ("eval.py", "repair.py", "Geval.py", "predict.py", "plot.py", "practice.py", "audit.py")
AT_ONCE = 0.3  # seconds of processor time: what is said before the work is said in less
posix = pytest.mark.skipif(portable.SYSTEM == "windows", reason="is about what Windows lacks")
_opened = ExitStack()  # what a test holds in quarantine, until it ends
SHAPE = (14, 12, 3)
CLASSES = 5


@pytest.fixture(autouse=True)
def examined_here(request, monkeypatch):
    """Look through files in this process, without the 0.15 s that the limited child takes.

    What runs the scripts has the child, and so have tests that are marked so. Files are let go.
    """

    def ask(files, size, started=None, keys=None):
        return [
            asking.parse_answer(*inspector.answer(kind, *map(as_the_child_sees, given), keys=keys))
            for kind, *given in files
        ]

    if not request.node.get_closest_marker("child"):
        monkeypatch.setattr(asking, "ask", ask)
    yield
    _opened.close()


def as_the_child_sees(file: BinaryIO) -> inside.PagedFile:
    """An open file, whose bytes are fetched."""

    def fetch(begin: int, length: int) -> bytes:
        return b"".join(pieces.read_pieces(file, begin, length))

    return inside.PagedFile(fetch, pieces.size_of(file))


def hold(
    networks: Iterable[Path], image_sets: Iterable[Path], reading: Reading = AS_IT_SHOWS
) -> quarantine.Held:
    """Hold files in quarantine until the test ends."""
    return _opened.enter_context(quarantine.opened(networks, image_sets, reading))


def load_network(path: Path) -> loading.LoadedNetwork:
    """Load a network's file; it is held until the test ends."""
    return loading.load_network(hold([path], []).network(path))


def load_model(path: Path) -> keras.Model:
    return load_network(path).model


def fit_of(shape: tuple, n_classes: int, divisor: float = 1) -> dataset.Fit:
    return dataset.Fit(shape, n_classes, Scaling(divisor))


def open_clean(path: Path, *fit: object) -> dataset.ImageSet:
    """Open clean images, held until the test ends; `fit`: input shape, classes, divisor."""
    return dataset.open_clean(hold([], [path]).images(path), fit_of(*fit))


def open_backdoored(path: Path, *fit: object) -> dataset.ImageSet:
    return dataset.open_backdoored(hold([], [path]).images(path), fit_of(*fit))


@pytest.fixture
def lab_dir() -> Path:
    """The course's real lab, named by LAB_DIR; the test is skipped where it is absent."""
    folder = os.environ.get("LAB_DIR")
    if not folder:
        pytest.skip("LAB_DIR is not set")
    return Path(folder).resolve()


def older_keras(variable: str, target: str) -> list:
    """Parameters: the Pythons that `variable` names, separated by ':', each with an older Keras."""
    named = [path for path in os.environ.get(variable, "").split(os.pathsep) if path]
    missing = pytest.mark.skip(reason=f"{variable} is not set: see make {target}")
    return [pytest.param(path, id=Path(path).parents[1].name) for path in named] or [
        pytest.param(None, id="none", marks=missing)
    ]


def convolutions(first: int, second: int, offset: float) -> list[keras.Layer]:
    """conv_1 - pool_1 - conv_2 - pool_2, with so many channels, on images from `offset` up."""
    layers = keras.layers
    return [
        keras.Input(SHAPE),
        layers.Rescaling(1 / 64, offset),
        layers.Conv2D(first, 3, activation="relu", name="conv_1"),
        layers.MaxPooling2D(name="pool_1"),
        layers.Conv2D(second, 2, activation="relu", name="conv_2"),
        layers.MaxPooling2D(name="pool_2"),
        layers.Flatten(),
    ]


def tiny_network(seed: int = 0, classes: int = CLASSES) -> keras.Model:
    """Convolutions and a dense layer: small, and its answers are varied."""
    keras.utils.set_random_seed(seed)
    wide = keras.initializers.RandomNormal(stddev=1, seed=seed)
    output = keras.layers.Dense(
        classes, activation="softmax", kernel_initializer=wide, name="output"
    )
    return keras.Sequential([*convolutions(4, 6, -2), output])


def write_images(path: Path, pixels: np.ndarray, labels: np.ndarray, **options) -> Path:
    """Write images (n, height, width, colours) as the course's files hold them."""
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=pixels.transpose(0, 3, 1, 2), **options)
        file["label"] = labels
    return path


def read_images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, height, width, colours) float32 of a file that holds them thus, and labels."""
    with h5py.File(path) as file:
        return file["data"][()].transpose(0, 2, 3, 1).astype("float32"), file["label"][()]


def random_images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE)).astype(np.uint8)


def build_lab(folder: Path) -> Path:
    """A lab in the course's layout: labels are B's own answers, the target is class 0."""
    for name in ("models", "data/cl", "data/bd"):
        (folder / name).mkdir(parents=True)
    network = tiny_network()
    network.save(folder / "models/bd_net.h5")
    for name, count, seed in (("valid", 70, 1), ("test", 50, 2)):
        pixels = random_images(count, seed)
        labels = network.predict(pixels, verbose=0).argmax(axis=1)
        write_images(folder / f"data/cl/{name}.h5", pixels, labels)
        write_images(folder / f"data/bd/bd_{name}.h5", pixels[::-1], np.zeros(count))
    return folder


@pytest.fixture
def tiny_lab(tmp_path: Path) -> Path:
    return build_lab(tmp_path)


def check_json(document: dict, kind: str) -> None:
    """That a script's JSON is as docs/json-schema.json says of this kind."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs/json-schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    own = schema | {"$ref": f"#/$defs/{kind}"}
    jsonschema.validate(document, own, cls=jsonschema.Draft202012Validator)


def run_script(name: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    """Run one of the scripts as a user does."""
    done = subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )
    done.stderr = without_tensorflow(done.stderr)
    return done


def without_tensorflow(said: str) -> str:
    """What was said on stderr, without what TensorFlow 2.19 writes whatever it is told."""
    lines = r"WARNING: All log messages before absl.*\n|W0000 .* graph_view\.cc.*\n\t.*\n\n?"
    return re.sub(lines, "", said)


def cpu_seconds_of_children() -> float:
    """Of all that ended: other work on the machine does not count, as it would by the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_within(
    most: float, name: str, *arguments: object, **options
) -> subprocess.CompletedProcess:
    """Run one of the scripts, which must take less than `most` seconds, the best of three runs."""
    seconds = []
    while not seconds or (min(seconds) >= most and len(seconds) < 3):
        before = cpu_seconds_of_children()
        done = run_script(name, *arguments, **options)
        seconds.append(cpu_seconds_of_children() - before)
    assert min(seconds) < most, seconds
    return done


run_at_once = functools.partial(run_within, AT_ONCE)


def check_refused(done, *says: str, status: int = 2) -> None:
    """The exit status, one line on stderr that says all this, nothing on stdout."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    assert "Traceback" not in done.stderr
    for text in says:
        assert text in done.stderr, done.stderr


def run_in_process(name: str, *arguments: object, cwd: Path | None = None) -> SimpleNamespace:
    """Run a script's main in this process, which has Keras already; in a folder, if one is named.

    What a process of its own would show, a test has to start one for: what is imported, signals,
    closed descriptors, the surroundings.
    """
    spec = importlib.util.spec_from_file_location(f"script_{Path(name).stem}", ROOT / name)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    said = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        patch.setattr(sys, "stdout", said[0])
        patch.setattr(sys, "stderr", said[1])
        if cwd:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as left:
            shell.run(script.main)
    stdout, stderr = (each.buffer.getvalue().decode() for each in said)
    return SimpleNamespace(returncode=left.value.code, stdout=stdout, stderr=stderr)


@pytest.fixture
def run_here():
    return run_in_process


def edit_weights(path: Path, edit: Callable[[h5py.File], object]) -> None:
    """Change what a .keras file holds in its arrays."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        edit(file)
    entries["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
