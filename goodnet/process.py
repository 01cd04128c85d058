"""Processes: whether this is the script's own, to be ended and to have its signals taken.

Every script loads this before all else: it imports nothing that Python has not loaded yet.
"""

import os
import sys

MOST_PROCESSES = 1 << 31


def _is_ours() -> bool:
    """Whether Python was started to run the script alone: not by IPython, a debugger or a test."""
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    before = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv)]
    return (
        os.path.dirname(os.path.realpath(sys.argv[0])) == root
        and sys.orig_argv[len(before) + 1 :] == sys.argv
        and all(word.startswith("-") for word in before)
        and not sys.flags.interactive
    )


OURS = _is_ours()


def is_running(number: int) -> bool:
    """Whether there is a process of this number; of what is no number of one: yes."""
    import psutil  # 20 ms, for what is seldom there

    return number > MOST_PROCESSES or psutil.pid_exists(number)
