"""The cage of a limited child: what it can still do once it reads what strangers wrote.

Whatever a hostile file makes of the process, it can compute, read one pipe and write another. Each
system has some of the walls, and what it lacks changes nothing else: `shut` tells which hold.

    python3 -m goodnet.vetting.cage      prints which hold on this machine
"""

import os
from contextlib import suppress

from goodnet.vetting import kernel

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

WALLS = {
    "memory": "no more address space than its work takes",
    "time": "no more processor time than its work takes",
    "writing": "no file becomes longer",
    "opening": "nothing is opened: no file, no socket",
    "processes": "no process and no thread is started",
    "paths": "no path is looked up, no connection made, no other process signalled (Landlock)",
    "calls": "no system call but a few that read, write and take memory (seccomp)",
}


def shut(memory: int, seconds: int | None) -> list[str]:
    """Shut the cage around this process, for good; which of WALLS hold.

    memory: bytes of address space; seconds: of processor time from its start on, None for any.
    """
    held = ["paths"] if kernel.forbid_paths() else []
    if resource:
        limits = [("memory", "AS", memory), ("writing", "FSIZE", 0), ("opening", "NOFILE", 0)]
        limits += [("time", "CPU", seconds)] if seconds is not None else []
        held += [name for name, kind, most in limits if _limit(kind, most)]
        _limit("CORE", 0)  # what is in memory does not become a file
        if _limit("NPROC", 0) and os.geteuid():  # it does not bind root
            held.append("processes")
    held += ["calls"] if kernel.forbid_calls() else []
    return [name for name in WALLS if name in held]


def _limit(kind: str, most: int) -> bool:
    """Limit what this process may take; False where the system refuses, as macOS does memory."""
    with suppress(AttributeError, ValueError, OSError):
        number = getattr(resource, f"RLIMIT_{kind}")
        hard = resource.getrlimit(number)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (most, most))
        return True
    return False


def main() -> None:
    from goodnet.vetting.children import Most, start_child

    program = "from goodnet.vetting import inside; inside.shut_in(inside.hear_settings())"
    child = start_child(program, Most(1 << 31, 60), {})
    child.end()
    for wall, words in WALLS.items():
        print(f"{wall:9}  {'holds' if wall in child.walls else 'is not here':11}  {words}")


if __name__ == "__main__":
    main()
