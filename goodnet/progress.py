"""How far long work has come: what computes tells it, and does not know who shows it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


class Advance(Protocol):
    """Is told how much more is done, in the units of the total."""

    def __call__(self, amount: int, /) -> None: ...


class Progress(Protocol):
    """Opens a piece of work of a known size: a context, which gives the Advance to tell."""

    def __call__(self, description: str, total: int, /) -> AbstractContextManager[Advance]: ...


class Lap(Protocol):
    """Is told the name of each stage that ends."""

    def __call__(self, stage: str, /) -> None: ...


class Reporter(Protocol):
    """Is told of long work: how far it has come, and in which stage it is."""

    @property
    def prints(self) -> bool:
        """Whether results are to be printed as lines."""
        ...

    @property
    def progress(self) -> Progress: ...

    @property
    def lap(self) -> Lap: ...


def ignore(amount: int) -> None:
    """An Advance that shows nothing."""


def ignore_stage(stage: str) -> None:
    """A Lap that keeps nothing."""


@contextmanager
def no_progress(description: str, total: int) -> Iterator[Advance]:
    """A Progress that shows nothing."""
    yield ignore


@dataclass(frozen=True)
class Silence:
    """A Reporter that shows nothing."""

    prints: bool = False
    progress: Progress = no_progress
    lap: Lap = ignore_stage


SILENT = Silence()
