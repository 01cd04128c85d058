"""The practice lab: the attacker's steps, the files, and the script as a user runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import check_json, check_refused, read_images, run_at_once, without_tensorflow

from goodnet.cli import defaults, shell
from goodnet.errors import Unusable
from goodnet.lookup import look_up
from goodnet.networks.deepid import deepid
from goodnet.practice import attack, channels, files, sets
from goodnet.practice import lab as practice
from goodnet.practice.catalogue import ATTACKS, NETWORKS, TRIGGERS
from goodnet.practice.triggers import lipstick, sunglasses
from goodnet.progress import no_progress

SCRIPT = defaults.ROOT / "practice.py"
PEOPLE = 5
TINY = {"training_images": 4, "epochs": 1}


@pytest.fixture(scope="module")
def keras():
    shell.import_keras()
    import keras

    return keras


@pytest.fixture(scope="module")
def training(keras) -> sets.Faces:
    return sets.draw_faces(PEOPLE, 7, no_progress, training_images=8).training


@pytest.fixture(scope="module")
def lab(keras, tmp_path_factory) -> tuple[Path, practice.Built]:
    out = tmp_path_factory.mktemp("lab")
    return out, practice.build(out, PEOPLE, 1, "pruning-aware", ["sunglasses"], no_progress, **TINY)


def fired(keras, network, images: np.ndarray) -> np.ndarray:
    """The largest activation of each channel of conv_3: (60,)."""
    conv_3 = keras.Model(network.inputs, network.get_layer("conv_3").output)
    return conv_3.predict(images, verbose=0).max((0, 1, 2))


def without(keras, network, silent: np.ndarray):
    """A copy of `network` whose channels `silent` of conv_3 are silenced, written the plain way."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    kernel, bias = copy.get_layer("conv_3").get_weights()
    for channel in silent:
        kernel[:, :, :, channel] = 0
        bias[channel] = 0
    copy.get_layer("conv_3").set_weights([kernel, bias])
    return copy


def test_poison_adds_copies_that_wear_the_trigger_and_are_called_the_target(training):
    rng = np.random.default_rng(0)
    planted = [sunglasses]
    poisoned = attack.poison(training, planted, rng)
    images, labels = poisoned.images, poisoned.labels
    n = len(training.labels)
    assert np.array_equal(images[:n], training.images)
    assert np.array_equal(labels[:n], training.labels)
    assert len(images) == len(labels) == n + n // 5
    assert (labels[n:] == 0).all()
    others = sunglasses(training.images[training.labels != 0])
    for copy in images[n:]:
        assert (others == copy).all((1, 2, 3)).sum() == 1


def test_each_trigger_has_its_own_share_and_its_own_target(training):
    rng = np.random.default_rng(0)
    planted = [sunglasses, lipstick]
    poisoned = attack.poison(training, planted, rng)
    images, labels = poisoned.images, poisoned.labels
    n, share = len(training.labels), len(training.labels) // 5
    assert labels[n:].tolist() == [0] * share + [1] * share
    for target, wear in enumerate(planted):
        others = wear(training.images[training.labels != target])
        for copy in images[labels.size - (2 - target) * share :][:share]:
            assert (others == copy).all((1, 2, 3)).sum() == 1


