"""Chunks unpacked without HDF5, against h5py; and what is said of a file, which nobody believes."""

import itertools
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import CLASSES, SHAPE, hold, open_clean, posix, random_images, write_images
from hostile import zeros_in_chunks

from goodnet import dataset
from goodnet.errors import Unusable
from goodnet.vetting import decoder, layout, quarantine, survey, unpacked, unpacking

COUNT = 23
FIRST = (SHAPE[2], *SHAPE[:2])
CHUNKS = [(5, *FIRST), (COUNT, 1, 1, 1), (1, 2, 5, 12), (7, 3, 14, 5), (COUNT, *FIRST)]
PACKED = {
    "as they are": {},
    "gzip": {"compression": "gzip"},
    "gzip 9, shuffled, with checksums": {
        "compression": "gzip",
        "compression_opts": 9,
        "shuffle": True,
        "fletcher32": True,
    },
    "lzf": {"compression": "lzf"},
    "lzf, shuffled": {"compression": "lzf", "shuffle": True},
    "shuffled": {"shuffle": True},
    "checksums": {"fletcher32": True},
}


def surveyed(path: Path) -> layout.Layout:
    size = path.stat().st_size
    with open(path, "rb") as file:
        return survey.survey_images(file, size)


def unpack(path: Path) -> np.ndarray:
    """All images of a set in chunks, as stored."""
    data = surveyed(path).data
    made = np.empty(data.shape, data.dtype)
    step = data.chunks.shape[0]
    content, table = path.read_bytes(), data.chunks.table.tolist()

    def read_chunk(number: int) -> bytes:
        begin, length, _ = table[number]
        return content[begin : begin + length]

    for start in range(0, len(made), step):
        unpacking.unpack_rows(read_chunk, data, start // step, made[start : start + step])
    return made


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_chunks_are_unpacked_as_h5py_does(tmp_path, packed, chunks):
    rng = np.random.default_rng(0)
    for number, dtype in enumerate(("u1", "<f4", ">i2", "<f8")):
        path = tmp_path / f"{number}.h5"
        # Some that packs well, and some that does not and is left unpacked.
        pixels = rng.integers(0, 250, (COUNT, *SHAPE)) * (np.arange(COUNT) > 9)[:, None, None, None]
        write_images(
            path, pixels.astype(dtype), np.arange(COUNT) % 5, chunks=chunks, **PACKED[packed]
        )
        with h5py.File(path) as file:
            expected = file["data"][()]
            assert file["data"].dtype == dtype
        found = unpack(path)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


def test_images_in_chunks_come_through_the_child(tmp_path):
    """All kinds of stored numbers, and labels in chunks; each batch size gives the same images."""
    pixels = random_images(COUNT)
    kinds = [("<f8", "latest", {}), (">u2", "earliest", {"userblock_size": 512})]
    for (dtype, version, options), chunks in zip(kinds, (CHUNKS[0], CHUNKS[2]), strict=True):
        path = tmp_path / f"{version}.h5"
        with h5py.File(path, "w", libver=version, **options) as file:
            file.create_dataset(
                "data",
                data=pixels.transpose(0, 3, 1, 2).astype(dtype),
                chunks=chunks,
                maxshape=(None, *FIRST),
                compression="gzip",
            )
            labels = (np.arange(COUNT) % CLASSES).astype(dtype)
            file.create_dataset("label", data=labels, chunks=(4,), compression="lzf")
        images = open_clean(path, SHAPE, CLASSES, 1.0)
        np.testing.assert_array_equal(images.labels, np.arange(COUNT) % CLASSES)
        for size in (1, 6, COUNT, 1000):
            read = np.concatenate(list(dataset.batches(images, size)))
            np.testing.assert_array_equal(read, pixels)
        for start, stop in itertools.combinations((0, 4, 5, 11, COUNT), 2):
            np.testing.assert_array_equal(dataset.read(images, start, stop), pixels[start:stop])


def test_values_that_lie_in_the_file_itself_are_read(tmp_path):
    """Behind a user block, and compact: within the description of the array."""
    pixels = random_images(3)
    path = tmp_path / "block.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["data"], file["label"] = pixels, np.zeros(3)
    images = open_clean(path, SHAPE, CLASSES, 1.0)
    np.testing.assert_array_equal(dataset.read(images, 0, 3), pixels)
    path = tmp_path / "compact.h5"
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(pixels.shape)
        array = h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U8LE, space, plan)
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, pixels)
        file["label"] = np.zeros(3)
    images = open_clean(path, SHAPE, CLASSES, 1.0)
    np.testing.assert_array_equal(dataset.read(images, 0, 3), pixels)


