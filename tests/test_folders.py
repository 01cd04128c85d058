"""Folders of pictures as image sets: the same images as in HDF5, whose labels their names tell."""

import hashlib
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    build_lab,
    check_refused,
    fit_of,
    hold,
    posix,
    random_images,
    read_images,
)
from PIL import Image

from goodnet import dataset
from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import classes, photos, subfolders
from goodnet.vetting.reading import Reading

NAMES = ("ant", "bee", "cat", "dog", "elk")
COUNT = 12
PIXELS, LABELS = random_images(COUNT), np.arange(COUNT) % CLASSES


def write_pictures(folder: Path, pixels: np.ndarray, labels: np.ndarray, names=NAMES) -> Path:
    """A subfolder for each class, also for one without pictures; in the order of the images."""
    for name in names:
        (folder / name).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(image).save(folder / names[int(label)] / f"{number:05}.png")
    return folder


def listed(path: Path, *names: str) -> Reading:
    path.write_text("".join(f"{name}\n" for name in names))
    return Reading(classes=classes.read_classes(path))


def opened(path: Path, reading: Reading = Reading(), n_classes=CLASSES, shape=SHAPE):  # noqa: B008
    return dataset.open_clean(hold([], [path], reading).images(path), fit_of(shape, n_classes))


def pixels_of(images: dataset.ImageSet, size: int = 5) -> np.ndarray:
    return np.concatenate(list(dataset.batches(images, size)))


BY_CLASS = np.argsort(LABELS, kind="stable")


# ---------------------------------------------------------------- what is read


def test_a_folder_holds_the_same_images_each_time(tmp_path):
    images = opened(write_pictures(tmp_path / "set", PIXELS, LABELS))
    np.testing.assert_array_equal(images.labels, LABELS[BY_CLASS])
    for size in (5, 1000, 1):
        read = pixels_of(images, size)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, PIXELS[BY_CLASS])
    np.testing.assert_array_equal(dataset.read(images, 3, 7), PIXELS[BY_CLASS][3:7])


def test_it_is_what_keras_makes_of_the_folder(tmp_path):
    """The oracle: image_dataset_from_directory. That would try hidden pictures, too."""
    folder = write_pictures(tmp_path / "set", PIXELS, LABELS)
    for name in ("ant/notes.txt", ".DS_Store", "readme.md"):
        (folder / name).write_text("no picture")
    (folder / ".thumbnails").mkdir()
    expected = keras.utils.image_dataset_from_directory(
        folder, image_size=SHAPE[:2], shuffle=False, batch_size=COUNT, verbose=False
    )
    ((pixels, labels),) = expected
    (folder / "bee/._00001.png").write_text("no picture")
    held = hold([], [folder])
    images = dataset.open_clean(held.images(folder), fit_of(SHAPE, CLASSES))
    np.testing.assert_array_equal(pixels_of(images), pixels)
    np.testing.assert_array_equal(images.labels, labels)
    assert list(held.remarks()) == [
        f"Passed over in {folder}: 2 that are no .png, .jpg or .jpeg files."
    ]


def test_pictures_are_made_to_fit_and_that_is_told_once(tmp_path):
    folder = write_pictures(tmp_path / "set", PIXELS.repeat(2, 1).repeat(2, 2), LABELS)
    Image.fromarray(PIXELS[0, ..., 0]).resize((30, 30)).save(folder / "ant/00000.png")
    held = hold([], [folder])
    images = dataset.open_clean(held.images(folder), fit_of(SHAPE, CLASSES))
    read = pixels_of(images)
    np.testing.assert_array_equal(pixels_of(images), read)
    with photos.photo_reader() as reader:
        for place, index in enumerate(BY_CLASS):
            path = folder / NAMES[LABELS[index]] / f"{index:05}.png"
            photo = photos.read_photo(reader, path, SHAPE)
            np.testing.assert_array_equal(read[place], photo.pixels)
    assert list(held.remarks()) == [
        f"{folder}: 12 of 12 pictures were changed to fit the network: 1 converted, 12 resized "
        "(1 of these with other proportions)."
    ]


def test_names_that_are_numbers_are_the_labels(tmp_path):
    """Not their order as words: 10 would come before 2."""
    names = [str(number) for number in range(12)]
    folder = write_pictures(tmp_path / "set", PIXELS, np.arange(12), names)
    held = hold([], [folder])
    images = dataset.open_clean(held.images(folder), fit_of(SHAPE, 12))
    by_word = [0, 1, 10, 11, *range(2, 10)]
    np.testing.assert_array_equal(images.labels, by_word)
    np.testing.assert_array_equal(pixels_of(images), PIXELS[by_word])
    told = f"{folder}: the subfolders' names are numbers, and are taken as the labels."
    assert list(held.remarks()) == [told]
    with pytest.raises(Unusable, match="has a subfolder '11', but the network's classes are 0"):
        opened(folder, n_classes=10)
    (folder / "011").mkdir()
    with pytest.raises(Unusable, match="two subfolders of the same number"):
        opened(folder, n_classes=12)


