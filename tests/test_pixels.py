"""Pixels of one range for a network that takes another."""

import json

import h5py
import keras
import numpy as np
import pytest
from conftest import SHAPE, check_refused, open_clean, read_images, tiny_network, write_images
from keras import layers
from PIL import Image

from goodnet import dataset
from goodnet.cli import options
from goodnet.errors import Unusable
from goodnet.pixels import AS_IN_FILE, RANGES, Scaling, find_range, scale_pixels, scaling_between

IMAGES, N = 60, 12
NAMES = list(RANGES)
PAIRS = [(held, taken) for held in NAMES for taken in NAMES]
DIFFERENT = [(held, taken) for held, taken in PAIRS if held != taken]


def of_range(bytes_: np.ndarray, name: str) -> np.ndarray:
    """Pixels of 0..255 as people make others of them."""
    return {"0..255": bytes_, "0..1": bytes_ / 255, "-1..1": bytes_ / 127.5 - 1}[name].astype("f4")


def photographs() -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.normal(128, 80, (IMAGES, 7, 6, 3)).repeat(2, axis=1).repeat(2, axis=2)
    return coarse.clip(0, 255).round()


def taking(name: str) -> keras.Model:
    """A network of 12 classes that takes pixels of this range, with varied answers."""
    back = {"0..255": (1, 0), "0..1": (255, 0), "-1..1": (127.5, 127.5)}[name]
    network = tiny_network(classes=N)
    *_, last = network.layers
    before = keras.Model(network.inputs, last.input).predict(photographs(), verbose=0)
    last.bias.assign(-(before @ last.get_weights()[0]).mean(axis=0))
    return keras.Sequential([keras.Input(SHAPE), layers.Rescaling(*back), network])


@pytest.fixture
def files(tmp_path, request):
    """Clean images of a range, backdoored ones, and a network that takes another."""
    held, taken = request.param
    taking(taken).save(tmp_path / "b.h5")
    network = keras.models.load_model(tmp_path / "b.h5")
    pixels = photographs()
    labels, wrong = (
        network.predict(of_range(pixels, name), verbose=0).argmax(axis=1) for name in (taken, held)
    )
    if held != taken:  # the accuracy of pixels of the wrong range is 0
        pixels, labels = pixels[labels != wrong], labels[labels != wrong]
    assert len(pixels) > 20 and len(set(labels)) > 3
    clean = write_images(tmp_path / "clean.h5", of_range(pixels, held), labels)
    backdoored = write_images(tmp_path / "bd.h5", of_range(pixels, held), (labels + 1) % N)
    return held, taken, clean, backdoored, tmp_path / "b.h5"


@pytest.mark.parametrize("files", PAIRS, indirect=True)
def test_pixels_are_taken_to_the_range_of_the_network(files, run_here):
    held, taken, *paths = files
    done = run_here("eval.py", *paths, "--pixels", taken)
    assert done.stdout.splitlines()[0] == "Clean Classification accuracy: 100.0"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("files", DIFFERENT, indirect=True)
def test_the_hint_names_the_range_that_fits_and_comes_once(files, run_here, tmp_path):
    held, taken, clean, backdoored, b = files
    expected = f"are of {held}, and B seems to take {taken}: try --pixels {taken} (it gives 100.0 %"
    for wrong in ([], ["--pixels", held]):
        assert expected in run_here("eval.py", clean, backdoored, b, *wrong).stderr
    for other in (255, 1 / 255):  # never a hint at what was just tried, or at another
        told = run_here("eval.py", clean, backdoored, b, "--scale", other).stderr
        assert not told or expected in told
    with h5py.File(backdoored, "r+") as file:  # which take no part in it
        file["data"][...] = np.random.default_rng(0).random(file["data"].shape)
    assert expected in run_here("eval.py", clean, backdoored, b).stderr
    given = ("--pixels", taken, "--out", tmp_path / "out")
    assert "Hint" not in run_here("repair.py", clean, b, *given).stderr


@pytest.mark.parametrize("files", [("0..255", "0..255")], indirect=True)
def test_where_no_range_fits_none_is_named(files, run_here):
    held, taken, clean, backdoored, b = files
    network, pixels = keras.models.load_model(b), photographs()
    said = [network.predict(of_range(pixels, name), verbose=0).argmax(axis=1) for name in NAMES]
    write_images(clean, pixels, [min(set(range(N)) - {*each}) for each in np.transpose(said)])
    told = run_here("eval.py", clean, backdoored, b).stderr
    assert "Their pixels are of 0..255, and no other of the usual ranges" in told
    assert "try" not in told and told.count("\n") == 1


