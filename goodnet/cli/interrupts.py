"""Ctrl-C from the first instruction on: one line and status 130, however often it is pressed.

Every script imports this before all else. What Python has not loaded yet is imported only once the
hook is in place. Where the process is not the script's own, as in a notebook, nothing is changed.
"""

from __future__ import annotations

import os
import sys

from goodnet.process import OURS


def leave() -> NoReturn:
    """Tell that the script was interrupted and end at once, without waiting for any thread."""
    try:
        os.write(2, f"{os.path.basename(sys.argv[0])}: interrupted\n".encode())
    finally:
        os._exit(130)


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        leave()
    sys.__excepthook__(kind, error, trace)


if OURS:
    sys.excepthook = _hook

import signal  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType
    from typing import NoReturn


def _first(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, _again)
    raise KeyboardInterrupt


def _again(number: int, frame: FrameType | None) -> NoReturn:
    leave()


# Where the shell has Ctrl-C ignored, as behind `&`, it stays so.
if OURS and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _first)


def arrived() -> bool:
    """Whether Ctrl-C was pressed, though a library may have swallowed or renamed the exception."""
    return signal.getsignal(signal.SIGINT) is _again


def ignore() -> None:
    """Ignore Ctrl-C from now on, where the process is ours: all is done but leaving."""
    if OURS:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def withheld() -> Iterator[None]:
    """A context in which processes are started that ignore Ctrl-C: who starts them ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
