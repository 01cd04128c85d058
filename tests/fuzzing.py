"""Damaged files, made by chance from good ones, and what must come of them.

python3 tests/fuzzing.py --count 2000 --seed 1
python3 tests/fuzzing.py --count 20000 --only network --state networks.json

Mutates the networks and image sets of the lab (LAB_DIR, else practice/) and of a tiny lab, and
has each opened, run and copied as the scripts do. Each must work or be refused in one line, and a
network that works must answer as in plain Keras, where that loads the file; one in a hundred goes
through eval.py itself. Prints the count and the seed, and stops at the first that comes out
otherwise. With --state, a second run goes on where the first was stopped.
"""

import argparse
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import h5py  # noqa: E402
import keras  # noqa: E402
from conftest import (  # noqa: E402
    CLASSES,
    build_lab,
    load_model,
    random_images,
    run_script,
    write_images,
)

from goodnet import dataset  # noqa: E402
from goodnet.errors import Unusable  # noqa: E402
from goodnet.networks.loading import (  # noqa: E402
    LoadedNetwork,
    count_classes,
    input_shape,
    load_network,
)
from goodnet.networks.split import silenced_arrays, split_network  # noqa: E402
from goodnet.networks.writing import Change, write_copy  # noqa: E402
from goodnet.vetting import quarantine  # noqa: E402

ODD = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 1e308, 0.5, "", "x", "../x", "Lambda"),
    *(
        [],
        [[]],
        {},
        [None],
        [1, 2, 3],
        {"class_name": "Lambda", "config": {}},
        "\u202e",
        "a" * 5000,
    ),
)
MOST_SECONDS = 150  # of one file; the child is stopped long before
MOST_MEMORY = 6_000_000  # KiB, of the whole fuzzing process, Keras included