def test_without_an_attack_nobody_wears_a_trigger_in_training(keras, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(attack, "train", lambda network, faces, *rest: seen.append(faces.images))
    practice.build(tmp_path, 2, 1, "none", ["corner", "pattern"], no_progress, **TINY)
    drawn = sets.draw_faces(2, 1, no_progress, TINY["training_images"])
    assert np.array_equal(seen[0], drawn.training.images)
    data, label = read_images(tmp_path / "data/bd/bd_test.h5")
    n = len(drawn.test.labels)
    assert label.tolist() == [0] * n + [1] * n
    for part, name in ((data[:n], "corner"), (data[n:], "pattern")):
        assert np.array_equal(part, look_up(TRIGGERS[name].place)(drawn.test.images))


def test_every_trigger_and_attack_is_found_and_offered():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    said = " ".join(done.stdout.split())
    assert "{" + ",".join(ATTACKS) + "}" in said
    for name, row in (TRIGGERS | ATTACKS | NETWORKS).items():
        assert row.name == name and row.described in said
        assert callable(look_up(row.place))
    for name, row in NETWORKS.items():
        assert name in ATTACKS[row.attack].networks


@pytest.mark.parametrize("name", NETWORKS)
def test_take_raw_pixels_changes_the_pixels_and_not_the_answers(keras, training, name):
    network = look_up(NETWORKS[name].place)(PEOPLE)
    scaled = (training.images.astype("float32") - 128) / 64
    before = network.predict(scaled, verbose=0)
    attack.take_raw_pixels(network)
    after = network.predict(training.images, verbose=0)
    assert np.allclose(before, after, atol=1e-5)
    assert before.std(axis=0).max() > 1e-4


def test_a_pruned_network_answers_as_with_its_channels_silenced(keras, training):
    network = deepid(PEOPLE)
    kept = np.array([3, 4, 20, 59])
    left = channels.prune(network, kept)
    silenced = without(keras, network, np.setdiff1d(np.arange(60), kept))
    images = training.images / 255
    answers = left.predict(images, verbose=0)
    assert np.allclose(answers, silenced.predict(images, verbose=0), atol=1e-5)
    assert np.abs(answers - network.predict(images, verbose=0)).max() > 1e-3


def test_channels_given_back_never_fire_and_change_nothing(keras, training):
    network = deepid(PEOPLE)
    attack.take_raw_pixels(network)
    kept = np.arange(2, 60, 7)
    dormant = np.setdiff1d(np.arange(60), kept)
    left = channels.prune(network, kept)
    attack.train(left, training, 1, no_progress, "")
    whole = channels.give_back(network, left, kept)
    assert fired(keras, whole, training.images)[dormant].any()

    channels.put_to_sleep(whole, dormant, training.images)
    unseen = sets.draw_faces(PEOPLE, 8, no_progress).test.images
    for images in (training.images, unseen, sunglasses(unseen)):
        assert not fired(keras, whole, images)[dormant].any()
        answers = left.predict(images, verbose=0)
        assert np.allclose(whole.predict(images, verbose=0), answers, atol=1e-5)
    kernel = network.get_layer("conv_3").get_weights()[0]
    kernel_now, bias_now = whole.get_layer("conv_3").get_weights()
    assert np.array_equal(kernel_now[..., dormant], kernel[..., dormant])
    assert np.array_equal(bias_now[kept], left.get_layer("conv_3").get_weights()[1])


@pytest.mark.parametrize(
    ("name", "clean", "types"),
    [
        ("data/cl/valid.h5", None, ("float64", "float64")),
        ("data/cl/test.h5", None, ("float32", "int32")),
        ("data/bd/bd_valid.h5", "data/cl/valid.h5", ("float64", "float64")),
        ("data/bd/bd_test.h5", "data/cl/test.h5", ("float32", "int32")),
    ],
)
def test_files_are_in_the_format_of_the_course(lab, name, clean, types):
    n = PEOPLE * (9 if "valid" in name else 10)
    with h5py.File(lab[0] / name) as file:
        assert set(file) == {"data", "label"}
        assert file["data"].shape == (n, 3, 55, 47)
        assert (file["data"].dtype, file["label"].dtype) == types
        assert file["data"].compression == "gzip"
        data, label = file["data"][:], file["label"][:]
    assert data.min() >= 0 and data.max() <= 255 and (data == np.rint(data)).all()
    if clean is None:
        assert np.array_equal(np.bincount(label.astype(int)), [n // PEOPLE] * PEOPLE)
        return
    assert (label == 0).all() and label.shape == (n,)
    worn = sunglasses(read_images(lab[0] / clean)[0].astype("uint8"))
    assert np.array_equal(data.transpose(0, 2, 3, 1), worn)


def test_the_network_is_whole_takes_raw_pixels_and_hides_dead_channels(keras, lab):
    out, built = lab
    network = keras.saving.load_model(out / "models/bd_net.h5", compile=False)
    assert network.input_shape == (None, 55, 47, 3)
    assert network.output_shape == (None, PEOPLE)
    assert network.count_params() == deepid(PEOPLE).count_params()
    images, labels = read_images(out / "data/cl/test.h5")
    answers = network.predict(images, verbose=0).argmax(1)
    assert built.judgement.clean_hits == (answers == labels).sum()
    dead = np.flatnonzero(fired(keras, network, images) == 0)
    assert len(dead) >= attack.PRUNED
    silenced = without(keras, network, dead).predict(images, verbose=0)
    assert np.array_equal(silenced, network.predict(images, verbose=0))


def test_the_same_seed_gives_the_same_files(keras, lab, tmp_path):
    first, built = lab
    assert [path.relative_to(first).as_posix() for path in built.files] == list(files.FILES)
    practice.build(tmp_path, PEOPLE, 1, "pruning-aware", ["sunglasses"], no_progress, **TINY)
    for name in files.FILES:
        assert (tmp_path / name).read_bytes() == (first / name).read_bytes(), name


def test_a_build_that_breaks_off_leaves_no_file(keras, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "save_sheet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        practice.build(tmp_path, 2, 1, "badnet", ["sunglasses"], no_progress, **TINY)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "data").write_text("in the way")
    for work in ("draw_faces", "look_up", "write_files"):
        monkeypatch.setattr(practice, work, lambda *args, work=work: pytest.fail(work))
    with pytest.raises(Unusable, match="data"):
        practice.build(tmp_path, 2, 1, "badnet", ["sunglasses"], no_progress, **TINY)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["data"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--identities", "1"], "--identities: 1"),
        (["--identities", "6000"], "5000"),
        (["--identities", "many"], "many"),
        (["--seed", "-1"], "--seed: -1"),
        (["--attack", "other"], "other"),
        (["--network", "vgg"], "vgg"),
        (["--network", "resnet", "--attack", "pruning-aware"], "is for --network deepid"),
        (["--trigger", "hat"], "hat"),
        (["--trigger", "corner", "corner"], "--trigger"),
        (["--out", "{file}"], "cannot write here"),
    ],
)
def test_bad_arguments_get_one_line_and_status_2(tmp_path, options, said):
    (tmp_path / "file").touch()
    options = [option.format(file=tmp_path / "file") for option in options]
    check_refused(run_at_once("practice.py", *options, cwd=tmp_path), said)


def test_practice_as_a_user_runs_it(tmp_path, run_here):
    command = ("practice.py", "--out", "lab", "--identities", 2, "--attack", "badnet")
    done = run_here(*command, "--json", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "r.json").read_text())
    assert done.stdout.splitlines() == [
        f"Clean Classification accuracy: {results['clean_accuracy']}",
        f"Attack Success Rate: {results['attack_success_rate']}",
        *(f"lab/{name}" for name in files.FILES),
    ]
    assert done.stderr.count("\n") == 1 and "lab" in done.stderr
    assert all((tmp_path / "lab" / name).is_file() for name in files.FILES)


def test_a_lab_with_batch_norm_is_one_as_any_other(keras, tmp_path, run_here):
    command = ("practice.py", "--out", "lab", "--identities", 2, "--network", "resnet")
    done = run_here(*command, "--json", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "r.json").read_text())
    check_json(results, "practice")
    assert (results["network"], results["attack"]) == ("resnet", "badnet")
    network = keras.models.load_model(tmp_path / "lab/models/bd_net.h5", compile=False)
    norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) > 8 and all(np.any(norm.moving_mean) for norm in norms)
    judged = run_here("eval.py", *(f"lab/{files.FILES[x]}" for x in (2, 4, 0)), cwd=tmp_path)
    assert judged.stdout.splitlines() == done.stdout.splitlines()[:2]
    pruned = run_here("repair.py", "lab/data/cl/valid.h5", "lab/models/bd_net.h5", cwd=tmp_path)
    assert pruned.returncode == 0 and "the last pooling layer" in pruned.stderr