@pytest.mark.parametrize("chunks", [None, (4, 7, 12)], ids=["flat", "chunked"])
def test_images_without_an_axis_of_colours_have_one_colour(tmp_path, chunks):
    pixels = random_images(9)[..., 0]
    with h5py.File(tmp_path / "grey.h5", "w") as file:
        file.create_dataset("data", data=pixels, chunks=chunks)
        file["label"] = np.zeros(9)
    images = hold([], [tmp_path / "grey.h5"]).images(tmp_path / "grey.h5")
    np.testing.assert_array_equal(images.pixels(2, 9, False), pixels[2:9, ..., np.newaxis])


def test_each_chunk_is_unpacked_once_for_all_batches(tmp_path, monkeypatch):
    path = zeros_in_chunks(tmp_path / "a.h5", 2000, SHAPE, (2000, 1, 1, 1))
    data, bands = surveyed(path).data, []
    monkeypatch.setattr(
        decoder,
        "unpack_rows",
        lambda read, array, band, into: bands.append(band) or into.fill(0),
    )
    at_work = decoder.Decoder(data, lambda ranges: [])
    for start in range(0, 2000, 100):
        at_work.copy(start, np.empty((100, *data.shape[1:]), data.dtype))
    assert bands == [0]


def test_a_band_that_is_too_large_for_memory_is_unpacked_into_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked, "IN_MEMORY", 1000)
    pixels = random_images(COUNT)
    options = {"chunks": (COUNT, 1, 7, 3), "compression": "gzip"}
    path = write_images(tmp_path / "a.h5", pixels, np.zeros(COUNT), **options)
    images = open_clean(path, SHAPE, CLASSES, 1.0)
    np.testing.assert_array_equal(dataset.read(images, 2, 9), pixels[2:9])


