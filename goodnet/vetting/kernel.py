"""Two walls that Linux gives to every process: Landlock, and a filter of system calls (seccomp).

They are asked for by hand, with five calls. Sources: landlock(7), seccomp(2), and the kernel's
headers for the numbers.
"""

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress

# Landlock, the same on every machine: its calls, and per version of it how many kinds of access to
# files there are, of connections, and of reaching other processes.
CREATE_RULESET, RESTRICT_SELF = 444, 446
VERSION_ONLY = 1
KINDS = {1: (13, 0, 0), 2: (14, 0, 0), 3: (15, 0, 0), 4: (15, 2, 0), 5: (16, 2, 0), 6: (16, 2, 2)}

NO_NEW_PRIVILEGES = 38  # of prctl
FILTER, ALL_THREADS = 1, 1  # of seccomp
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 38  # as where there is no such call: ENOSYS
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # of the filter's language, BPF
NUMBER_AT, MACHINE_AT = 0, 4  # bytes into what the filter is given

# What Python still needs to compute, to read and write its pipes, and to end.
CALLS = {
    "x86_64": {
        **{"read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10},
        **{"munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15},
        **{"sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39},
        **{"exit": 60, "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "futex": 202},
        **{"restart_syscall": 219, "clock_gettime": 228, "clock_nanosleep": 230},
        **{"exit_group": 231, "getrandom": 318},
    },
    "aarch64": {
        **{"read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222},
        **{"mprotect": 226, "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135},
        **{"rt_sigreturn": 139, "sched_yield": 124, "mremap": 216, "madvise": 233},
        **{"nanosleep": 101, "getpid": 172, "exit": 93, "gettimeofday": 169, "sigaltstack": 132},
        **{"gettid": 178, "futex": 98, "restart_syscall": 128, "clock_gettime": 113},
        **{"clock_nanosleep": 115, "exit_group": 94, "getrandom": 278},
    },
}
MACHINES = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}  # its sign; seccomp


def _system() -> ctypes.CDLL | None:
    with suppress(OSError, TypeError):
        return ctypes.CDLL(None) if sys.platform == "linux" else None
    return None


def _give_up_privileges(system: ctypes.CDLL) -> bool:
    """No program that is started may have more rights: what both walls ask for."""
    return system.prctl(NO_NEW_PRIVILEGES, *map(ctypes.c_ulong, (1, 0, 0, 0))) == 0


def forbid_paths() -> bool:
    """Forbid this process all files by path, connections and signals; whether it worked."""
    system = _system()
    if not system or not _give_up_privileges(system):
        return False
    version = system.syscall(CREATE_RULESET, None, 0, VERSION_ONLY)
    if version < 1:
        return False
    kinds = KINDS[min(version, max(KINDS))]
    said = struct.pack("=3Q", *((1 << count) - 1 for count in kinds))
    length = 8 * (1 + sum(count > 0 for count in kinds[1:]))  # older ones know fewer fields
    rules = system.syscall(CREATE_RULESET, said, ctypes.c_size_t(length), 0)
    if rules < 0:
        return False
    shut = system.syscall(RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return shut


def forbid_calls() -> bool:
    """Forbid this process, all its threads, every system call but CALLS; whether it worked."""
    system, machine = _system(), platform.machine()
    if not system or machine not in CALLS or not _give_up_privileges(system):
        return False
    sign, seccomp = MACHINES[machine]
    numbers = CALLS[machine].values()
    steps = [
        (LOAD, 0, 0, MACHINE_AT),
        (JUMP_EQUAL, 1, 0, sign),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, NUMBER_AT),
        *((JUMP_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    given = struct.pack("@HP", len(steps), ctypes.addressof(program))
    return system.syscall(seccomp, FILTER, ALL_THREADS, given) == 0