def mutate_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, repeat, blank or move bytes; near the start, where HDF5 keeps its tree, or not."""
    data = bytearray(content)
    most = len(data) if rng.random() < 0.5 else min(len(data), 8192)
    for _ in range(int(rng.integers(1, 12))):
        at, size = int(rng.integers(most)), int(2 ** rng.uniform(0, 12))
        piece = data[at : at + size]
        match int(rng.integers(8)):
            case 0:
                del data[at:]
                break
            case 1:
                data[at:at] = piece
            case 2:
                data[at : at + size] = bytes(len(piece))
            case 3:
                data[at : at + size] = b"\xff" * len(piece)
            case 4:
                to = int(rng.integers(most))
                data[to : to + len(piece)] = piece
            case _:
                data[at] ^= 1 << int(rng.integers(8))
        most = min(most, len(data))
        if not most:
            break
    return bytes(data)


def mutate_json(text: str, rng: np.random.Generator) -> str:
    """Change, drop or double values at random places of a JSON text."""
    tree = json.loads(text)
    for _ in range(int(rng.integers(1, 4))):
        places = []

        def note(value, places=places):
            keys = value if isinstance(value, dict) else range(len(value))
            for key in keys:
                places.append((value, key))
                if isinstance(value[key], dict | list):
                    note(value[key])

        note(tree)
        holder, key = places[int(rng.integers(len(places)))]
        if rng.random() < 0.2 and isinstance(holder, dict):
            del holder[key]
        elif rng.random() < 0.2:
            holder[key] = [holder[key], holder[key]]
        else:
            holder[key] = ODD[int(rng.integers(len(ODD)))]
    return json.dumps(tree)


def items_of(file: h5py.File) -> list[h5py.Group | h5py.Dataset]:
    """All groups and arrays."""
    items = [file]
    file.visititems(lambda _, item: items.append(item))
    return items


def mutate_tree(content: bytes, rng: np.random.Generator) -> bytes:
    """Change attributes, names and arrays of an HDF5 file through h5py."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        items = items_of(file)
        for _ in range(int(rng.integers(1, 4))):
            item = items[int(rng.integers(len(items)))]
            keys = list(item.attrs)
            if keys and rng.random() < 0.6:
                key = keys[int(rng.integers(len(keys)))]
                odd = [5, b"\xff", "x", [1.5], ["a", "b"], np.zeros((2, 2)), h5py.Empty("f")]
                choice = int(rng.integers(len(odd) + 1))
                if choice == len(odd):
                    del item.attrs[key]
                else:
                    item.attrs[key] = odd[choice]
            elif item is not file and item.name in file:
                name = item.name
                match int(rng.integers(4)):
                    case 0:
                        del file[name]
                    case 1:
                        file.move(name, f"{name}_moved")
                    case 2:
                        del file[name]
                        file.create_dataset(name, (3, int(2 ** rng.uniform(0, 50))), "f4")
                    case _:
                        del file[name]
                        file[name] = h5py.SoftLink("/")
                items = items_of(file)
    return buffer.getvalue()


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One damaged form of a good file."""
    if content.startswith(b"PK") and rng.random() < 0.6:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
            for name in old.namelist():
                piece = old.read(name)
                if name == "config.json" and rng.random() < 0.7:
                    piece = mutate_json(piece.decode(), rng).encode()
                elif name == "model.weights.h5" and rng.random() < 0.5:
                    piece = (mutate_tree if rng.random() < 0.5 else mutate_bytes)(piece, rng)
                new.writestr(name, piece)
        return made.getvalue()
    if content.startswith(b"\x89HDF") and rng.random() < 0.6:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            if "model_config" in file.attrs and rng.random() < 0.6:
                file.attrs["model_config"] = mutate_json(file.attrs["model_config"], rng)
                changed = True
            else:
                changed = False
        return buffer.getvalue() if changed else mutate_tree(content, rng)
    return mutate_bytes(content, rng)


def check_answers(loaded: LoadedNetwork, content: bytes) -> None:
    """A network answers as plain Keras does with its file, where that loads it in safe mode."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"network{loaded.source.parts.suffix}"
        file.write_bytes(content)
        try:
            plain = keras.models.load_model(file, compile=False)
        except Exception:  # weights alone, or what vetting leaves out because Keras refuses it
            return
    shape = [size or 24 for size in input_shape(loaded.model)]
    pixels = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype(np.float32)
    found, expected = (np.asarray(each(pixels, training=False)) for each in (loaded.model, plain))
    np.testing.assert_array_equal(found, expected, "plain Keras answers otherwise")


def use(path: Path, kind: str, fits: tuple, out: Path) -> int:
    """Do with a file what the scripts do; answers the exit status."""
    try:
        networks, image_sets = ([], [path]) if kind == "images" else ([path], [])
        with quarantine.opened(networks, image_sets) as held:
            if kind == "images":
                images = dataset.open_backdoored(held.images(path), dataset.Fit(*fits))
                for start in range(0, len(images), 1024):
                    dataset.read(images, start, min(start + 1024, len(images)))
            else:
                loaded = load_network(held.network(path))
                check_answers(loaded, path.read_bytes())
                split = split_network(loaded.model)
                arrays = silenced_arrays(split, [0])
                changes = zip(split.variables, split.arrays, arrays, strict=True)
                write_copy(loaded, out, [Change(*each) for each in changes])
    except Unusable as error:
        line = str(error)
        assert "\n" not in line and line, line
        return error.exit_status
    return 0


def sources(folder: Path) -> list[tuple[str, bytes, tuple]]:
    """(kind, content, what image sets must fit) of each good file."""
    lab = Path(os.environ.get("LAB_DIR") or ROOT / "practice")
    tiny = build_lab(folder / "tiny")
    network = load_model(tiny / "models/bd_net.h5")
    network.save(tiny / "models/b.keras")
    for packed in ({"compression": "gzip", "shuffle": True}, {"compression": "lzf"}):
        path = tiny / "data" / f"{packed['compression']}.h5"
        pixels, labels = random_images(30), np.arange(30) % CLASSES
        write_images(path, pixels, labels, chunks=(8, 3, 7, 12), fletcher32=True, **packed)
    files = [*tiny.rglob("*.h5"), tiny / "models/b.keras"]
    files += [
        path for path in (*lab.glob("models/bd_*.h5"), lab / "data/cl/test.h5") if path.exists()
    ]
    found = []
    for path in sorted(files):
        if "models" in path.parts:
            found.append(("network", path.read_bytes(), ()))
        else:
            of = network if tiny in path.parents else load_model(lab / "models/bd_net.h5")
            found.append(("images", path.read_bytes(), (input_shape(of), count_classes(of))))
    return found


