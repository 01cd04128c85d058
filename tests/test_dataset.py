"""Image sets: every form that is read, and the one line that every fault draws."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    open_backdoored,
    open_clean,
    random_images,
    tiny_network,
    write_images,
)

from goodnet import dataset
from goodnet.errors import Unusable
from goodnet.metrics import judge
from goodnet.vetting import images as image_files

COUNT = 12
LABELS = np.arange(COUNT) % CLASSES
FIRST = (SHAPE[2], *SHAPE[:2])  # an image with its channels first


def opened(path: Path, scale: float = 1.0, open_set=open_clean) -> dataset.ImageSet:
    return open_set(path, SHAPE, CLASSES, scale)


def write(path: Path, **items) -> Path:
    """An h5 file with these datasets; a dict stands for a group."""
    with h5py.File(path, "w") as file:
        for name, value in items.items():
            if isinstance(value, dict):
                file.create_group(name)
            else:
                file[name] = value
    return path


def images_of(path: Path, size: int = 5, scale: float = 1.0) -> np.ndarray:
    return np.concatenate(list(dataset.batches(opened(path, scale), size)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels_first", [True, False])
def test_both_layouts_and_all_kinds_of_numbers_are_the_same_images(tmp_path, dtype, channels_first):
    pixels = random_images(COUNT)
    stored = pixels.transpose(0, 3, 1, 2) if channels_first else pixels
    path = write(tmp_path / "images.h5", data=stored.astype(dtype), label=LABELS)
    images = opened(path)
    assert len(images) == COUNT and images.channels_first == channels_first
    for size in (1, 5, COUNT, 1000):
        read = images_of(path, size)
        assert read.dtype == np.float32 and read.flags.c_contiguous
        np.testing.assert_array_equal(read, pixels)
    np.testing.assert_array_equal(dataset.read(images, 3, 7), pixels[3:7])


def test_compressed_chunks_are_read(tmp_path):
    pixels = random_images(COUNT)
    path = write_images(
        tmp_path / "z.h5", pixels, LABELS, chunks=(5, *FIRST), compression="gzip", shuffle=True
    )
    np.testing.assert_array_equal(images_of(path, 7), pixels)


@pytest.mark.parametrize("scale", [255.0, 0.5])
def test_pixels_are_divided_by_the_scale(tmp_path, scale):
    pixels = random_images(COUNT)
    path = write_images(tmp_path / "images.h5", pixels, LABELS)
    # Division in float64, rounded once: what float32 must give for these small numbers.
    expected = (pixels.astype(np.float64) / scale).astype(np.float32)
    np.testing.assert_array_equal(images_of(path, scale=scale), expected)


@pytest.mark.parametrize(
    "labels",
    [LABELS.astype(np.float64), LABELS.astype(np.int32), LABELS.astype(np.uint8), LABELS[:, None]],
)
def test_labels_in_every_form(tmp_path, labels):
    images = opened(write_images(tmp_path / "images.h5", random_images(COUNT), labels))
    assert images.labels.dtype == np.int64 and images.labels.shape == (COUNT,)
    np.testing.assert_array_equal(images.labels, LABELS)


def test_a_network_may_leave_the_size_of_images_open(tmp_path):
    path = write_images(tmp_path / "images.h5", random_images(COUNT), LABELS)
    assert len(open_clean(path, (None, None, 3), CLASSES, 1.0)) == COUNT


def test_batches_are_bounded_in_bytes_and_keep_whole_blocks(tmp_path, monkeypatch):
    """Keras computes 32 images at a time: no batch cuts such a block that was whole before."""
    pixels = random_images(200)
    images = opened(write_images(tmp_path / "images.h5", pixels, np.zeros(200)))
    monkeypatch.setattr(dataset, "LARGEST_BATCH", 100 * pixels[0].size * 4)
    for size, sizes in ((768, [96, 96, 8]), (64, [64, 64, 64, 8]), (5, [5] * 40)):
        read = list(dataset.batches(images, size))
        assert [len(batch) for batch in read] == sizes
        np.testing.assert_array_equal(np.concatenate(read), pixels)
    monkeypatch.setattr(dataset, "LARGEST_BATCH", 1)
    assert {len(batch) for batch in dataset.batches(images, 768)} == {32, 8}


def test_images_are_read_in_pieces_that_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "PIECE", 5 * 4 * int(np.prod(SHAPE)) + 1)
    pixels = random_images(COUNT)
    for name, options in (("flat", {}), ("chunked", {"chunks": (7, *FIRST)})):
        path = write_images(tmp_path / name, pixels, LABELS, **options)
        np.testing.assert_array_equal(dataset.read(opened(path), 0, COUNT), pixels)


def test_some_images_are_read_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MOST_AT_ONCE", 5)
    pixels = random_images(COUNT)
    images = opened(write_images(tmp_path / "images.h5", pixels, LABELS))
    for seed in range(8):
        indices = np.random.default_rng(seed).permutation(COUNT)[: 3 * seed % COUNT + 1]
        np.testing.assert_array_equal(dataset.read_some(images, indices), pixels[indices])


def test_an_image_that_is_too_large_is_refused(tmp_path):
    path = tmp_path / "images.h5"
    for wide, refused in ((1 << 22, False), ((1 << 22) + 1, True)):
        with h5py.File(path, "w") as file:
            file.create_dataset("data", (2, 1, 1, wide), "u1", chunks=(1, 1, 1, wide))
            file["data"][:] = 1
            file["label"] = np.zeros(2)
        if refused:
            with pytest.raises(
                Unusable, match=r"images of \(1, 1, 4194305\), .*16777216 are the m"
            ):
                open_clean(path, (None, None, 1), CLASSES, 1.0)
        else:
            images = open_clean(path, (None, None, 1), CLASSES, 1.0)
            assert dataset.read(images, 1, 2).sum() == wide


GOOD = random_images(COUNT).transpose(0, 3, 1, 2)
FAULTS = {
    "no data": ({"label": LABELS}, "has no 'data'"),
    "no label": ({"data": GOOD}, "has no 'label'"),
    "neither": ({"images": GOOD}, "has no 'data' and no 'label'"),
    "data is a group": ({"data": {}, "label": LABELS}, "has no 'data'"),
    "label is a group": ({"data": GOOD, "label": {}}, "has no 'label'"),
    "counts differ": ({"data": GOOD, "label": LABELS[:-1]}, r"\(11,\), but there are 12 images"),
    "one-hot labels": ({"data": GOOD, "label": np.eye(12)}, r"\(12, 12\).* must be \(12,\)"),
    "label N": ({"data": GOOD, "label": LABELS + 1}, r"2 of 12 labels are outside 0\.\.4.* is 5\)"),
    "label -1": ({"data": GOOD, "label": LABELS - 1}, r"outside 0\.\.4.* is -1\)"),
    "fractions": ({"data": GOOD, "label": LABELS + 0.5}, "not whole numbers"),
    "NaN label": ({"data": GOOD, "label": LABELS * np.nan}, "not whole numbers"),
    "infinite label": ({"data": GOOD, "label": LABELS + np.inf}, "not whole numbers"),
    "words as labels": ({"data": GOOD, "label": [b"x"] * COUNT}, r"'label' holds .*, not numbers"),
    "another size": (
        {"data": GOOD[..., :-1], "label": LABELS},
        r"\(12, 3, 14, 11\), but the network takes images of \(14, 12, 3\)",
    ),
    "grey": ({"data": GOOD[:, 0], "label": LABELS}, r"\(12, 14, 12\), but .* \(14, 12, 3\)"),
    "one number": ({"data": 5, "label": LABELS}, r"the shape \(\), but .* \(14, 12, 3\)"),
    "no images": ({"data": GOOD[:0], "label": LABELS[:0]}, "'data' is empty"),
    "words": ({"data": np.full(GOOD.shape, b"x"), "label": LABELS}, r"'data' holds .*, not num"),
}


def check_refused(path: Path, message: str, open_set=open_clean) -> None:
    with pytest.raises(Unusable, match=message) as caught:
        opened(path, open_set=open_set)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("items, message", FAULTS.values(), ids=FAULTS)
def test_what_is_no_image_set_is_refused(tmp_path, items, message):
    check_refused(write(tmp_path / "images.h5", **items), message)


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    good = write_images(tmp_path / "good.h5", random_images(COUNT), LABELS).read_bytes()
    contents = {"empty.h5": b"", "text.h5": b"image,label\n", "cut.h5": good[: len(good) // 2]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in ("missing.h5", *contents):
        check_refused(tmp_path / name, "is neither an HDF5 file nor a NumPy archive")


def test_networks_are_told_from_image_sets(tmp_path):
    network = tiny_network()
    network.save(tmp_path / "whole.h5")
    check_refused(tmp_path / "whole.h5", "is a network, not an image set")
    network.save_weights(tmp_path / "new.weights.h5")
    check_refused(tmp_path / "new.weights.h5", "has no 'data' and no 'label'")
    with h5py.File(tmp_path / "old_weights.h5", "w") as file:
        file.attrs["layer_names"] = ["conv_1"]
    check_refused(tmp_path / "old_weights.h5", "is a network, not an image set")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("place", [0, COUNT - 1])
def test_pixels_that_are_not_finite_are_refused_when_read(tmp_path, bad, place):
    pixels = random_images(COUNT).astype(np.float64)
    pixels[place, 3, 4, 1] = bad
    path = write_images(tmp_path / "images.h5", pixels, LABELS)
    with pytest.raises(Unusable, match=f"image {place} has pixels that are NaN or infinite"):
        with np.errstate(over="ignore"):  # 1e300 as a float32
            images_of(path, size=5)


def test_a_chunk_that_is_damaged_is_refused_when_read(tmp_path):
    path = write_images(
        tmp_path / "z.h5", random_images(COUNT), LABELS, chunks=(1, *FIRST), compression="gzip"
    )
    with h5py.File(path) as file:
        chunk = file["data"].id.get_chunk_info(COUNT - 1)
    with open(path, "rb+") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    with pytest.raises(Unusable, match=re.escape(f"{path}: cannot be read")):
        images_of(path)


def test_backdoored_files_may_name_the_rejection_and_it_is_never_a_success(tmp_path):
    targets = np.zeros(COUNT)
    targets[:3] = CLASSES
    path = write_images(tmp_path / "bd.h5", random_images(COUNT), targets)
    images = opened(path, open_set=open_backdoored)
    np.testing.assert_array_equal(images.labels, targets)
    check_refused(path, r"3 of 12 labels are outside 0\.\.4", open_set=open_clean)
    # Three are rejected as their label says, one of the others gets its target.
    answers = np.where(targets == CLASSES, CLASSES, 1)
    answers[-1] = 0
    judgement = judge(answers[:1], answers[:1], answers, images.labels, CLASSES)
    assert judgement.attack_success_rate == 1 / 12 * 100
    assert judgement.backdoored_rejected_rate == 25.0
    assert judgement.backdoored_without_target == 3
    targets[0] = CLASSES + 1
    path = write_images(tmp_path / "more.h5", random_images(COUNT), targets)
    check_refused(path, r"1 of 12 labels are outside 0\.\.5", open_set=open_backdoored)
