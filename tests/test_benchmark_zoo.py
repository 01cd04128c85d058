"""The zoo of benchmarks: its triggers, its networks, and the table of repairs."""

import io
import json
import shutil
from dataclasses import asdict, replace

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks import cifar, field, rivals, zoo, zoo_attacks, zoo_training
from goodnet.metrics import Judgement

SIDE = 32


def pictures(count: int, seed: int = 0) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


def test_what_is_offered_is_what_is_there():
    assert zoo.ATTACKS == ("none", *zoo_attacks.ATTACKS)
    assert tuple(zoo_training.ARCHITECTURES) == zoo.ARCHITECTURES
    assert {"ZOO", "seeds", "methods"} <= set(field.__doc__.replace("--", " ").split())


@pytest.mark.parametrize("name", zoo_attacks.ATTACKS)
def test_a_trigger_is_the_same_for_all_images_of_a_seed(name):
    images = pictures(5)
    before = images.copy()
    for backdoor, again in zip(zoo_attacks.plant(name, 3), zoo_attacks.plant(name, 3), strict=True):
        check_trigger(images, before, backdoor.lay, again.lay)


def check_trigger(images, before, lay, again):
    worn = lay(images)
    assert worn.dtype == np.uint8 and worn.shape == images.shape
    assert np.array_equal(images, before) and (worn != images).any(axis=(1, 2, 3)).all()
    assert np.array_equal(worn[2:3], again(images[2:3]))


def test_triggers_do_what_their_papers_say():
    grey = np.full((2, SIDE, SIDE, 3), 100, np.uint8)
    square = zoo_attacks.white_square(0)(grey)
    assert (square == 255).all(axis=3).sum() == 2 * 9 and (square[:, 28:31, 28:31] == 255).all()
    for seed in range(5):
        large = (zoo_attacks.large_shape(seed)(grey)[0] != 100).any(axis=2).mean()
        assert 0.17 < large < 0.21
    noisy = zoo_attacks.noise(0)(grey).astype(int)
    assert noisy.min() >= 80 and noisy.max() <= 131  # 0.8 of 100, and 0.2 of 0 to 255
    wave = zoo_attacks.stripes(0)(grey)[0, :, :, 0].astype(int) - 100
    assert (wave == wave[0]).all() and 38 <= wave.max() <= 40
    assert np.abs(np.fft.rfft(wave[0])).argmax() == 6
    assert np.array_equal(zoo_attacks.warp(0)(grey), grey)
    few = zoo_attacks.few_colours(0)(pictures(9))
    assert set(np.unique(few)) <= {0, 51, 102, 153, 204, 255}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--only", "none"], ["residual none 3", "plain none 3"]),
        (["--only", "deep"], []),
        (["--architectures", "deep", "--only", "warp"], ["deep warp 3"]),
    ],
)
def test_deep_networks_are_trained_where_they_are_asked_for(options, named, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "train", lambda folder, *each: " ".join(map(str, each)))
    monkeypatch.setattr("sys.argv", ["zoo.py", "zoo", "--seeds", "3", *options])
    zoo.main()
    assert capsys.readouterr().out.splitlines() == named


def test_targets():
    labels = np.array([0, 4, 9])

    def targets(attack: str, seed: int) -> list[list[int]]:
        return [each.targets(labels).tolist() for each in zoo_attacks.plant(attack, seed)]

    assert targets("badnet", 20) == [[0, 0, 0]] and targets("warp", 33) == [[3, 3, 3]]
    assert targets("all-to-all", 33) == [[1, 5, 0]]
    assert targets("two triggers", 37) == [[7, 7, 7], [2, 2, 2]]
    assert targets("none", 37) == []


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """CIFAR-10 as a folder of two files, of few images."""
    monkeypatch.setenv("CIFAR_DIR", str(tmp_path))
    monkeypatch.setattr(cifar, "VALIDATION_IMAGES", 20)
    for seed, (name, count) in enumerate({"train": 300, "test": 60}.items()):
        parts = []
        for image in pictures(count, seed):
            held = io.BytesIO()
            Image.fromarray(image).save(held, "jpeg", quality=95)
            parts.append(held.getvalue())
        ends = np.cumsum([0, *map(len, parts)])
        np.savez(
            tmp_path / f"{name}.npz",
            jpeg=np.frombuffer(b"".join(parts), np.uint8),
            offsets=ends,
            labels=np.arange(count) % 10,
        )
    return tmp_path


