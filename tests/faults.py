"""Makes calls that write files fail, or kill the process, one after the other.

    python3 tests/faults.py FOLDER

kills a process at each of the calls that replace the files a, b/b and b/c in FOLDER, and prints
after each what they hold, as JSON. Needs no Keras.
"""

import errno
import json
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from goodnet import files, locks, temporaries  # noqa: E402

# What goodnet/files.py and what it is built on ask of the system, but for closing.
CALLS = {
    *("open", "makedirs", "listdir", "lstat", "fstat", "flock", "fchmod", "fsync"),
    *("link", "rename", "replace", "unlink"),
}
PLACES = ((files, "os"), (locks, "os"), (temporaries, "os"), (locks, "fcntl"))
NUMBERS = (errno.ENOSPC, errno.EIO, errno.EACCES)
NAMES = ("a", "b/b", "b/c")
OLD = (NAMES, (), NAMES[1:])  # what is there before


class Watched:
    """A module whose CALLS are counted; before each of them `happens` is told its name."""

    def __init__(self, module, happens):
        self.module, self.happens = module, happens

    def __getattr__(self, name):
        known = getattr(self.module, name)
        if name not in CALLS:
            return known

        def call(*args, **options):
            self.happens(name)
            # What is flushed or not shows to no process, and takes long.
            return None if name == "fsync" else known(*args, **options)

        return call


@contextmanager
def watching(happens):
    real = [getattr(place, name) for place, name in PLACES]
    for (place, name), module in zip(PLACES, real, strict=True):
        if module is not None:  # fcntl, on Windows
            setattr(place, name, Watched(module, happens))
    try:
        yield
    finally:
        for (place, name), module in zip(PLACES, real, strict=True):
            setattr(place, name, module)


@contextmanager
def failing(nth: int, number: int):
    """The nth call raises OSError with this number; yields the names of the calls made."""
    made: list[str] = []

    def happens(name: str) -> None:
        made.append(name)
        if len(made) == nth:
            raise OSError(number, os.strerror(number))

    with watching(happens):
        yield made


def killed_at(nth: int, work) -> bool:
    """Do the work in a child that dies before its nth call; whether it got so far."""
    child = os.fork()
    if child == 0:
        made = SimpleNamespace(calls=0)

        def happens(name: str) -> None:
            made.calls += 1
            if made.calls == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        with watching(happens):
            work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def prepare(folder: Path, old: tuple[str, ...]) -> list[Path]:
    """A folder in which these of NAMES are there; the paths of all."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "b").mkdir(parents=True)
    for name in old:
        (folder / name).write_text(f"old {name}")
    return [folder / name for name in NAMES]


def write(paths: list[Path]) -> None:
    with files.replacing_all(paths) as drafts:
        for path, draft in zip(paths, drafts, strict=True):
            draft.write_text(f"new {path.name}")


def state(paths: list[Path]) -> list[str]:
    """The first word of what each path holds, "absent" where there is none."""
    return [path.read_text().split()[0] if path.exists() else "absent" for path in paths]


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


def main(folder: Path) -> None:
    for old in OLD:
        for nth in range(1, 1000):
            paths = prepare(folder, old)
            before = state(paths)
            if not killed_at(nth, lambda paths=paths: write(paths)):
                break
            after, left = state(paths), left_in(folder)
            with watching(lambda name: None):
                write(paths)
            told = [before, after, state(paths), left, left_in(folder)]
            print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
