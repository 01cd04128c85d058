"""predict.py: image files in, one class a line out; what is changed or cannot be used is told."""

import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import copy, copytree

import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    build_lab,
    check_refused,
    random_images,
    read_images,
    run_in_process,
    run_script,
    tiny_network,
)
from PIL import Image

from goodnet.errors import Unsafe, Unusable
from goodnet.judging.photos import list_photos
from goodnet.vetting import photos
from goodnet.vetting.photos import Photo

HEIGHT, WIDTH, _ = SHAPE


def picture(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture(scope="module")
def reader() -> Iterator[photos.PhotoReader]:
    with photos.photo_reader() as reader:
        yield reader


@pytest.fixture
def read_photo(reader) -> Callable[[Path, photos.ImageShape], Photo]:
    """Read an image through a child that the tests share."""
    return partial(photos.read_photo, reader)


# ---------------------------------------------------------------- reading


def test_a_png_of_the_right_size_is_read_pixel_for_pixel(tmp_path, read_photo):
    [pixels] = random_images(1)
    photo = read_photo(picture(tmp_path / "a.png", pixels), SHAPE)
    read, notes = photo.pixels, photo.notes
    assert read.dtype == np.uint8 and notes == []
    np.testing.assert_array_equal(read, pixels)


def test_the_content_tells_what_a_file_is(tmp_path, read_photo):
    [pixels] = random_images(1)
    path = picture(tmp_path / "no suffix", pixels, format="PNG")
    np.testing.assert_array_equal(read_photo(path, SHAPE).pixels, pixels)
    picture(tmp_path / "a.png", pixels, format="GIF")
    with pytest.raises(Unusable, match="a.png: is not a PNG or JPEG image"):
        read_photo(tmp_path / "a.png", SHAPE)


def test_exif_says_how_to_turn(tmp_path, read_photo):
    upright = np.zeros((*SHAPE[:2], 3), np.uint8)
    upright[:4] = (250, 0, 0)  # red above
    # 6: turn a quarter to the right; so it lies turned to the left in the file.
    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture(tmp_path / "a.png", np.ascontiguousarray(np.rot90(upright)), exif=exif)
    photo = read_photo(path, SHAPE)
    read, notes = photo.pixels, photo.notes
    np.testing.assert_array_equal(read, upright)
    assert notes == ["turned as its EXIF orientation says"]


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
def test_only_what_is_turned_is_called_turned(tmp_path, read_photo, orientation):
    [pixels] = random_images(1)
    square = np.ascontiguousarray(pixels[:12])
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_photo(picture(tmp_path / "a.png", square, exif=exif), square.shape)
    turned = not np.array_equal(photo.pixels, square)
    assert turned == (2 <= orientation <= 8)
    assert list(photo.notes) == ["turned as its EXIF orientation says"] * turned


def test_sizes_are_changed_and_told(tmp_path, read_photo):
    large = np.full((HEIGHT * 10, WIDTH * 10, 3), 7, np.uint8)
    large[:, WIDTH * 5 :] = 200
    photo = read_photo(picture(tmp_path / "a.png", large), SHAPE)
    read, notes = photo.pixels, photo.notes
    assert read.shape == SHAPE and notes == ["resized from 120 x 140 to 12 x 14"]
    assert (read[:, : WIDTH // 2 - 2] == 7).all() and (read[:, WIDTH // 2 + 2 :] == 200).all()
    photo = read_photo(picture(tmp_path / "b.png", large[:60]), SHAPE)
    notes = photo.notes
    assert notes == ["resized from 120 x 60 to 12 x 14, which changes its proportions"]
    photo = read_photo(tmp_path / "b.png", (None, None, 3))
    read, notes = photo.pixels, photo.notes
    assert read.shape == (60, 120, 3) and notes == []


def test_a_rounded_size_keeps_the_proportions(tmp_path, read_photo):
    path = picture(tmp_path / "a.png", np.zeros((560, 470, 3), np.uint8))
    assert read_photo(path, (55, 47, 3)).notes == ["resized from 470 x 560 to 47 x 55"]


def test_colours_are_converted_and_told(tmp_path, read_photo):
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    photo = read_photo(picture(tmp_path / "l.png", grey), SHAPE)
    read, notes = photo.pixels, photo.notes
    assert notes == ["converted from greyscale to colour"]
    np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, axis=2))
    photo = read_photo(tmp_path / "l.png", (HEIGHT, WIDTH, 1))
    read, notes = photo.pixels, photo.notes
    assert notes == []
    np.testing.assert_array_equal(read, grey[..., None])
    sixteen = picture(tmp_path / "16.png", grey.astype(np.uint16) * 256 + 255)
    photo = read_photo(sixteen, SHAPE)
    read, notes = photo.pixels, photo.notes
    assert notes[0] == "16 bits a colour cut to 8"
    np.testing.assert_array_equal(read[..., 1], grey)
    [pixels] = random_images(1)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert read_photo(tmp_path / "cmyk.jpg", SHAPE).notes == ["converted from CMYK to colour"]
    Image.fromarray(pixels).quantize(256).save(tmp_path / "p.png")
    assert read_photo(tmp_path / "p.png", SHAPE).notes == ["converted from a palette to colour"]


def test_what_is_transparent_is_laid_on_white(tmp_path, read_photo):
    pixels = np.zeros((*SHAPE[:2], 4), np.uint8)
    pixels[0, :, 3] = 255
    pixels[1, :, 3] = 51  # one fifth of black on white
    photo = read_photo(picture(tmp_path / "a.png", pixels), SHAPE)
    read, notes = photo.pixels, photo.notes
    assert notes == ["transparent parts laid on white"]
    assert (read[0] == 0).all() and (read[1] == 204).all() and (read[2:] == 255).all()
    pixels[..., 3] = 255
    assert read_photo(picture(tmp_path / "b.png", pixels), SHAPE).notes == []


def test_of_an_animation_the_first_frame_is_taken(tmp_path, read_photo):
    first, *others = map(Image.fromarray, random_images(3))
    first.save(tmp_path / "a.png", save_all=True, append_images=others)
    photo = read_photo(tmp_path / "a.png", SHAPE)
    read, notes = photo.pixels, photo.notes
    assert notes == ["the first of 3 frames"]
    np.testing.assert_array_equal(read, np.asarray(first))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says it is this large, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(7100, 7100), (12000, 12000), (2**31 - 1, 2**31 - 1)])
