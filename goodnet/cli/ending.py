"""How a script ends: what is told of the error that ended it, and with which exit status."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from goodnet.cli import interrupts
from goodnet.cli.libraries import INSTALL
from goodnet.cli.options import DEBUG
from goodnet.errors import Unusable
from goodnet.printable import say

Notice = Callable[[str], None]  # shows the user a line


def tell(error: BaseException, notice: Notice) -> int:
    """Tell in one line what ended a script, behind its traceback with --debug; the exit status."""
    name = Path(sys.argv[0]).name
    if DEBUG in sys.argv:
        _show_traceback(error, notice)
    if isinstance(error, KeyboardInterrupt) or interrupts.arrived():
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        if interrupts.OURS:
            interrupts.ignore()
            interrupts.leave()
        notice(f"{name}: interrupted")
        return 130
    if isinstance(error, Unusable):
        notice(f"{name}: {error}")
        return error.exit_status
    if isinstance(error, OSError):
        # A full disk, for one.
        notice(f"{name}: {error}")
        discard_stdout()
    elif isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        notice(f"{name}: needs more memory than there is; try a smaller --batch-size")
    elif isinstance(error, ImportError):
        notice(f"{name}: {say(error)}; {INSTALL}")
    else:
        whose = "Keras cannot compute this" if _arose_in_keras(error) else "this is a fault of ours"
        whole = "" if DEBUG in sys.argv else f"; {DEBUG} shows where"
        notice(f"{name}: {whose}: {type(error).__name__}: {say(error)}{whole}")
    return 2


def _arose_in_keras(error: BaseException) -> bool:
    """Whether Keras or its backend raised an error: on images of a size it cannot do, for one."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    module = place.tb_frame.f_globals.get("__name__", "") if place else ""
    return module.partition(".")[0] in ("keras", "tensorflow", "jax", "torch")


def _show_traceback(error: BaseException, notice: Notice) -> None:
    """Show where an error arose, with those that it was raised in place of."""
    link: BaseException | None = error
    while link:
        link.__suppress_context__ = False
        link = link.__cause__ or link.__context__
    for line in "".join(traceback.format_exception(error)).splitlines():
        notice(line)


def fill_descriptors() -> None:
    """Where the shell closed stdin, stdout or stderr, keep files that we open from its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free one: this
    sys.stderr = sys.stderr or open(os.devnull, "w")  # else print would take stdout instead


def discard_stdout() -> None:
    """Keep Python from failing on what is left in stdout's buffer once more at exit."""
    if sys.stdout is sys.__stdout__:  # not a notebook's
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
