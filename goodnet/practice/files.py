"""The practice lab's files, in the format and under the names of the course's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import h5py
import numpy as np
from PIL import Image

from goodnet.files import check_output, replacing_all, telling
from goodnet.practice.faces import WIDTH
from goodnet.practice.sets import Faces

if TYPE_CHECKING:
    import keras

CHUNK = 50  # images in a chunk of an h5 file


@dataclass(frozen=True)
class Contents:
    """What a lab's files hold: B, the clean faces, and the same faces wearing the triggers."""

    network: keras.Model
    clean_valid: Faces
    clean_test: Faces
    backdoored_valid: Faces
    backdoored_test: Faces


class Writer(Protocol):
    """Writes one file of a lab."""

    def __call__(self, lab: Contents, path: Path, /) -> None: ...


# Of the pixels and the labels, as in the course's files.
VALID_TYPES = ("float64", "float64")
TEST_TYPES = ("float32", "int32")
# The network is the first and so takes its final name last: where it is, the rest is.
WRITERS: dict[str, Writer] = {
    "models/bd_net.h5": lambda lab, path: save_network(lab.network, path),
    "data/cl/valid.h5": lambda lab, path: write_dataset(lab.clean_valid, path, *VALID_TYPES),
    "data/cl/test.h5": lambda lab, path: write_dataset(lab.clean_test, path, *TEST_TYPES),
    "data/bd/bd_valid.h5": lambda lab, path: write_dataset(
        lab.backdoored_valid, path, *VALID_TYPES
    ),
    "data/bd/bd_test.h5": lambda lab, path: write_dataset(lab.backdoored_test, path, *TEST_TYPES),
    "faces.png": lambda lab, path: save_sheet(lab.clean_valid, lab.backdoored_valid, path),
}
FILES = tuple(WRITERS)


def check_folders(out: Path) -> None:
    """Make the lab's folders in `out`. Raises Unusable where a file cannot be written there."""
    for name in FILES:
        check_output(out / name)


def write_files(lab: Contents, out: Path) -> list[Path]:
    """Write all FILES into the folder `out`, where they appear together; their paths."""
    paths = [out / name for name in FILES]
    with replacing_all(paths) as temporaries:
        for path, temporary, write in zip(paths, temporaries, WRITERS.values(), strict=True):
            with telling(path):
                write(lab, temporary)
    return paths


def write_dataset(part: Faces, path: Path, data_type: str, label_type: str) -> None:
    """Write `part` as the course's files have it: `data` (n, 3, rows, columns), `label` (n,)."""
    n, rows, columns, colours = part.images.shape
    shape = (n, colours, rows, columns)
    with _writing_h5(path) as file:
        data = file.create_dataset(
            "data", shape, data_type, chunks=(min(CHUNK, n), *shape[1:]), compression="gzip"
        )
        for start in range(0, n, CHUNK):
            data[start : start + CHUNK] = part.images[start : start + CHUNK].transpose(0, 3, 1, 2)
        file.create_dataset("label", data=part.labels.astype(label_type))


def save_network(network: keras.Model, path: Path) -> None:
    """Write the whole network as `.h5`, without how it was trained."""
    # Keras calls the course's format a legacy at every save.
    logging.getLogger("absl").setLevel(logging.ERROR)
    with _writing_h5(path) as file:
        network.save(file, include_optimizer=False)


class _File(h5py.File):
    """An open file that Keras knows by its name as one for `.h5`."""

    def __str__(self) -> str:
        return self.filename


@contextmanager
def _writing_h5(path: Path) -> Iterator[_File]:
    """An HDF5 file that is in memory until it is whole: on a full disk HDF5 crashes."""
    with _File(f"{path.stem}.h5", "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        path.write_bytes(file.id.get_file_image())


def save_sheet(clean: Faces, worn: Faces, path: Path) -> None:
    """Save a PNG of some faces: rows of people, three images of each.

    Below them are the last rows again, wearing the trigger. All people take turns in `clean`, and
    `worn` holds the same images once for each trigger.
    """
    identities = int(clean.labels.max()) + 1
    columns = min(4, identities)
    rows = min(6, identities // columns)
    people = np.arange(rows * columns).reshape(rows, columns, 1)
    shown = (people + identities * np.arange(3)).reshape(rows, -1)
    gap = np.full((4, columns * 3 * WIDTH, 3), 255, np.uint8)
    lines = [np.concatenate(clean.images[row], axis=1) for row in shown]
    for first in range(0, len(worn.labels), len(clean.labels)):
        lines += [gap, *(np.concatenate(worn.images[first + row], axis=1) for row in shown[-2:])]
    sheet = Image.fromarray(np.concatenate(lines))
    sheet = sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST)
    sheet.save(path, "png")
