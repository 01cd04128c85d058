"""Start a limited child that opens files of strangers, and read what it says of them.

What it says is checked: the child may have been taken over by what it read.
"""

import time
from collections.abc import Callable, Sequence
from typing import BinaryIO

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import printable
from goodnet.vetting.children import Child, Most, start_child
from goodnet.vetting.parts import Parts, read_parts
from goodnet.vetting.pieces import size_of
from goodnet.vetting.reading import Keys

MEMORY = 1 << 31  # bytes for the child, and 8 for each byte of its networks
SECONDS = 15  # of processor time for the child, and one more for each 10 MB of its networks
PATIENCE = 4  # the clock may take so many times as long
LONGEST_REASON = 10_000  # characters
LONGEST_LINE = 1 << 27  # bytes of what it says of a file, but for the values

_CHILD = "from goodnet.vetting.inspector import main; main()"

Started = Callable[[Child], None]  # is told of a child, to end it with the command
Answer = Parts | Unusable  # what the child says of a file; of an image set, its layout as values


def stopped(size: int) -> Unusable:
    """What is said of a file at which a child stops that was given so many bytes of networks."""
    return Unusable(
        f"is damaged: reading it crashes HDF5 or takes more than {_seconds(size)} seconds"
    )


def _seconds(size: int) -> int:
    return SECONDS + size // 10_000_000


def ask(
    files: Sequence[tuple[str, *tuple[BinaryIO, ...]]],
    size: int,
    started: Started | None = None,
    keys: Keys | None = None,
) -> list[Answer]:
    """What a limited child says of open files, as far as it gets.

    files: for each what is asked of it, and what `inspector.answer` takes; size: of the networks;
    started: is told of the child, so that it can be ended with the command; keys: the names of
    image sets' images and labels, where the user gives them. Raises Unusable where the child does
    not start.
    """
    opened = [file for _, *given in files for file in given]
    sizes = [(kind, *map(size_of, given)) for kind, *given in files]
    most = Most(MEMORY + 8 * size, _seconds(size))
    child = start_child(_CHILD, most, {"files": sizes, "keys": keys}, started)
    child.deadline = time.monotonic() + PATIENCE * _seconds(size)
    answers: list[Answer] = []
    try:
        while len(answers) < len(files):
            answer = _hear_answer(child, opened)
            if answer is None:
                break
            answers.append(answer)
    finally:
        child.end()
    return answers


def _hear_answer(child: Child, files: Sequence[BinaryIO]) -> Answer | None:
    """What a child says of a file, once it has got what it asked for; None where it goes wrong."""
    try:
        said = child.hear_answer(files, LONGEST_LINE) or {}
        length = said["bytes"]
        if type(length) is not int or not 0 <= length <= child.most.memory:
            return None
        values = child.hear_bytes(length)
        return parse_answer(said, values) if len(values) == length else None
    except Unusable as error:  # what it asked for is not there any more
        child.kill()
        return error
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def parse_answer(header: dict, values: bytes) -> Answer:
    """What a child said of a file. It may have been taken over: all is checked.

    Raises ValueError, KeyError, TypeError or RecursionError where it makes no sense.
    """
    if header["status"]:
        refused = Unsafe if header["status"] == Unsafe.exit_status else Unusable
        return refused(printable(header["reason"][:LONGEST_REASON]))
    return read_parts(header, values)