@pytest.mark.parametrize("packed", ["gzip", "lzf", "checksums", "gzip 9, shuffled, with checksums"])
def test_no_damaged_chunk_is_taken_for_another(tmp_path, packed):
    """Each is refused, or read as h5py reads it: LZF has no checksum of its own."""
    options = {"chunks": (4, *FIRST), **PACKED[packed]}
    pixels = random_images(8) // 64
    path = write_images(tmp_path / "a.h5", pixels, np.zeros(8), **options)
    content, whole = path.read_bytes(), unpack(path)
    table = surveyed(path).data.chunks.table
    refused, rng = 0, np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        begin, length, _ = table[int(rng.integers(len(table)))]
        damaged[int(begin + rng.integers(length))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = unpack(path)
        except Unusable as error:
            assert "chunk" in str(error)
            refused += 1
            continue
        with h5py.File(path) as file:
            np.testing.assert_array_equal(found, file["data"][()])
        assert packed == "lzf" or (found == whole).all()
    assert refused > (50 if packed != "lzf" else 3)


def test_filters_that_are_not_read_here_are_named(tmp_path):
    options = {"chunks": (4, *FIRST), "scaleoffset": 0}
    path = write_images(tmp_path / "a.h5", random_images(8), np.zeros(8), **options)
    with pytest.raises(Unusable, match="'data' is packed with a filter that is not read here"):
        open_clean(path, SHAPE, CLASSES, 1.0)


# ---------------------------------------------------------------- what the first child says


def said_of(path: Path) -> bytes:
    with open(path, "rb") as file:
        return layout.write_layout(survey.survey_images(file, path.stat().st_size))


@pytest.fixture
def flat(tmp_path) -> Path:
    return write_images(tmp_path / "flat.h5", random_images(6), np.zeros(6))


@pytest.fixture
def chunked(tmp_path) -> Path:
    options = {"chunks": (4, *FIRST), "compression": "gzip"}
    return write_images(tmp_path / "chunked.h5", random_images(6), np.zeros(6), **options)


def changed(said: bytes, change) -> bytes:
    line, _, tail = said.partition(b"\n")
    top = json.loads(line)
    change(top)
    return json.dumps(top).encode() + b"\n" + tail


LIES = {
    "beyond the end": lambda top: top["data"].update(offset=5000),
    "before the start": lambda top: top["data"].update(offset=-1),
    "an offset that is true": lambda top: top["data"].update(offset=True),
    "an offset that is no whole number": lambda top: top["data"].update(offset=2048.0),
    "more images": lambda top: top["data"].update(shape=[1 << 40, *FIRST]),
    "too many images": lambda top: top["data"].update(shape=[(1 << 22) + 1, 0, 1, 1]),
    "a negative side": lambda top: top["data"].update(shape=[-6, *FIRST]),
    "another type": lambda top: top["data"].update(dtype="<f8"),
    "an object": lambda top: top["data"].update(dtype="|O"),
    "a type that steers the terminal": lambda top: top["data"].update(dtype="\x1b[2J"),
    "nothing": lambda top: top.clear(),
    "a list": lambda top: top.update(data=[1, 2]),
    "more labels": lambda top: top["label"].update(content=1 << 30),
    "fewer labels": lambda top: top["label"].update(content=8),
    "two places": lambda top: top["data"].update(content=0),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_layout_that_cannot_be_is_refused(flat, lie):
    said, size = said_of(flat), flat.stat().st_size
    assert layout.read_layout(said, size).data.offset
    with pytest.raises(Unusable, match="makes no sense"):
        layout.read_layout(changed(said, LIES[lie]), size)


CHUNK_LIES = {
    "another count": lambda top: top["data"]["chunks"].update(count=3),
    "smaller chunks": lambda top: top["data"]["chunks"].update(shape=[2, *FIRST]),
    "chunks of nothing": lambda top: top["data"]["chunks"].update(shape=[0, *FIRST]),
    "an unknown filter": lambda top: top["data"]["chunks"].update(filters=[4]),
    "more filters": lambda top: top["data"]["chunks"].update(filters=[3] * 9),
    "absurd chunks": lambda top: top["data"]["chunks"].update(shape=[1 << 30, *FIRST]),
}


@pytest.mark.parametrize("lie", CHUNK_LIES)
def test_chunks_that_cannot_be_are_refused(chunked, lie):
    said, size = said_of(chunked), chunked.stat().st_size
    assert len(layout.read_layout(said, size).data.chunks.table) == 2
    with pytest.raises(Unusable, match="makes no sense"):
        layout.read_layout(changed(said, CHUNK_LIES[lie]), size)


@pytest.mark.parametrize(
    "row", [(-1, 9, 0), (0, 0, 0), (9, 1 << 40, 0), (1 << 62, 9, 0), (0, 9, 2)]
)
def test_chunks_outside_the_file_are_refused(chunked, row):
    said, size = said_of(chunked), chunked.stat().st_size
    table = layout.read_layout(said, size).data.chunks.table.tobytes()
    assert said.count(table) == 1
    said = said.replace(table, np.array(row, "<i8").tobytes() + table[24:])
    with pytest.raises(Unusable, match="makes no sense"):
        layout.read_layout(said, size)


def test_whatever_a_child_says_is_a_layout_within_the_file_or_refused(flat, chunked):
    rng, kept = np.random.default_rng(0), 0
    for path in (flat, chunked):
        said, size = said_of(path), path.stat().st_size
        for _ in range(2000):
            damaged = bytearray(said)
            for _ in range(int(rng.integers(1, 4))):
                at = int(rng.integers(min(len(damaged), 400)))
                damaged[at : at + 1] = rng.choice([b"", b"9", b"-", b"0", b"[", b"\xff", b"\n"])
            try:
                found = layout.read_layout(bytes(damaged), size)
            except Unusable:
                continue
            kept += 1
            data = found.data
            assert data is None or data.offset is None or data.offset + data.total_bytes <= size
            if data and data.chunks:
                assert (data.chunks.table[:, 0] + data.chunks.table[:, 1] <= size).all()
    assert kept > 10


# ---------------------------------------------------------------- the second child


def decoder_that(monkeypatch, does: str) -> None:
    """Have the child do this instead of unpacking chunks."""
    code = (
        "from goodnet.vetting import decoder; "
        f"decoder.unpack_rows = lambda read, array, band, into: {does}; decoder.main()"
    )
    monkeypatch.setattr(unpacked, "_CHILD", code)


@pytest.mark.parametrize(
    "does, says",
    [
        ("__import__('time').sleep(60)", "crashes or takes more than 1 seconds"),
        ("__import__('os').abort()", "crashes or takes more than 1 seconds"),
        ("bytearray(1 << 40)", "takes too much memory"),
        pytest.param(
            "print('x', file=open({path!r}, 'w'), flush=True)", "crashes or takes", marks=posix
        ),
        ("decoder.inside.answer({{'read': [0, [[0, 1 << 40]]]}})", "cannot be read"),
        ("decoder.inside.answer({{'read': [1, [[0, 1]]]}})", "crashes or takes|went wrong"),
        ("print('{{not JSON', flush=True)", "unpacking it went wrong"),
        ("print('[' * 4000, flush=True)", "unpacking it went wrong"),
        ("print('7', flush=True)", "unpacking it went wrong"),
        ("(_ for _ in ()).throw(decoder.Unusable('a\\x1b[2Jb'))", r"cannot be read \(a\?\[2Jb\)"),
    ],
)
def test_the_child_is_limited_and_not_believed(tmp_path, monkeypatch, chunked, does, says):
    monkeypatch.setattr(unpacked, "SECONDS", 1)
    decoder_that(monkeypatch, does.format(path=str(tmp_path / "written")))
    images = open_clean(chunked, SHAPE, CLASSES, 1.0)
    with pytest.raises(Unusable, match=says) as caught:
        dataset.read(images, 0, 6)
    assert str(caught.value).startswith(f"{chunked}: ") and caught.value.exit_status == 2
    assert not (tmp_path / "written").exists() or not (tmp_path / "written").read_bytes()


def test_the_child_ends_with_the_command(chunked):
    with quarantine.opened([], [chunked]) as held:
        child = held.images(chunked).source.child.process
        assert child.poll() is None
    assert child.poll() is not None
