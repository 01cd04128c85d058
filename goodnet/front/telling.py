"""What a notebook is told while work goes on, and of what is probably wrong."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from goodnet.progress import Advance, Progress, no_progress


class Tell(Protocol):
    """Is told what is being done, how much of it is done, and how much there is in all."""

    def __call__(self, description: str, done: int, total: int, /) -> None: ...


def progress_of(tell: Tell | None) -> Progress:
    """The Progress that tells a function, or nobody."""
    if tell is None:
        return no_progress

    @contextmanager
    def opened(description: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            tell(description, done, total)

        yield advance

    return opened


def warn(line: str | None, depth: int = 0) -> None:
    """A warning, if there is something to say, where who called the front stands.

    What it calls --pixels and --scale are arguments here. depth: the calls in between, beside that
    of a function with settings of our own.
    """
    if line:
        line = re.sub(r"--pixels (\S+)", r'pixels="\1"', line).replace("--scale S", "scale=S")
        warnings.warn(line, stacklevel=4 + depth)
