"""What the hostile files do to somebody who trusts them: a proof for each kind, or why none.

Each kind of `hostile.NETWORKS` and `hostile.IMAGES` is in at least one table of proofs, or else in
`REASONS`; each of `hostile.USELESS_IMAGES` in `USELESS`. Keras loads in a child (probe.py) that has
a home and folders of its own.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import hostile
import pytest
from hostile import NETWORKS, SECRET, canary

# ---------------------------------------------------------------- with Keras


@dataclass(frozen=True)
class Loaded:
    """What came of loading a file with Keras and calling the network."""

    keras: tuple[int, ...]  # its version
    loaded: bool
    error: str
    arrays: bytes
    words: list[str]
    ran: bool  # the canary is there


Check = Callable[[Loaded], bool]


def prepare(kind: str, folder: Path) -> Path:
    """The file of a kind, with what has to lie beside it."""
    folder.mkdir(parents=True)
    path = NETWORKS[kind](folder, "plain")
    if kind == "TFSMLayer (CVE-2026-1462)":
        hostile.saved_model(folder)
    if kind == "HDF5 and zip at once":
        path = path.rename(path.with_suffix(".keras"))
    return path


def load(python: str, kinds: Iterable[str], folder: Path, *options: str) -> dict[str, Loaded]:
    """Load the file of each kind in one child of a Python."""
    paths = {kind: prepare(kind, folder / str(index)) for index, kind in enumerate(kinds)}
    script = Path(__file__).with_name("probe.py")
    done = subprocess.run(
        [python, script, *options, *paths.values()],
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(paths), done.stderr[-2000:]
    return {
        kind: Loaded(
            tuple(int(part) for part in said["keras"].split(".")),
            said["loaded"],
            said["error"],
            bytes.fromhex(said["arrays"]),
            said["words"],
            canary(path.parent).exists(),
        )
        for (kind, path), said in zip(paths.items(), lines, strict=True)
    }


def too_old(python: str) -> bool:
    """Is this a Keras before 2.12, the first that reads .keras files?"""
    program = "import keras; print(keras.__version__)"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True)
    return done.returncode != 0 or [int(part) for part in done.stdout.split(".")[:2]] < [2, 12]


def ran(loaded: Loaded) -> bool:
    return loaded.ran


def read_secret(loaded: Loaded) -> bool:
    return SECRET[:20] in loaded.arrays or SECRET.decode() in loaded.words


def taken(loaded: Loaded) -> bool:
    """Keras takes it without a word."""
    return loaded.loaded and not loaded.error


def failed(words: str) -> Check:
    """Keras had done as the file says when it failed."""
    return lambda loaded: words in loaded.error


allocated = failed("Weight expects shape")
built = failed("Layer count mismatch")

# Today's Keras, with safe_mode=False.
KERAS: dict[str, Check] = {
    "Lambda in .h5 (CVE-2025-9905)": ran,
    "Lambda in .keras": ran,
    "Lambda inside a wrapper": ran,
    "Lambda inside SpectralNormalization": failed("no attribute 'kernel'"),
    "code for the places of a slice": taken,
    "code in an operation's keywords": ran,
    "TFSMLayer (CVE-2026-1462)": ran,
    "HDF5 and zip at once": ran,
    "zip entry twice": ran,
    "vocabulary from a file (CVE-2025-12058)": read_secret,
    "unknown field of a layer": taken,
    "one key twice": taken,
    "NaN as a number": taken,
    "names in two forms": taken,
    "zip with assets": taken,
    "zip entry in other letters": taken,
    "zip packed in another way": taken,
    "type specification in JSON": failed("DenseSpec.__init__()"),
    "endless nesting": failed("RecursionError"),
    "zip bomb": failed("char 67108864"),
    "padding bomb": allocated,
    "more filters than the arrays have": allocated,
    "more units than the arrays have": allocated,
    "a larger kernel than the arrays have": allocated,
    "layer without arrays of its own": built,
    "doubling a tensor again and again": built,
}

# The same, which takes 10 s each: TensorFlow waits for memory to become free.
out_of_memory = failed("OOM when allocating tensor")
KERAS_SLOWLY: dict[str, Check] = {
    "upsampling bomb": out_of_memory,
    "resizing bomb": out_of_memory,
    "upsampling again and again": out_of_memory,
    "huge input": out_of_memory,
}

# Older releases of Keras 3 as they are, safe mode included, and the newest that falls for it.
KERAS_3: dict[str, tuple[tuple[int, ...], Check]] = {
    "Lambda in .h5 (CVE-2025-9905)": ((3, 11, 2), ran),
    "function of a module (CVE-2025-1550)": ((3, 8, 0), ran),
    "class of a module (CVE-2025-1550)": ((3, 8, 0), ran),
    "class of a module as the network (CVE-2025-1550)": ((3, 8, 0), ran),
    "zip with pickled weights": ((3, 8, 0), ran),
    "function of Keras that fetches a file (CVE-2025-8747)": ((3, 10, 0), ran),
    "safe mode switched off from within (CVE-2025-9906)": ((3, 10, 0), ran),
    "TFSMLayer (CVE-2026-1462)": ((3, 13, 1), ran),
    "vocabulary from a file (CVE-2025-12058)": ((3, 11, 3), read_secret),
    "external storage inside a zip (CVE-2026-1669)": ((3, 13, 1), read_secret),
    "external storage for weights in .h5 (CVE-2026-1669)": ((3, 14, 0), read_secret),
    "external link for weights in .h5 (CVE-2026-1669)": ((3, 14, 0), read_secret),
    "array declared huge (CVE-2026-0897)": ((3, 14, 1), failed("Unable to allocate 4.00 TiB")),
}

# Keras 2.12 to 2.15 as it is.
KERAS_2: dict[str, Check] = {
    "class of a module as the network (CVE-2025-1550)": ran,
    "operation by name": ran,
}

# ---------------------------------------------------------------- with h5py and others


def h5_reads_secret(path: Path, name: str) -> bool:
    with h5py.File(path) as file:
        return bytes(file[name][()]) == SECRET


def h5_follows(path: Path, name: str) -> bool:
    with h5py.File(path) as file:
        link = file.get(name, getlink=True)
        return isinstance(link, h5py.SoftLink) and file[name].shape == (6,)


def h5_never_ends(path: Path, name: str) -> bool:
    with h5py.File(path) as file:
        return file["/".join([name] * 1000)] == file["/"]


def h5_has_it_twice(path: Path, name: str) -> bool:
    with h5py.File(path, "r+") as file:
        file[name][:] = 7
        return file["there"][0] == 7


def h5_refers(path: Path, name: str) -> bool:
    with h5py.File(path) as file:
        return file[file[name][0]].name in ("/", "/there")


def h5_runs_a_library(path: Path, name: str) -> bool:
    """HDF5 loads a library for the filter, from a folder that an environment variable names."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("there is no C compiler to build a library with")
    (path.parent / "it.c").write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void loaded(void) {\n"
        f'  FILE *file = fopen("{canary(path.parent)}", "w");\n  if (file) fclose(file);\n}}\n'
    )
    library = path.parent / "libit.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, path.parent / "it.c"], check=True)
    h5_in_child(path, name, HDF5_PLUGIN_PATH=str(path.parent))
    return canary(path.parent).exists()