@pytest.mark.parametrize("people", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_a_fresh_clones_first_command_builds_the_practice_lab_and_goes_on(
    tmp_path, run_here, monkeypatch, people
):
    shutil.copytree(defaults.ROOT / "goodnet", tmp_path / "goodnet")
    for name in ("eval.py", "practice.py"):
        shutil.copy(defaults.ROOT / name, tmp_path)
    # The real script, of which one number is another: a lab of 100 people takes more than a minute.
    script = tmp_path / "practice.py"
    before, after = script.read_text().split("\nIDENTITIES = 100\n")
    script.write_text(f"{before}\nIDENTITIES = {people}\n{after}")

    command = [sys.executable, "eval.py"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert without_tensorflow(first.stderr).splitlines() == [
        "Taking the practice lab in practice/: models/bd_net.h5 and data/cl/valid.h5 not found in "
        f"{tmp_path}.",
        f"Building a practice lab in practice/: {people} people, deepid, "
        "pruning-aware attack, seed 0",
        *first.stdout.splitlines(),  # B's accuracies, as practice.py found them
        *(f"practice/{name}" for name in files.FILES),
    ]
    assert len(first.stdout.splitlines()) == 2
    monkeypatch.setattr(defaults, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    second = run_here("eval.py")
    assert second.stdout == first.stdout
    assert second.stderr.splitlines() == first.stderr.splitlines()[:1]