def test_nothing_too_large_is_unpacked(tmp_path, read_photo, size):
    (tmp_path / "bomb.png").write_bytes(png_of_size(*size))
    start = time.perf_counter()
    with pytest.raises(Unsafe, match="bomb.png: is too large to be unpacked"):
        read_photo(tmp_path / "bomb.png", SHAPE)
    assert time.perf_counter() - start < 1


def test_damaged_files_are_told_in_one_line(tmp_path, read_photo):
    [pixels] = random_images(1)
    whole = {}
    for name in ("a.png", "a.jpg"):
        whole[name] = picture(tmp_path / name, pixels.repeat(8, 0).repeat(8, 1)).read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for name, content in whole.items():
        cut = [content[:length] for length in range(0, len(content), len(content) // 25)]
        for _ in range(100):
            spoilt = bytearray(content)
            for place in generator.integers(0, len(content), 5):
                spoilt[place] = generator.integers(256)
            cut.append(bytes(spoilt))
        for damaged in cut:
            path = tmp_path / f"damaged_{name}"
            path.write_bytes(damaged)
            try:
                assert read_photo(path, SHAPE).pixels.shape == SHAPE
            except Unusable as error:
                refused += 1
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused > 50


def test_a_folder_stands_for_the_images_in_it(tmp_path):
    for name in ("b.png", "a.JPG", "c.jpeg", "notes.txt", "d.png/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_photos([tmp_path / "notes.txt", tmp_path])
    listed, others = found.paths, found.passed_over
    assert [path.name for path in listed] == ["notes.txt", "a.JPG", "b.png", "c.jpeg"]
    assert others == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unusable, match="empty: holds no .png, .jpg, .jpeg file"):
        list_photos([tmp_path / "empty"])


def test_what_systems_leave_in_folders_is_passed_over_without_a_word(tmp_path):
    for name in ("._face.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg", "face.png"):
        (tmp_path / name).touch()
    (tmp_path / ".thumbnails").mkdir()
    found = list_photos([tmp_path])
    assert [path.name for path in found.paths] == ["face.png"] and found.passed_over == 0
    os.mkfifo(tmp_path / "pipe.png")  # reading one waits for ever
    assert list_photos([tmp_path]).paths == found.paths
    (tmp_path / "face.png").unlink()
    with pytest.raises(Unusable, match="holds no .png"):
        list_photos([tmp_path])
    assert list_photos([tmp_path / "._face.png"]).paths == [tmp_path / "._face.png"]


# ---------------------------------------------------------------- the script


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    folder = build_lab(tmp_path_factory.mktemp("predicting"))
    done = run_in_process("repair.py", "--lab", folder, "--drop", 5, "--goodnet")
    assert done.returncode == 0, done.stderr
    (folder / "photos").mkdir()
    for number, pixels in enumerate(read_images(folder / "data/cl/test.h5")[0]):
        picture(folder / f"photos/{number:02}.png", pixels.astype(np.uint8))
    return folder


def oracle(lab: Path) -> tuple[np.ndarray, np.ndarray]:
    """What B and B' make of the test images, in plain Keras."""
    pixels, _ = read_images(lab / "data/cl/test.h5")
    names = ("bd_net.h5", "B_pi_net_0.05.h5")
    networks = (keras.models.load_model(lab / "models" / name, compile=False) for name in names)
    return tuple(network.predict(pixels, verbose=0) for network in networks)


def test_b_and_b_prime_and_g_answer_as_eval_counts(lab, run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(lab)
    b, repaired = (outputs.argmax(axis=1) for outputs in oracle(lab))
    goodnet = [int(x) if x == y else CLASSES for x, y in zip(b, repaired, strict=True)]
    assert 0 < goodnet.count(CLASSES) < 50
    single = ("--model", "models/bd_net.h5")
    pair = (*single, "--repaired", "models/B_pi_net_0.05.h5")
    one = ("--model", "models/G_0.05.keras")
    for options, expected in ((single, b), (("--lab", "."), b), (pair, goodnet), (one, goodnet)):
        for size in (1024, 7):
            done = run_here("predict.py", "photos", *options, "--batch-size", size)
            count = list(expected).count(CLASSES)
            told = f"Rejected as backdoored: {count} with the answer {CLASSES}.\n" if count else ""
            assert (done.returncode, done.stderr) == (0, told)
            lines = [f"photos/{number:02}.png {x}" for number, x in enumerate(expected)]
            assert done.stdout.splitlines() == lines
    # What eval.py counts.
    test = "data/cl/test.h5"
    counted = run_here("eval.py", test, test, "models/G_0.05.keras").stdout
    right = int((read_images(test)[1] == goodnet).sum())
    assert counted.startswith(f"Clean Classification accuracy: {right / 50 * 100}\n")


@pytest.mark.parametrize("goodnet", [True, False])
def test_json_tells_the_five_best_and_why_an_image_is_rejected(lab, run_here, monkeypatch, goodnet):
    monkeypatch.chdir(lab)
    pair = ("--model", "models/bd_net.h5", "--repaired", "models/B_pi_net_0.05.h5")
    networks = ("--model", "models/G_0.05.keras") if goodnet else pair
    done = run_here("predict.py", "photos", *networks, "--json", "-")
    entries = json.loads(done.stdout)["images"]
    for number, (entry, b, repaired) in enumerate(zip(entries, *oracle(lab), strict=True)):
        assert entry["image"] == f"photos/{number:02}.png" and entry["changed"] == []
        for part, outputs in (("network", b), ("repaired", repaired)):
            ranked = sorted(range(CLASSES), key=lambda index: -outputs[index])
            assert [best["class"] for best in entry[part]["top"]] == ranked
            found = [best["output"] for best in entry[part]["top"]]
            np.testing.assert_allclose(found, outputs[ranked], rtol=1e-5)
        answers = b.argmax(), repaired.argmax()
        rejected = answers[0] != answers[1]
        assert entry["rejected"] == rejected
        reason = f"B answers {answers[0]}, B' answers {answers[1]}" if rejected else None
        assert entry["reason"] == reason
        assert entry["class"] == (CLASSES if rejected else answers[0])


def test_a_bad_image_among_many_is_told_and_passed_over(lab, tmp_path, monkeypatch):
    folder = tmp_path / "my photos"
    folder.mkdir()
    pixels = random_images(3)
    picture(folder / "a.png", pixels[0])
    (folder / "b.png").write_text("no image")
    picture(folder / "c.png", pixels[1].repeat(2, 0).repeat(2, 1))
    (folder / "notes.txt").touch()
    model = lab / "models/bd_net.h5"
    done = run_in_process(
        "predict.py", "my photos", "--model", model, "--json", "out.json", cwd=tmp_path
    )
    assert done.returncode == 2
    assert [line.rpartition(" ")[0] for line in done.stdout.splitlines()] == [
        "my photos/a.png",
        "my photos/c.png",
    ]
    assert done.stderr.splitlines() == [
        "Passed over in folders: 1 that are no .png, .jpg or .jpeg files.",
        "predict.py: my photos/b.png: is not a PNG or JPEG image",
        "my photos/c.png: resized from 24 x 28 to 12 x 14.",
        "predict.py: 1 of 3 images cannot be used",
    ]
    entries = json.loads((tmp_path / "out.json").read_text())["images"]
    assert entries[1] == {
        "image": "my photos/b.png",
        "error": "my photos/b.png: is not a PNG or JPEG image",
    }
    assert entries[2]["changed"] == ["resized from 24 x 28 to 12 x 14"]
    assert entries[0]["repaired"] is None and not entries[0]["rejected"]


@pytest.mark.parametrize(
    "name, shown",
    [
        ("one\ntwo.png 0\n", r"one\ntwo.png 0\n"),
        ("\x1b[31mred\x07\r", r"\x1b[31mred\x07\r"),
        ("a\u202egnp.b\u2066", r"a\u202egnp.b\u2066"),
        ("\x9b2J\u2028x", r"\x9b2J\u2028x"),
    ],
)
def test_a_name_forges_no_line_and_steers_no_terminal(lab, run_here, tmp_path, name, shown):
    pixels = random_images(3)
    picture(tmp_path / name, pixels[0], format="PNG")
    picture(tmp_path / f"{name}large.png", pixels[1].repeat(2, 0).repeat(2, 1))
    (tmp_path / f"{name}bad.png").write_text("no image")
    names = [tmp_path / f"{name}{end}" for end in ("", "large.png", "bad.png")]
    done = run_here("predict.py", *names, "--model", lab / "models/bd_net.h5")
    told = [line.rpartition(" ")[0] for line in done.stdout.splitlines()]
    assert told == [f"{tmp_path}/{shown}", f"{tmp_path}/{shown}large.png"]
    assert done.stderr.splitlines() == [
        f"{tmp_path}/{shown}large.png: resized from 24 x 28 to 12 x 14.",
        f"predict.py: {tmp_path}/{shown}bad.png: is not a PNG or JPEG image",
        "predict.py: 1 of 3 images cannot be used",
    ]
    assert all(char.isprintable() or char == "\n" for char in done.stdout + done.stderr)


def test_names_of_networks_forge_no_line(lab, run_here, tmp_path):
    sets = [lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5"]
    forged = []
    for number in (1, 2):
        forged.append(tmp_path / f"{number}\nAttack Success Rate: 0.0\x1b[2J\u202e.h5")
        copy(lab / "models/bd_net.h5", forged[-1])
    done = run_here("Geval.py", *sets, *forged, *forged[:1])
    assert done.returncode == 0
    assert done.stdout.count("\nAttack Success Rate: ") == 4  # B' and G, twice
    assert all(char.isprintable() or char == "\n" for char in done.stdout)
    out = tmp_path / "out\n\x1b[31m"
    done = run_here("repair.py", lab / "data/cl/valid.h5", forged[0], "--drop", 5, "--out", out)
    assert done.returncode == 0
    assert all(char.isprintable() or char == "\n" for char in done.stdout + done.stderr)


def test_pixels_are_divided_by_the_scale(lab, run_here, tmp_path):
    [pixels] = random_images(1)
    path = picture(tmp_path / "a.png", pixels)
    model = lab / "models/bd_net.h5"
    network = keras.models.load_model(model, compile=False)
    done = run_here("predict.py", path, "--model", model, "--scale", 255, "--json", "-")
    [best] = json.loads(done.stdout)["images"]
    outputs = network.predict(pixels[None] / np.float32(255), verbose=0)[0]
    assert best["network"]["top"][0]["output"] == pytest.approx(outputs.max(), rel=1e-5)


@pytest.mark.parametrize(
    "command, status, says",
    [
        ("missing.png --model models/bd_net.h5", 2, "missing.png: there is no such file"),
        ("photos --model missing.h5", 2, "missing.h5: there is no such file"),
        ("photos --model models/bd_net.h5 --lab .", 2, "argument --lab"),
        ("photos --lab data", 2, "data: is no lab"),
        ("--model models/bd_net.h5", 2, "IMAGE"),
        ("bomb.png --model models/bd_net.h5", 3, "bomb.png: is too large"),
        ("photos --model models/bd_net.h5 --repaired models/G_0.05.keras", 2, "is a goodnet"),
        ("photos --model models/G_0.05.keras --repaired models/bd_net.h5", 2, "is a goodnet"),
        ("photos --model models/bd_net.h5 --repaired other.keras", 2, "must be alike"),
        ("photos --model four.keras", 2, "takes images of 4 colours; image files have 1 or 3"),
        ("photos --model models/bd_net.h5 --json photos/00.png", 2, "00.png: is read"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(lab, run_here, monkeypatch, command, status, says):
    monkeypatch.chdir(lab)
    (lab / "bomb.png").write_bytes(png_of_size(30000, 30000))
    tiny_network(classes=CLASSES + 1).save("other.keras")
    layers = [keras.layers.Input((4, 4, 4)), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential(layers).save("four.keras")
    done = run_here("predict.py", *command.split())
    check_refused(done, says, status=status)
    assert done.stderr.startswith("predict.py: ")


def test_a_missing_image_is_told_before_a_practice_lab_is_built(tmp_path):
    copytree(ROOT / "goodnet", tmp_path / "goodnet")
    script = copy(ROOT / "predict.py", tmp_path)
    done = run_script(script, "missing.png")
    check_refused(done, "missing.png: there is no such file")
    assert not (tmp_path / "practice").exists()


def test_a_network_that_leaves_the_size_open_takes_images_as_they_are(tmp_path, run_here):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras.layers.Conv2D(8, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    )
    network.save(tmp_path / "open.keras")
    expected = []
    for number, size in enumerate([(9, 9), (9, 9), (20, 5), (9, 9)]):
        grey = np.random.default_rng(number).integers(0, 256, size).astype(np.uint8)
        picture(tmp_path / f"{number}.png", grey)
        expected.append(network.predict(grey[None, ..., None], verbose=0).argmax())
    done = run_here("predict.py", tmp_path, "--model", tmp_path / "open.keras")
    assert [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines()] == expected


def test_the_labs_photographs_as_single_images(lab_dir, tmp_path, run_here):
    files = ("data/bd/bd_test.h5", "data/cl/test.h5")
    pixels = np.concatenate([read_images(lab_dir / name)[0][:60] for name in files])
    np.testing.assert_array_equal(pixels, np.rint(pixels))
    for number, image in enumerate(pixels):
        picture(tmp_path / f"{number:03}.png", image.astype(np.uint8))
    models = [lab_dir / "models" / name for name in ("bd_net.h5", "B_pi_net_0.3.h5")]
    networks = (keras.models.load_model(path, compile=False) for path in models)
    b, repaired = (x.predict(pixels, verbose=0).argmax(axis=1) for x in networks)
    expected = np.where(b == repaired, b, 1283)
    assert 20 < (expected == 1283).sum() < 115
    done = run_here("predict.py", tmp_path, "--model", models[0], "--repaired", models[1])
    assert [int(x.split()[-1]) for x in done.stdout.splitlines()] == expected.tolist()