def h5_asks_for_memory(path: Path, name: str) -> bool:
    return "Unable to allocate 4.00 TiB" in h5_in_child(path, "bomb")


def h5_writes_elsewhere(path: Path, name: str) -> bool:
    """HDF5 writes outside of its memory: the process that writes the array dies of it."""
    program = "import sys, h5py; h5py.File(sys.argv[1], 'r+')[sys.argv[2]][...] = 0"
    done = subprocess.run([sys.executable, "-c", program, path, name], capture_output=True)
    return done.returncode < 0


def h5_in_child(path: Path, name: str, **surroundings: str) -> str:
    """Read an array with h5py in a child whose memory is limited; what it says of errors."""
    program = "import sys, h5py; h5py.File(sys.argv[1])[sys.argv[2]][()]"
    done = subprocess.run(
        [sys.executable, "-c", program, path, name],
        env={"HOME": str(path.parent), **surroundings},
        cwd=path.parent,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)),
    )
    return done.stderr


def runs_as_a_script(path: Path, name: str) -> bool:
    subprocess.run(["sh", path], cwd=path.parent)
    return h5py.is_hdf5(path) and canary(path.parent).exists()


# For networks, and for image sets where there are such; `name` is where the thing lies.
FILES: dict[str, Callable[[Path, str], bool]] = {
    "external link (CVE-2026-1669)": h5_reads_secret,
    "external storage (CVE-2026-1669)": h5_reads_secret,
    "virtual dataset": h5_reads_secret,
    "soft link": h5_follows,
    "group that holds itself": h5_never_ends,
    "two names of one array": h5_has_it_twice,
    "object references": h5_refers,
    "region references": h5_refers,
    "filter from a plugin": h5_runs_a_library,
    "numbers that begin outside of their bytes": h5_writes_elsewhere,
    "array declared huge in .h5": h5_asks_for_memory,
    "hidden behind something else": runs_as_a_script,
}