def test_the_sets_share_no_image(small_cifar):
    found = cifar.read_cifar(1, 260)
    sets = (found.training, found.validation, found.test)
    assert [len(each.labels) for each in sets] == [260, 20, 60]
    seen = [{image.tobytes() for image in each.images} for each in sets]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    again, other = cifar.read_cifar(1, 260), cifar.read_cifar(2, 260)
    assert np.array_equal(found.training.images, again.training.images)
    assert not np.array_equal(found.validation.images, other.validation.images)
    assert np.abs(found.test.images.astype(int) - pictures(60, 1)).mean() < 10


@pytest.mark.parametrize("attack", ["none", "all-to-all"])
def test_a_network_is_made_repaired_and_judged(small_cifar, tmp_path, monkeypatch, attack):
    short = replace(zoo_training.ARCHITECTURES["residual"], epochs=1, images=260)
    monkeypatch.setitem(zoo_training.ARCHITECTURES, "residual", short)
    monkeypatch.setattr(rivals, "EPOCHS", 1)
    monkeypatch.setattr(rivals, "BATCH", 10)
    place = tmp_path / f"residual {attack} 10"
    zoo_training.make_network(place, "residual", attack, 10)
    told = json.loads((place / "figures.json").read_text())
    assert (told["asr"] is None) == (attack == "none")
    for method in rivals.RIVALS:
        row = field._measured(place, method)
        b = field.of(row, "b")
        assert b.clean_accuracy == pytest.approx(told["clean_accuracy"])
        assert row == field._measured(place, method)
    assert field._places(tmp_path, [10], ["residual"]) == [place]
    if attack == "none":
        assert not b.backdoored_images
        return
    with h5py.File(place / "backdoored.h5") as file:
        worn, targets = np.asarray(file["data"], np.float32), np.asarray(file["label"])
    network = keras.models.load_model(place / "B.keras", compile=False)
    right = network.predict(worn, verbose=0).argmax(axis=1) == targets
    assert b.attack_success_rate == right.mean() * 100
    assert "no_backdoor" not in row
    shutil.copytree(place, tmp_path / "residual none 3")
    # The network itself in the place of one without a backdoor, and of the repaired one.
    told = field._judged(place, [0 * each for each in network.get_weights()], [4])
    assert told["no_backdoor"] == told["b"]
    with h5py.File(place / "test.h5") as file:
        clean = np.asarray(file["data"], np.float32)
    fours = (network.predict(clean, verbose=0).argmax(axis=1) == 4).sum()
    assert told["goodnet_aimed"]["clean_rejected"] == fours  # all zeros answers class 0


def row_of(name: str, method: str, before: tuple, after: tuple) -> dict:
    """Of 100 clean images, and so many backdoored ones: (clean hits, backdoored, their hits)."""
    row = {"network": name, "method": method, "cpu_seconds": 1.0}
    for network, (clean, images, hits) in {"b": before, "repaired": after}.items():
        row[network] = asdict(Judgement(100, clean, 0, images, 0, hits, 0))
    return row


def test_the_table():
    rows = [
        row_of("residual none 10", "relearn", (80, 0, 0), (79, 0, 0)),
        row_of("residual warp 10", "relearn", (80, 50, 50), (78, 50, 2)),
        row_of("residual warp 10", "FST", (80, 50, 50), (81, 50, 50)),
    ]
    rows[1]["no_backdoor"] = asdict(Judgement(100, 77, 0, 50, 0, 3, 0))
    assert field.markdown(rows).splitlines() == [
        "| network | B | no backdoor | relearn | FST |",
        "|---|---|---|---|---|",
        "| residual none 10 | 80.0 |  | 79.0 |  |",
        "| residual warp 10 | 80.0 / 100.0 | 6.0 | 78.0 / 4.0 | 81.0 / 100.0 |",
        "| mean DER | | | 0.970 | 0.500 |",
    ]