@pytest.mark.parametrize("files", [("0..1", "0..255"), ("0..255", "-1..1")], indirect=True)
def test_repairs_take_pixels_to_the_range_too(files, run_here, tmp_path):
    held, taken, clean, _, b = files
    pixels, labels = read_images(clean)
    scale_pixels(pixels, scaling_between(RANGES[held], RANGES[taken]))
    same = write_images(tmp_path / "same.h5", pixels, labels)
    made = []
    for images, given in ((clean, ["--pixels", taken]), (same, [])):
        out = tmp_path / f"out{len(made)}"
        done = run_here("repair.py", images, b, "--drop", 10, "--out", out, *given)
        assert done.returncode == 0, done.stderr
        made.append((out / "pruning.csv").read_text().splitlines()[1:])
    first, second = ([line.split(",") for line in lines] for lines in made)
    assert [row[:2] + row[3:] for row in first] == [row[:2] + row[3:] for row in second]


@pytest.mark.parametrize("name", NAMES)
def test_image_files_have_0_to_255(tmp_path, run_here, name):
    network = taking(name)
    network.save(tmp_path / "b.keras")
    pixels = photographs().astype(np.uint8)
    for number in range(4):
        Image.fromarray(pixels[number]).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.glob("*.png"))
    done = run_here(
        "predict.py", *photos, "--model", tmp_path / "b.keras", "--pixels", name, "--json", "-"
    )
    best = [image["network"]["top"][0]["output"] for image in json.loads(done.stdout)["images"]]
    expected = network.predict(of_range(pixels[:4], name), verbose=0).max(axis=1)
    np.testing.assert_allclose(best, expected, rtol=1e-5)


def test_minus_1_to_1_is_what_keras_makes_of_it():
    pixels = photographs().astype("float32")
    expected = keras.applications.mobilenet_v2.preprocess_input(pixels.copy())
    scale_pixels(pixels, scaling_between(RANGES["0..255"], RANGES["-1..1"]))
    np.testing.assert_array_equal(pixels, expected)


def test_0_to_1_is_the_same_as_dividing_by_255():
    assert scaling_between(RANGES["0..255"], RANGES["0..1"]) == Scaling(255)
    assert all(scaling_between(known, known) == AS_IN_FILE for known in RANGES.values())


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        *[(0, 255, "0..255"), (3, 200, "0..255"), (0, 1.5, "0..255")],
        *[(0, 1, "0..1"), (0.2, 0.9, "0..1"), (0, 0, "0..1")],
        *[(-1, 1, "-1..1"), (-0.1, 0.2, "-1..1"), (-1, -1, "-1..1")],
        *[(-1.1, 1, None), (-1, 1.1, None), (0, 256, None), (-123.7, 151.1, None)],
    ],
)
def test_the_range_of_pixels_is_seen_in_them(low, high, name):
    assert find_range(low, high) == RANGES.get(name)


def test_pixels_of_no_range_are_refused_where_one_is_asked_for(tmp_path, run_here):
    path = write_images(tmp_path / "v.h5", photographs() - 123.68, np.zeros(IMAGES))
    with pytest.raises(Unusable, match=r"has pixels from -123.68 to 131.32, .*--scale S"):
        dataset.open_clean(open_clean(path, SHAPE, 5).file, dataset.Fit(SHAPE, 5, RANGES["0..1"]))
    tiny_network().save(tmp_path / "b.h5")
    done = run_here("eval.py", path, path, tmp_path / "b.h5", "--pixels", "0..1")
    check_refused(done, "v.h5: has pixels from -123.68 to 131.32")
    labels = (tiny_network().predict(photographs() - 123.68, verbose=0).argmax(axis=1) + 1) % 5
    path = write_images(tmp_path / "w.h5", photographs() - 123.68, labels)
    done = run_here("eval.py", path, path, tmp_path / "b.h5")
    assert "their pixels go from -123.68 to 131.32, which is none" in done.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["apart", "together"])
def test_a_range_is_read_from_the_command_line(name, form):
    parser = options.parser("it")
    parser.add_argument("paths", nargs="*")
    options.add_common_options(parser)
    given = ["--pixels", name] if form == "apart" else [f"--pixels={name}"]
    args = parser.parse_args(["a", *given, "--batch-size", "3"])
    assert (args.scale, args.paths) == (RANGES[name], ["a"])
    assert parser.parse_args([]).scale == AS_IN_FILE
    assert parser.parse_args(["--scale", "2"]).scale == Scaling(2)
    with pytest.raises(Unusable, match="not allowed with argument"):
        parser.parse_args(["--scale", "2", *given])
    with pytest.raises(Unusable, match="'0..2' is none of 0..255, 0..1, -1..1"):
        parser.parse_args(["--pixels", "0..2"])