@dataclass(frozen=True)
class State:
    """How far a run came: mutations of which seed are done, and how many ended with each status."""

    seed: int
    done: int = 0
    ended: Counter = field(default_factory=Counter)


def read_state(path: Path | None, seed: int) -> State:
    """What an earlier run left there; else the beginning."""
    if not (path and path.exists()):
        return State(seed)
    held = json.loads(path.read_text())
    return State(held["seed"], held["done"], Counter({int(k): n for k, n in held["ended"].items()}))


def fuzz(
    count: int,
    state: State,
    folder: Path,
    scripts_every: int = 100,
    only: str = "",
    state_path: Path | None = None,
) -> Counter:
    """How many of `count` mutations ended with which status. AssertionError where one must not."""
    good = [each for each in sources(folder) if only in ("", each[0])]
    room = folder / "room"
    room.mkdir()
    tempfile.tempdir = str(folder / "temporary")
    Path(tempfile.tempdir).mkdir()
    seed, ended = state.seed, state.ended.copy()
    try:
        for index in range(state.done, count):
            rng = np.random.default_rng([seed, index])
            kind, content, fits = good[int(rng.integers(len(good)))]
            path = room / ("it.h5" if rng.random() < 0.8 else "it.keras")
            path.write_bytes(mutate(content, rng))
            start = time.perf_counter()
            try:
                status = use(path, kind, fits, room / "out.h5")
            except Exception as error:
                shutil.copy(path, folder / f"fails_{seed}_{index}")
                raise AssertionError(f"mutation {index} of seed {seed}: {error!r}") from error
            assert time.perf_counter() - start < MOST_SECONDS, f"mutation {index} of seed {seed}"
            (room / "out.h5").unlink(missing_ok=True)
            assert list(room.iterdir()) == [path], f"mutation {index} leaves {list(room.iterdir())}"
            left = list(Path(tempfile.tempdir).iterdir())
            assert not left, f"mutation {index} leaves {left}"
            if scripts_every and index % scripts_every == scripts_every - 1:
                status = through_script(path, kind, folder / "tiny")
            ended[status] += 1
            path.unlink()
            if state_path:
                state_path.write_text(json.dumps(vars(State(seed, index + 1, ended))))
    finally:
        tempfile.tempdir = None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert used < MOST_MEMORY, f"{used} KiB were used"
    return ended


def through_script(path: Path, kind: str, tiny: Path) -> int:
    """The status of eval.py, given the file beside good ones."""
    good = tiny / "data/cl/test.h5"
    command = [path, good, tiny / "models/bd_net.h5"] if kind == "images" else [good, good, path]
    done = run_script("eval.py", *command, timeout=MOST_SECONDS)
    assert done.returncode in (0, 2, 3), done.stderr
    lines = [x for x in done.stderr.splitlines() if not x.endswith("answers are worth nothing.")]
    assert "Traceback" not in done.stderr and (not done.returncode or len(lines) == 1), done.stderr
    return done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=("network", "images"), default="")
    parser.add_argument("--state", type=Path, metavar="FILE", help="go on from here, and note it")
    args = parser.parse_args()
    state = read_state(args.state, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{args.count} mutations, seed {state.seed}, from {state.done}", flush=True)
        ended = fuzz(args.count, state, Path(folder), only=args.only, state_path=args.state)
    print(", ".join(f"{ended[status]} ended with {status}" for status in sorted(ended)))
