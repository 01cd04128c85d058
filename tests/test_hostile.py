"""Hostile files: each is live, and each is refused before anything of it is loaded."""

import functools
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import hostile
import keras
import numpy as np
import portable
import proofs
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    hold,
    load_model,
    older_keras,
    open_clean,
    random_images,
    run_script,
    tiny_network,
    write_images,
)
from greedy import GREEDY
from hostile import FORMS, IMAGES, NETWORKS, SECRET, USELESS_IMAGES, VARIANTS, canary
from PIL import Image

from goodnet import dataset
from goodnet.errors import Unsafe, Unusable

PIXELS = np.zeros((1, *SHAPE), np.float32)


@pytest.fixture(autouse=True, scope="module")
def bases(tmp_path_factory):
    hostile.make_bases(tmp_path_factory.mktemp("bases"))


def made(kinds: dict, kind: str, form: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return kinds[kind](folder, form)


def check_nothing_leaked(folder: Path, hostile_file: Path, before: set[Path]) -> None:
    assert not canary(folder).exists()
    assert set(folder.rglob("*")) == before
    for path in before - {hostile_file, folder / "secret"}:
        assert path.is_dir() or SECRET not in path.read_bytes()


def check_refused(path: Path, load) -> str:
    before = set(path.parent.rglob("*"))
    with pytest.raises(Unsafe) as caught:
        load(path)
    line = str(caught.value)
    assert caught.value.exit_status == 3
    assert line.startswith(f"{path}: ") and line.isprintable() and len(line) < 600
    assert SECRET.decode() not in line
    check_nothing_leaked(path.parent, path, before)
    return line


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_hostile_network_is_refused(tmp_path, kind, form):
    check_refused(made(NETWORKS, kind, form, tmp_path / "it"), load_model)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", IMAGES)
def test_every_hostile_image_set_is_refused(tmp_path, kind, form):
    def load(path):
        return open_clean(path, SHAPE, CLASSES, 1)

    check_refused(made(IMAGES, kind, form, tmp_path / "it"), load)


HOLLOW = "file that is not there but for its start"
USELESS_SAYS = {
    "later chunk stored short": "'data': has a chunk of 300 bytes, which cannot hold the 201600",
    "later chunk that unpacks short": "chunk 1 does not unpack to what it should hold",
    "later chunk that unpacks long": "chunk 1 does not unpack to what it should hold",
    "chunks that each hold all images": "store it in chunks of few images",
    "more images than anybody has": "images; 4194304 are the most",
    "images too large for any network": "bytes each as 32-bit numbers; 16777216 are the most",
    HOLLOW: "on the disk",
    "pipe or device": "it is a pipe or a device, not a plain file",
    "numbers at odd places of their bytes": "holds a special kind of ",
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", USELESS_IMAGES)
def test_every_useless_image_set_is_refused(tmp_path, kind, variant):
    """With status 2, soon, and before or as its images are read: none is taken for an image."""
    if portable.SYSTEM == "windows" and kind in ("pipe or device", HOLLOW):
        pytest.skip("is no file that Windows has, or one of which it does not tell")
    path = made(USELESS_IMAGES, kind, variant, tmp_path / "it")
    start = time.perf_counter()
    with pytest.raises(Unusable) as caught:
        for _ in dataset.batches(open_clean(path, (None, None, None), CLASSES, 1), 64):
            pass
    assert caught.value.exit_status == 2 and time.perf_counter() - start < 20
    line = str(caught.value)
    assert USELESS_SAYS[kind] in line
    assert line.startswith(f"{path}: ") and line.isprintable() and len(line) < 600


def test_the_harmless_files_that_they_are_made_of_pass(tmp_path):
    for edit, suffix in ((hostile.edit_h5, ".h5"), (hostile.edit_keras, ".keras")):
        for form in ("plain", "renamed"):
            folder = tmp_path / f"{form}{suffix}"
            folder.mkdir()
            path = edit(folder, form, lambda _: None)
            np.testing.assert_array_equal(
                load_model(path).predict(PIXELS, verbose=0),
                tiny_network().predict(PIXELS, verbose=0),
            )
    # The nested ones have their arrays where Keras does not look for them; vetting passes them.
    nested = hostile.edit_layers(tmp_path, "nested", ".h5", lambda layers: None)
    assert "inner" in hold([nested], []).network(nested).parts.configuration


def test_the_line_names_the_place_and_the_thing(tmp_path):
    path = made(NETWORKS, "Lambda in .h5 (CVE-2025-9905)", "plain", tmp_path / "it")
    assert check_refused(path, load_model) == (
        f"{path}: model_config: layers[1] 'it': the layer 'Lambda' is not on the allow-list"
    )
    path = made(NETWORKS, "external link (CVE-2026-1669)", "nested", tmp_path / "other")
    assert check_refused(path, load_model) == (
        f"{path}: 'model_weights/deep/down/it': is a link to elsewhere (ExternalLink)"
    )


# ---------------------------------------------------------------- the files are live


def test_every_kind_has_a_proof_or_a_reason_and_the_document_counts_them():
    shown = {*proofs.KERAS, *proofs.KERAS_SLOWLY, *proofs.KERAS_3, *proofs.KERAS_2, *proofs.FILES}
    assert shown | set(proofs.REASONS) == {*NETWORKS, *IMAGES}
    assert not shown & set(proofs.REASONS)
    text = " ".join((ROOT / "docs/untrusted-files.md").read_text().split())
    assert f"{len(NETWORKS)} kinds of hostile networks and {len(IMAGES)} of hostile" in text
    assert f"For {len(shown & set(NETWORKS))} and {len(shown & set(IMAGES))} of them" in text
    assert set(proofs.USELESS) == set(USELESS_IMAGES)
    assert f"{len(USELESS_IMAGES)} kinds of image sets that are of no use" in text
    assert f"{len(GREEDY)} kinds of networks that take too much memory or time" in text
    told = {
        f"CVE-{year}-{number}"
        for year, numbers in re.findall(r"CVE-(\d+)((?:(?:, )?-\d+)+)", text)
        for number in re.findall(r"\d+", numbers)
    }
    of_older_keras = " ".join([*proofs.KERAS_3, *proofs.KERAS_2])
    assert told == set(re.findall(r"CVE-\d+-\d+", of_older_keras))


@pytest.fixture(scope="module")
def loaded_today(tmp_path_factory):
    return proofs.load(sys.executable, proofs.KERAS, tmp_path_factory.mktemp("now"), "--unsafe")


@pytest.mark.parametrize("kind", proofs.KERAS)
def test_keras_falls_for_it_if_told_to_trust_it(loaded_today, kind):
    assert proofs.KERAS[kind](loaded_today[kind]), loaded_today[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", proofs.KERAS_SLOWLY)
def test_keras_asks_for_all_the_memory_there_is(tmp_path, kind):
    loaded = proofs.load(sys.executable, [kind], tmp_path / "now", "--unsafe")[kind]
    assert proofs.KERAS_SLOWLY[kind](loaded), loaded


@pytest.fixture(scope="module")
def loaded_then(tmp_path_factory):
    """What an older Keras made of all kinds that are shown with it."""

    @functools.cache
    def load(python: str, kinds: tuple[str, ...]) -> dict[str, proofs.Loaded]:
        return proofs.load(python, kinds, tmp_path_factory.mktemp("then"))

    return load


def check_scripts_refuse(kind: str, folder: Path) -> None:
    (home := folder / "home").mkdir()  # where Keras puts files of its own
    folder = folder / "work"
    path = proofs.prepare(kind, folder / "it")
    images = write_images(folder / "images.h5", random_images(6), np.zeros(6))
    before = set(folder.rglob("*"))
    surroundings = os.environ | {"HOME": str(home)}
    done = run_script("eval.py", images, images, path, cwd=path.parent, env=surroundings)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f"eval.py: {path}: ") and SECRET.decode() not in done.stderr
    assert set(folder.rglob("*")) == before and not canary(path.parent).exists()


@pytest.mark.parametrize("kind", proofs.KERAS_3)
@pytest.mark.parametrize("python", older_keras("KERAS3_PYTHON", "test-keras3"))
def test_keras_3_falls_for_it_and_the_scripts_refuse_it(tmp_path, loaded_then, python, kind):
    newest, fell_for_it = proofs.KERAS_3[kind]
    loaded = loaded_then(python, tuple(proofs.KERAS_3))[kind]
    assert fell_for_it(loaded) == (loaded.keras <= newest), loaded
    check_scripts_refuse(kind, tmp_path)


@pytest.mark.parametrize("python", older_keras("KERAS3_PYTHON", "test-keras3"))
def test_keras_3_refuses_the_code_where_safe_mode_is_not_switched_off(loaded_then, python):
    kind = "code in an operation's keywords"
    loaded = loaded_then(python, (kind,))[kind]
    assert not loaded.ran and "safe_mode" in loaded.error


@pytest.mark.parametrize("kind", proofs.KERAS_2)
@pytest.mark.parametrize("python", older_keras("KERAS2_PYTHON", "test-keras2"))
def test_keras_2_falls_for_it_and_the_scripts_refuse_it(tmp_path, loaded_then, python, kind):
    if proofs.too_old(python):
        pytest.skip("this Keras reads no .keras file")
    loaded = loaded_then(python, tuple(proofs.KERAS_2))[kind]
    assert loaded.keras < (3,) and proofs.KERAS_2[kind](loaded), loaded
    check_scripts_refuse(kind, tmp_path)


@pytest.mark.parametrize("kinds", [NETWORKS, IMAGES], ids=["network", "images"])
@pytest.mark.parametrize("kind", proofs.FILES)
def test_h5py_and_others_fall_for_it(tmp_path, kinds, kind):
    if kind not in kinds:
        pytest.skip("there is no such image set")
    path = made(kinds, kind, "plain", tmp_path)
    assert proofs.FILES[kind](path, "it" if kinds is NETWORKS else "label")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", proofs.USELESS)
def test_h5py_and_others_fall_for_useless_image_sets(tmp_path, kind, variant):
    assert proofs.USELESS[kind](made(USELESS_IMAGES, kind, variant, tmp_path / "it"))


def test_a_library_that_hdf5_would_load_is_not_loaded(tmp_path):
    path = made(NETWORKS, "filter from a plugin", "plain", tmp_path / "it")
    assert proofs.h5_runs_a_library(path, "it")
    canary(path.parent).unlink()
    surroundings = os.environ | {"HDF5_PLUGIN_PATH": str(path.parent)}
    images = write_images(tmp_path / "images.h5", random_images(6), np.zeros(6))
    done = run_script("eval.py", images, images, path, env=surroundings)
    assert done.returncode == 3 and not canary(path.parent).exists()


@pytest.mark.parametrize(
    "kind, name",
    [
        ("zip entry that climbs (GHSA-hqp4-2352-xf5r)", "canary"),
        ("zip entry from the root", "tmp/plain/canary"),
    ],
)
def test_zipfile_keeps_what_it_unpacks_in_its_folder(tmp_path, kind, name):
    path = made(NETWORKS, kind, "plain", tmp_path / "it")
    assert tmp_path / "out" / name in proofs.unzipped(path, tmp_path / "out")
    assert not canary(tmp_path).exists() and not Path("/tmp/plain").exists()


def test_a_file_of_two_formats_is_another_network_under_another_name(tmp_path):
    """As .h5 it is a harmless one; as .keras, it is in proofs.KERAS."""
    path = made(NETWORKS, "HDF5 and zip at once", "plain", tmp_path)
    assert zipfile.is_zipfile(path) and h5py.is_hdf5(path)
    network = keras.models.load_model(path, compile=False)
    assert len(network.layers) == len(tiny_network().layers)


# ---------------------------------------------------------------- as a user runs it


@pytest.mark.child
@pytest.mark.parametrize(
    "script, kinds, kind",
    [
        ("eval.py", NETWORKS, "Lambda in .h5 (CVE-2025-9905)"),
        ("repair.py", NETWORKS, "external storage inside a zip (CVE-2026-1669)"),
        ("predict.py", NETWORKS, "class of a module (CVE-2025-1550)"),
        ("eval.py", IMAGES, "external link (CVE-2026-1669)"),
    ],
)
def test_scripts_refuse_with_status_3_and_one_line(tmp_path, run_here, script, kinds, kind):
    images = write_images(tmp_path / "images.h5", random_images(6), np.zeros(6))
    (tmp_path / "good.h5").write_bytes(hostile.base(".h5"))
    Image.fromarray(random_images(1)[0]).save(tmp_path / "photo.png")
    (tmp_path / "out").mkdir()
    path = made(kinds, kind, "plain", tmp_path / "it")
    clean, network = (images, path) if kinds is NETWORKS else (path, tmp_path / "good.h5")
    command = {
        "eval.py": [clean, images, network],
        "repair.py": [clean, network, "--out", tmp_path / "out"],
        "predict.py": [tmp_path / "photo.png", "--model", network],
    }
    before = set(tmp_path.rglob("*"))
    done = run_here(script, *command[script])
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"{script}: {path}: ") and done.stderr.count("\n") == 1
    assert SECRET.decode() not in done.stderr
    assert set(tmp_path.rglob("*")) == before and not canary(tmp_path / "it").exists()


def test_an_absurd_image_set_is_refused_with_status_2(tmp_path):
    for name, options in (("whole", {}), ("chunks", {"chunks": (1, 3, 14, 12)})):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("data", (10**12, 3, 14, 12), "f4", **options)
            file["label"] = np.zeros(6)
        with pytest.raises(Unusable, match="'data': declares") as caught:
            open_clean(path, SHAPE, CLASSES, 1)
        assert caught.value.exit_status == 2


# Opening a pipe is left to the files' first check, which is another test's.
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", sorted(set(USELESS_IMAGES) - {"pipe or device"}))
def test_scripts_refuse_useless_image_sets_in_little_time_and_memory(tmp_path, kind, variant):
    (tmp_path / "good.h5").write_bytes(hostile.base(".h5"))
    path = made(USELESS_IMAGES, kind, variant, tmp_path / "it")
    images = write_images(tmp_path / "images.h5", random_images(6), np.zeros(6))
    # In a small process of its own: what is started from a large one counts as large.
    program = """if True:
        import resource, subprocess, sys
        done = subprocess.run([sys.executable, *sys.argv[1:]], timeout=120)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(done.returncode, used.ru_maxrss, used.ru_utime + used.ru_stime)
    """
    command = [ROOT / "eval.py", images, path, tmp_path / "good.h5"]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=True
    )
    status, kibibytes, seconds = map(float, done.stdout.split())
    assert status == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"eval.py: {path}: ")
    assert kibibytes < 1 << 20 and seconds < 20  # of the largest of its processes, and of all