# ---------------------------------------------------------------- image sets of no use


def h5_reads_what_is_not_there(path: Path) -> bool:
    """HDF5 answers with a whole chunk without an error, or dies by a signal."""
    program = "import sys, h5py; print(h5py.File(sys.argv[1])['data'][400:].shape)"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    return done.returncode < 0 or done.stdout == "(400, 3, 14, 12)\n"


def h5_unpacks_all_for_one(path: Path) -> bool:
    with h5py.File(path) as file:
        data = file["data"]
        return data.chunks[0] == len(data) and data.nbytes > 1 << 31


def h5_declares(count: int, values: int) -> Callable[[Path], bool]:
    """There are so many images and more, of so many values and more, and h5py reads the last."""

    def check(path: Path) -> bool:
        with h5py.File(path) as file:
            data = file["data"]
            right = len(data) >= count and data[0].size >= values
            return right and not data[-1, 0, 0, 0] and path.stat().st_size < 3e6

    return check


def takes_no_room(path: Path) -> bool:
    found = path.stat()
    return found.st_size > 4 << 40 and found.st_blocks * 512 < 1 << 20


def opening_or_reading_never_ends(path: Path) -> bool:
    program = "import sys; f = open(sys.argv[1], 'rb'); [0 for _ in iter(lambda: f.read(99), b'')]"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", program, path], timeout=0.5)
    return True


def h5_takes_odd_bits(path: Path) -> bool:
    with h5py.File(path) as file:
        kinds = [file[name].id.get_type() for name in ("data", "label")]
        return any(kind != h5py.h5t.py_create(kind.dtype) for kind in kinds)


USELESS: dict[str, Callable[[Path], bool]] = {
    "later chunk stored short": h5_reads_what_is_not_there,
    "later chunk that unpacks short": h5_reads_what_is_not_there,
    "later chunk that unpacks long": h5_reads_what_is_not_there,
    "chunks that each hold all images": h5_unpacks_all_for_one,
    "more images than anybody has": h5_declares(1 << 23, 1),
    "images too large for any network": h5_declares(10, 1 << 23),
    "file that is not there but for its start": takes_no_room,
    "pipe or device": opening_or_reading_never_ends,
    "numbers at odd places of their bytes": h5_takes_odd_bits,
}

# ---------------------------------------------------------------- none

_NOT_FOUND = "no Keras that we tried finds a class of this name"
_REFUSED = "every Keras that we tried refuses it by itself"
_LEFT_OUT = "Python's zipfile, and so Keras, leaves it out; other programs may not"

REASONS: dict[str, str] = {
    "function of a module as an activation": "Keras looks activations up among its own",
    "initializer of a module": "Keras looks initializers up among its own",
    "activation by its path": "Keras looks activations up among its own",
    "class with a command": "Keras 3.8 imports the module, and misses a from_config in the class",
    "function as a layer": "Keras 3.8 finds the function, and does not call it",
    "layer named as a path": "every Keras that we tried loads and calls it without harm",
    "TFSMLayer in .h5": _NOT_FOUND,
    "class by its path": _NOT_FOUND,
    "class in other letters": _NOT_FOUND,
    "no module": _NOT_FOUND,
    "another module of Keras": _NOT_FOUND,
    "custom class": "it runs only what its user has registered under this name",
    "registered name": "it runs only what its user has registered under this name",
    "Keras operation": "it computes, and does no harm by itself",
    "dtype policy that quantizes": "it computes, and does no harm by itself",
    "unknown setting": _REFUSED,
    "regularizer with a tensor's code": _REFUSED,
    "reshape bomb": _REFUSED,
    "networks in networks": "it only costs time, more the deeper it is",
    "code in a call's keywords": "Keras 3 does not run what the keywords of an .h5 hold",
    "values of open length": "no harm is known; how much memory they take cannot be told",
    "named type": "no harm is known",
    "zip entry that climbs (GHSA-hqp4-2352-xf5r)": _LEFT_OUT,
    "zip entry from the root": _LEFT_OUT,
}


def unzipped(path: Path, folder: Path) -> list[Path]:
    """The files that Python's zipfile makes of an archive in a folder."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return sorted(one for one in folder.rglob("*") if one.is_file())