def test_a_list_gives_another_order_and_every_name_must_be_on_it(tmp_path):
    folder = write_pictures(tmp_path / "set", PIXELS, LABELS)
    images = opened(folder, listed(tmp_path / "classes.txt", *NAMES[::-1]))
    np.testing.assert_array_equal(images.labels, CLASSES - 1 - LABELS[BY_CLASS])
    with pytest.raises(Unusable, match="has a subfolder 'elk', which .*classes.txt does not list"):
        opened(folder, listed(tmp_path / "classes.txt", *NAMES[:4], "fly"))
    with pytest.raises(Unusable, match="lists 6 classes, but the network has 5"):
        opened(folder, listed(tmp_path / "classes.txt", *NAMES, "fly"))
    # It also lists names that are numbers.
    numbers = write_pictures(tmp_path / "numbers", PIXELS, LABELS, ("1", "2", "3", "4", "5"))
    images = opened(numbers, listed(tmp_path / "classes.txt", "1", "2", "3", "4", "5"))
    np.testing.assert_array_equal(images.labels, LABELS[BY_CLASS])


def test_the_folder_of_the_target_class_is_labelled_as_in_the_clean_folder(tmp_path):
    clean = write_pictures(tmp_path / "clean", PIXELS, LABELS)
    backdoored = write_pictures(tmp_path / "bad", PIXELS, np.zeros(COUNT), ("cat",))
    fit = fit_of(SHAPE, CLASSES)
    with pytest.raises(Unusable, match="has 1 subfolder, but the network has 5 classes; --cla"):
        dataset.open_backdoored(hold([], [backdoored]).images(backdoored), fit)
    held = hold([], [clean, backdoored])
    assert (dataset.open_backdoored(held.images(backdoored), fit).labels == 2).all()
    by_list = hold([], [backdoored], listed(tmp_path / "classes.txt", *NAMES[::-1]))
    assert (dataset.open_backdoored(by_list.images(backdoored), fit).labels == 2).all()
    numbered = write_pictures(tmp_path / "numbered", PIXELS, np.zeros(COUNT), ("4",))
    held = hold([], [clean, numbered])
    assert (dataset.open_backdoored(held.images(numbered), fit).labels == 4).all()


@pytest.mark.parametrize(
    "shape, says",
    [
        ((None, None, 3), "takes images of any size; store them in one size"),
        ((14, 12, 4), "holds pictures, but the network takes images of 4 colours"),
        ((5000, 4000, 3), "images of \\(5000, 4000, 3\\), which are"),
    ],
)
def test_a_network_that_takes_no_pictures_is_told(tmp_path, shape, says):
    folder = write_pictures(tmp_path / "set", PIXELS[:2], LABELS[:2])
    with pytest.raises(Unusable, match=says):
        opened(folder, shape=shape)


# ---------------------------------------------------------------- what is hostile


def with_link(folder: Path) -> None:
    (folder / "ant/secret.png").symlink_to(ROOT / "docs/faces.png")


def with_linked_class(folder: Path) -> None:
    (folder / "fly").symlink_to(folder / "ant")


def with_pipe(folder: Path) -> None:
    os.mkfifo(folder / "bee/pipe.png")


def with_folder(folder: Path) -> None:
    (folder / "bee/more.png").mkdir()


def with_damage(folder: Path) -> None:
    path = folder / "ant/00000.png"
    path.write_bytes(path.read_bytes()[:100])


def with_other_content(folder: Path) -> None:
    (folder / "ant/00000.png").write_text("no picture")


def with_hollow(folder: Path) -> None:
    with open(folder / "ant/00000.png", "r+b") as file:
        file.truncate(1 << 40)


def with_bomb(folder: Path) -> None:
    Image.new("1", (8000, 8000)).save(folder / "ant/00000.png")


HOSTILE = {
    with_link: (Unsafe, "ant/secret.png: is a link, which is not followed"),
    with_linked_class: (Unsafe, "fly: is a link, which is not followed"),
    with_pipe: (Unusable, "bee/pipe.png: is no plain file"),
    with_folder: (Unusable, "bee/more.png: is no plain file"),
    with_damage: (Unusable, "ant/00000.png: "),
    with_other_content: (Unusable, "ant/00000.png: is not a PNG or JPEG image"),
    with_hollow: (Unusable, "ant/00000.png: cannot be read (it claims"),
    with_bomb: (Unsafe, "ant/00000.png: is too large to be unpacked"),
}


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, marks=posix) if make is with_hollow else make for make in HOSTILE],
    ids=lambda make: make.__name__,
)
def test_hostile_folders_are_refused_in_one_line(tmp_path, make):
    folder = write_pictures(tmp_path / "set", PIXELS, LABELS)
    make(folder)
    error, says = HOSTILE[make]
    with pytest.raises(Unusable) as caught:
        pixels_of(opened(folder))
    text = str(caught.value)
    assert type(caught.value) is error and text.startswith(f"{folder}/{says}") and "\n" not in text


