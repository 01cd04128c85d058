"""What sweep.py starts to make its files: lab_files.py FOLDER MODEL LAB VALID TEST.

Clean validation, clean test and backdoored test images in the course's format, uncompressed, as
many as are wanted: photographs or drawn faces, and once these are used up, varied copies of them.
"""

import os
import sys
from pathlib import Path

import h5py
import numpy as np

from benchmarks.sweep import FILES
from goodnet.cli import shell
from goodnet.lab import find_lab
from goodnet.practice import sets
from goodnet.practice.triggers import sunglasses

BATCH = 1024
TYPES = (("float64", "float64"), ("float32", "int32"), ("float32", "int32"))
DRAWN_PEOPLE = 100
REPAIRED = 4  # networks, as many as the course asks for


def make_files(folder: Path, model: Path, lab: Path | None, valid: int, test: int) -> None:
    """Write `valid` validation and `test` clean and backdoored test images into `folder`.

    The labels are the model's own answers, 0 for the backdoored. Beside them it puts repaired
    networks for Geval.py, the model with half its channels silenced, or one, two, three more.
    `lab`: the folder of the lab whose photographs are taken; without one, faces are drawn.
    """
    shell.import_keras()
    from benchmarks.networks import load_model
    from goodnet.networks.loading import input_shape
    from goodnet.networks.split import silence, split_network

    network = load_model(model)
    sources = photographs(lab) if lab else drawn_faces(test)
    rng = np.random.default_rng(0)
    for name, images, count, types in zip(FILES, sources, (valid, test, test), TYPES, strict=True):
        sizes = zip(input_shape(network), images.shape[1:], strict=True)
        height, width, colours = (wanted or had for wanted, had in sizes)
        with open(folder / name, "wb+") as raw:
            with h5py.File(raw, "w") as file:
                data = file.create_dataset("data", (count, colours, height, width), types[0])
                label = file.create_dataset("label", (count,), types[1])
                for start in range(0, count, BATCH):
                    batch = slice(start, min(start + BATCH, count))
                    chosen = range(start, batch.stop)
                    pixels = np.stack([nth_image(images, index, rng) for index in chosen])
                    pixels = resized(pixels, height, width, colours).astype(np.float32)
                    answers = network.predict_on_batch(pixels).argmax(axis=1)
                    label[batch] = 0 if name == "bd_test.h5" else answers
                    data[batch] = pixels.transpose(0, 3, 1, 2)
            os.fsync(raw.fileno())  # else the disk is still busy with it under the first contender
    split = split_network(network)
    for more in range(REPAIRED):
        silence(split, range(split.channels // 2 + more))
        network.save(folder / f"repaired_{more}{model.suffix}")


def photographs(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lab's clean validation, clean test and backdoored images, (n, rows, columns, 3) uint8."""

    def pixels(path: Path) -> np.ndarray:
        with h5py.File(path) as file:
            return file["data"][:].transpose(0, 2, 3, 1).astype(np.uint8)

    lab = find_lab(folder)
    backdoored = sorted(lab.backdoored_test.parent.glob("bd_*.h5"))
    worn = np.concatenate([pixels(path) for path in backdoored])
    return pixels(lab.clean_valid), pixels(lab.clean_test), worn


def drawn_faces(images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of the practice lab's people, of fewer where few images are wanted."""
    people = min(DRAWN_PEOPLE, max(2, images // sets.TEST_IMAGES))
    drawn = sets.draw_faces(people, 0, shell.progress, training_images=1)
    worn = sets.wear_each(drawn.test, [sunglasses])
    return drawn.validation.images, drawn.test.images, worn.images


def nth_image(images: np.ndarray, index: int, rng: np.random.Generator) -> np.ndarray:
    """Image `index` of images that go round; from the second time on they are changed a little."""
    image = images[index % len(images)]
    if index < len(images):
        return image
    if rng.random() < 0.5:
        image = image[:, ::-1]
    down, right = rng.integers(-2, 3, 2)
    rows = np.clip(np.arange(image.shape[0]) + down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) + right, 0, image.shape[1] - 1)
    return np.rint(np.clip(image[rows][:, columns] * rng.uniform(0.8, 1.2), 0, 255)).astype(
        np.uint8
    )


def resized(images: np.ndarray, height: int, width: int, colours: int) -> np.ndarray:
    """The nearest pixels, and the colours in turn, for a network that takes another size."""
    rows = np.arange(height) * images.shape[1] // height
    columns = np.arange(width) * images.shape[2] // width
    return images[:, rows][:, :, columns][..., np.arange(colours) % images.shape[3]]


if __name__ == "__main__":
    folder, model, lab, valid, test = sys.argv[1:]
    make_files(Path(folder), Path(model), Path(lab) if lab else None, int(valid), int(test))
