"""The two ways in which what somebody handed us can be of no use."""

from pathlib import Path
from typing import Self


class Unusable(Exception):
    """An argument or a file that cannot be used; its text is the one line the user reads.

    reason: what is wrong and what would be right; path: the file it is about, where it is one.
    """

    exit_status = 2

    def __init__(self, reason: str, path: Path | None = None) -> None:
        super().__init__(reason if path is None else f"{path}: {reason}")
        self.reason = reason
        self.path = path

    def about(self, path: Path) -> Self:
        """The same error, about this file."""
        return type(self)(self.reason, path)

    def about_own(self, path: Path) -> Self:
        """The same error, about its own file where it has one, else about this."""
        return self if self.path else self.about(path)


class Unsafe(Unusable):
    """A file that could be read but must not be."""

    exit_status = 3