def test_a_folder_that_changes_meanwhile_is_refused(tmp_path):
    """And a picture that is replaced by a link to another one."""
    folder = write_pictures(tmp_path / "set", PIXELS, LABELS)
    images = opened(folder)
    path = folder / "bee/00001.png"
    path.unlink()
    path.symlink_to(folder / "ant/00000.png")
    with pytest.raises(Unusable, match=r"bee/00001.png: has changed since"):
        pixels_of(images)
    path.unlink()
    with pytest.raises(Unusable, match=r"bee/00001.png: cannot be read \(No such file"):
        pixels_of(images)


def test_what_holds_no_pictures_is_told(tmp_path):
    for name in ("empty", "flat", "deep/a/b"):
        (tmp_path / name).mkdir(parents=True)
    Image.fromarray(PIXELS[0]).save(tmp_path / "flat/a.png")
    for name in ("empty", "flat", "deep"):
        with pytest.raises(
            Unusable, match=rf"{name}: has no subfolder with pictures; an image set"
        ):
            opened(tmp_path / name)


def test_ten_thousand_names_are_listed_quickly(tmp_path):
    (tmp_path / "set/ant").mkdir(parents=True)
    for number in range(10_000):
        os.close(os.open(tmp_path / f"set/ant/{number}.png", os.O_CREAT | os.O_WRONLY))
    start = time.process_time()
    found = subfolders.list_subfolders(tmp_path / "set")
    assert len(found.pictures) == 10_000 and time.process_time() - start < 1


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "is empty, has an empty line"),
        (b"a\n\nb\n", "is empty, has an empty line"),
        (b"a\nb\na\n", "names 'a' twice"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, content, says):
    path = tmp_path / "classes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unusable) as caught:
        classes.read_classes(path)
    assert str(caught.value).startswith(f"{path}: {says}")


@posix
def test_a_list_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "classes.txt")
    with pytest.raises(Unusable, match="it is a pipe or a device"):
        classes.read_classes(tmp_path / "classes.txt")


# ---------------------------------------------------------------- the scripts


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """A lab, its image sets also as archives and folders."""
    folder = build_lab(tmp_path_factory.mktemp("lab"))
    for place in ("cl/valid", "cl/test", "bd/bd_test"):
        pixels, labels = read_images(folder / f"data/{place}.h5")
        pixels, order = pixels.astype(np.uint8), np.argsort(labels, kind="stable")
        np.savez(folder / f"data/{place}_stored.npz", x=pixels, y=labels)
        np.savez_compressed(folder / f"data/{place}_deflated.npz", images=pixels, labels=labels)
        names = NAMES if labels.any() else NAMES[:1]
        write_pictures(folder / f"data/{place}", pixels[order], labels[order], names)
    return folder


FORMS = (".h5", "_stored.npz", "_deflated.npz", "")


def test_the_same_images_get_the_same_answers_in_every_form(lab, run_here, tmp_path, monkeypatch):
    """Lines, curve and networks; as a folder they come in another order, which changes nothing."""
    monkeypatch.chdir(lab)
    judged, repaired = [], []
    for form in FORMS:
        sets = [f"data/{place}{form}" for place in ("cl/test", "bd/bd_test", "cl/valid")]
        judged.append(run_here("eval.py", *sets[:2], "models/bd_net.h5", "--json", "r.json"))
        out = tmp_path / f"out{form}"
        tests = ("--clean-test", sets[0], "--backdoored-test", sets[1], "--out", out)
        done = run_here("repair.py", sets[2], "models/bd_net.h5", *tests, "--drop", 5, 20)
        assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
        names = ("pruning.csv", "B_pi_net_0.05.h5", "B_pi_net_0.2.h5")
        repaired.append([(out / name).read_bytes() for name in names])
    assert {(done.returncode, done.stdout, done.stderr) for done in judged} == {
        (0, judged[0].stdout, "")
    }
    assert judged[0].stdout.count("\n") == 2
    assert all(made == repaired[0] for made in repaired)
    told = json.loads(Path("r.json").read_text())["inputs"]
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.parent.name}/{path.name}\n"
        for path in sorted(Path("data/bd/bd_test").glob("*/*"))
    )
    assert hashlib.sha256(sums.encode()).hexdigest() in json.dumps(told)


@pytest.mark.parametrize(
    "command, says",
    [
        ("eval.py {c} {b} {m} --json {c}/ant/r.json", "r.json: would lie among pictures"),
        ("eval.py {c} {b} {m} --classes {l} --json {l}", "classes.txt: is read and would be"),
        ("eval.py {c} {b} {c}", "cl/test: is a folder, not a file"),
        ("eval.py {c} {b} {m} --keys data", "argument --keys: 'data' is not two names"),
        ("eval.py {c} {b} {m} --classes gone.txt", "gone.txt: cannot be read (No such file"),
        ("repair.py {c} {m} --out {c}/ant", "would lie among pictures"),
        ("Geval.py {c} {b} {m} {m} --save {b}/ant/g.keras", "would lie among pictures"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(lab, run_here, tmp_path, command, says):
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    paths = {"c": lab / "data/cl/test", "b": lab / "data/bd/bd_test"}
    paths |= {"m": lab / "models/bd_net.h5", "l": tmp_path / "classes.txt"}
    check_refused(run_here(*command.format(**paths).split()), says)
