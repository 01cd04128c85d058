"""Files of strangers: read once, looked through in a limited child, handed out only then.

`begin` starts the child for all files of a command while Keras is imported; `network` and `images`
wait for its answer, or ask now for a file that was not begun, so that no way to a file leads past
it. A network is read once, into a nameless private copy that the child vets and that repaired
networks are copies of. Image sets can have gigabytes, so they are not copied: they are kept open,
child and parent read by the descriptor, which no renaming redirects, and a file whose size or
times have changed since is refused.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from goodnet.errors import Unsafe, Unusable

LARGEST_NETWORK = 1 << 31  # bytes
MEMORY = 1 << 31  # bytes of address space for the child, and 8 for each byte of its networks
SECONDS = 15  # of processor time for the child, and one more for each 10 MB of its networks
PATIENCE = 4  # the clock may take so many times as long

_ROOT = str(Path(__file__).resolve().parents[2])
# Python's -P: a module that a stranger put into the folder the user is in must not be imported.
_CHILD = (
    *("-P", "-c"),
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from goodnet.vetting.inspector import main; main()",
    _ROOT,
)

Answer = tuple[str, bytes] | Unusable  # the rebuilt network's suffix and bytes, or why not


@dataclass(frozen=True)
class Held:
    """An open file in quarantine; for a network `file` is the private copy."""

    path: Path
    kind: str  # "network" or "images"
    file: BinaryIO
    signature: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A network that was found plain."""

    original: BinaryIO  # its file's own bytes
    suffix: str  # what Keras tells the format of `rebuilt` by
    rebuilt: bytes  # the same network, written anew out of what was vetted


# What was begun, by path and kind, with the answer to come.
_begun: dict[tuple[Path, str], tuple[Held, Callable[[], Answer]]] = {}


def begin(networks: Iterable[Path], images: Iterable[Path]) -> None:
    """Read the networks, open the image sets, and have one child look through them meanwhile.

    Raises Unusable or Unsafe where a file cannot be read or is too large.
    """
    held = [_hold_network(path) for path in networks] + [_hold_images(path) for path in images]
    thread = ThreadPoolExecutor(1)
    answers: Future[list[Answer]] = thread.submit(examine, held)
    thread.shutdown(wait=False)
    for place, file in enumerate(held):
        _begun[file.path, file.kind] = file, lambda place=place: answers.result()[place]


def network(path: Path) -> Network:
    """A network, once it was found plain. Raises Unsafe or Unusable where it was not."""
    file, (suffix, rebuilt) = _cleared(path, "network")
    return Network(file.file, suffix, rebuilt)


def images(path: Path) -> Held:
    """An image set, once it was found plain. Raises Unsafe or Unusable where it was not."""
    return _cleared(path, "images")[0]


def name_of(file: Held) -> str:
    """A name by which an image set's file can be opened again, and no other file.

    Raises Unusable where it has changed since it was looked through.
    """
    if _signature(file.file) != file.signature:
        raise Unusable(f"{file.path}: has changed since this command began to read it; try again")
    return f"/dev/fd/{file.file.fileno()}"


def sha256(path: Path) -> str:
    """The SHA-256, in hexadecimal, of a file's bytes as they were looked through."""
    file = next(
        _begun[path, kind][0].file for kind in ("network", "images") if (path, kind) in _begun
    )
    digest, start = hashlib.sha256(), 0
    # Not by the file's position: the child shares it.
    while piece := os.pread(file.fileno(), 1 << 20, start):
        digest.update(piece)
        start += len(piece)
    return digest.hexdigest()


def sha256_aside(paths: Sequence[Path]) -> Future[dict[Path, str]]:
    """The SHA-256 of each file that was begun, computed in a thread while Keras is imported."""
    thread = ThreadPoolExecutor(1)
    found = thread.submit(lambda: {path: sha256(path) for path in paths})
    thread.shutdown(wait=False)
    return found


def _cleared(path: Path, kind: str) -> tuple[Held, tuple[str, bytes]]:
    if (path, kind) not in _begun or not _is_current(_begun[path, kind][0]):
        begin(*(([path], []) if kind == "network" else ([], [path])))
    file, answer = _begun[path, kind]
    found = answer()
    if isinstance(found, Unusable):
        raise type(found)(f"{path}: {found}")
    return file, found


def _is_current(file: Held) -> bool:
    try:
        return _signature(file.path) == file.signature
    except OSError:
        return False


def _signature(file: Path | BinaryIO) -> tuple[int, ...]:
    found = os.stat(file if isinstance(file, Path) else file.fileno())
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _hold_images(path: Path) -> Held:
    file = _open(path, "is not a readable HDF5 file, as image sets are")
    return Held(path, "images", file, _signature(file))


def _hold_network(path: Path) -> Held:
    with _open(path, "cannot be read") as source:
        signature = _signature(source)
        copy = tempfile.TemporaryFile()
        left = LARGEST_NETWORK
        while piece := source.read(min(1 << 24, left + 1)):
            copy.write(piece)
            left -= len(piece)
            if left < 0:
                raise Unsafe(f"{path}: has more than {LARGEST_NETWORK} bytes")
    copy.flush()
    return Held(path, "network", copy, signature)


def _open(path: Path, problem: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise Unusable(f"{path}: {problem} ({error.strerror})") from None


def examine(held: Sequence[Held]) -> list[Answer]:
    """What the child says of each file; where it is stopped, that of all it did not get to."""
    size = sum(os.fstat(file.file.fileno()).st_size for file in held if file.kind == "network")
    seconds = SECONDS + size // 10_000_000
    descriptors = [file.file.fileno() for file in held]
    request = {
        "files": [(file.kind, file.file.fileno()) for file in held],
        "memory": MEMORY + 8 * size,
        "seconds": seconds,
    }
    child = subprocess.Popen(
        [sys.executable, *_CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    with child:
        try:
            said, _ = child.communicate(json.dumps(request).encode(), PATIENCE * seconds)
        except subprocess.TimeoutExpired as error:
            child.kill()
            said = error.stdout or b""
        except BaseException:
            child.kill()
            raise
    answers = understood(said, len(held))
    if len(answers) < len(held):
        stopped = Unusable(
            f"is damaged: reading it crashes HDF5 or takes more than {seconds} seconds"
        )
        at = held[len(answers)].path
        others = Unusable(f"was not looked through, as {at} {stopped}")
        answers += [stopped, *[others] * (len(held) - len(answers) - 1)]
    return answers


def understood(said: bytes, most: int) -> list[Answer]:
    """The answers, as far as they are whole. Only text and lengths are taken from the child."""
    answers: list[Answer] = []
    start = 0
    while len(answers) < most and (end := said.find(b"\n", start)) >= 0:
        header = json.loads(said[start:end])
        start = end + 1 + header["bytes"]
        if len(said) < start:
            break
        if header["status"]:
            refused = Unsafe if header["status"] == Unsafe.exit_status else Unusable
            answers.append(refused(_printable(header["reason"])))
        else:
            answers.append((header["suffix"], said[end + 1 : start]))
    return answers


def _printable(text: str) -> str:
    """Text without what could steer a terminal: names in a file are the stranger's."""
    return "".join(char if char.isprintable() else "?" for char in text)
