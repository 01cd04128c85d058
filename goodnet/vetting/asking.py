"""Start a limited child that opens files of strangers, and read what it says of them.

What it says is checked: the child may have been taken over by what it read.
"""

import json
import subprocess
from collections.abc import Callable, Sequence

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import printable
from goodnet.vetting.children import start_child
from goodnet.vetting.parts import Parts, read_parts
from goodnet.vetting.reading import Keys

MEMORY = 1 << 31  # bytes of address space for the child, and 8 for each byte of its networks
SECONDS = 15  # of processor time for the child, and one more for each 10 MB of its networks
PATIENCE = 4  # the clock may take so many times as long

_CHILD = "from goodnet.vetting.inspector import main; main()"

Started = Callable[[subprocess.Popen], None]  # is told of a child, to end it with the command
Answer = Parts | Unusable  # what the child says of a file; of an image set, its layout as values


def stopped(size: int) -> Unusable:
    """What is said of a file at which a child stops that was given so many bytes of networks."""
    return Unusable(
        f"is damaged: reading it crashes HDF5 or takes more than {_seconds(size)} seconds"
    )


def _seconds(size: int) -> int:
    return SECONDS + size // 10_000_000


def ask(
    files: Sequence[tuple[str, *tuple[int, ...]]],
    size: int,
    started: Started | None = None,
    keys: Keys | None = None,
) -> list[Answer]:
    """What a limited child says of files, as far as it gets; they are named by open descriptors.

    files: for each what is asked of it, and what `inspector.answer` takes; size: of the networks;
    started: is told of the child, so that it can be ended with the command; keys: the names of
    image sets' images and labels, where the user gives them.
    """
    limits = {"memory": MEMORY + 8 * size, "seconds": _seconds(size)}
    request = {"files": files, "keys": keys} | limits
    open_in_child = [descriptor for _, *descriptors in files for descriptor in descriptors]
    child = start_child(_CHILD, open_in_child)
    if started:
        started(child)
    with child:
        try:
            said, _ = child.communicate(json.dumps(request).encode(), PATIENCE * _seconds(size))
        except subprocess.TimeoutExpired as error:
            child.kill()
            said = error.stdout or b""
        except BaseException:
            child.kill()
            raise
    return parse_answers(said, len(files))


def parse_answers(said: bytes, most: int) -> list[Answer]:
    """The answers, as far as they are whole. The child may have been taken over: all is checked."""
    answers: list[Answer] = []
    start = 0
    while len(answers) < most and (end := said.find(b"\n", start)) >= 0:
        try:
            header = json.loads(said[start:end])
            start = end + 1 + max(0, header["bytes"])
            if len(said) < start:
                break
            if header["status"]:
                refused = Unsafe if header["status"] == Unsafe.exit_status else Unusable
                answers.append(refused(printable(header["reason"])))
            else:
                answers.append(read_parts(header, said[end + 1 : start]))
        except (ValueError, KeyError, TypeError, RecursionError):
            break
    return answers
