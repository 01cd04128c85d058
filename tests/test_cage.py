"""The cage of the limited children: each wall tried from inside, alone and with the others."""

import errno
import json
import math
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import (
    ROOT,
    check_refused,
    posix,
    random_images,
    run_in_process,
    tiny_network,
    write_images,
)

from goodnet.vetting import asking, cage, children, kernel, unpacked
from goodnet.vetting.children import Most, start_child

pytestmark = pytest.mark.child
LINUX = sys.platform == "linux"
KNOWN_MACHINE = LINUX and os.uname().machine in kernel.CALLS
MOST = Most(1 << 31, 60)

BEGIN = """
import ctypes, os, signal, socket, subprocess, sys, threading, time
from goodnet.vetting import cage, inside, kernel
settings = inside.hear_settings()
there = dict(os.environ), os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
"""

ATTEMPTS = {  # in the child, by name
    "read": "open('/etc/passwd')",
    "read our own": "open(cage.__file__)",
    "list": "os.listdir('/')",
    "write": "open(settings['new'], 'w')",
    "remove": "os.unlink(settings['old'])",
    "rename": "os.rename(settings['old'], settings['new'])",
    "connect": "socket.create_connection(('127.0.0.1', 9))",
    "local socket": "socket.socket(socket.AF_UNIX)",
    "signal": "os.kill(os.getppid(), 0)",
    "fork": "os.fork() or os._exit(0)",
    "thread": "threading.Thread(target=int).start()",
    "io_uring": "ctypes.CDLL(None).syscall(425, 1, bytes(120)) < 0 and 1 / 0",
    "limits": "cage.resource.setrlimit(cage.resource.RLIMIT_NOFILE, (9, 9))",
    "memory": "bytearray(1 << 40)",
    "program": "os.execv('/bin/true', ['true'])",  # last: then the child is another program
}
EVERYTHING = set(ATTEMPTS)
ALONE = {  # what each wall refuses where there is no other, to root as well
    "paths": {*("read", "read our own", "list", "write", "remove", "rename", "program")},
    "opening": {"read", "read our own", "list", "write", "connect", "local socket"},
    "calls": EVERYTHING,
    "memory": {"memory"},
}
WITHOUT = {
    "paths": "kernel.forbid_paths = lambda: False",
    "calls": "kernel.forbid_calls = lambda: False",
    "limits": "cage._limit = lambda *_: False",
}


def attempt_all(tmp_path, without: list[str]) -> tuple[tuple[str, ...], set[str]]:
    """The walls around a child that lacks some; which of ATTEMPTS were refused in it."""
    (tmp_path / "old").touch()
    program = f"""{BEGIN}
{chr(10).join(without)}
inside.shut_in(settings)
for name, attempt in {ATTEMPTS}.items():
    inside.answer({{"about to": name}})
    try:
        eval(attempt)
    except BaseException:
        inside.answer({{"refused": name}})
"""
    settings = {"old": str(tmp_path / "old"), "new": str(tmp_path / "new")}
    child = start_child(program, MOST, settings)
    said = [json.loads(line) for line in child.process.stdout]
    child.end()
    assert [each["about to"] for each in said if "about to" in each] == list(ATTEMPTS)
    return child.walls, {each["refused"] for each in said if "refused" in each}


def alone(*walls: str) -> list[str]:
    return [without for wall, without in WITHOUT.items() if wall not in walls]


@pytest.mark.skipif(not KNOWN_MACHINE, reason="the filter of system calls is for two machines")
def test_all_walls_together_refuse_everything(tmp_path):
    walls, refused = attempt_all(tmp_path, [])
    if "calls" not in walls:
        pytest.skip("seccomp is not to be had here")
    assert refused == EVERYTHING
    assert {"memory", "time", "writing", "opening"} <= set(walls)
    assert ("processes" in walls) == bool(os.geteuid())
    assert (tmp_path / "old").exists() and not (tmp_path / "new").exists()


@pytest.mark.skipif(not LINUX, reason="Landlock is Linux's")
def test_landlock_alone(tmp_path):
    walls, refused = attempt_all(tmp_path, alone("paths"))
    if "paths" not in walls:
        pytest.skip("Landlock is not to be had here")
    assert walls == ("paths",) and refused >= ALONE["paths"]
    assert "fork" not in refused  # what it does not claim: else another wall was there


@pytest.mark.skipif(not KNOWN_MACHINE, reason="the filter of system calls is for two machines")
def test_the_filter_of_system_calls_alone(tmp_path):
    walls, refused = attempt_all(tmp_path, alone("calls"))
    if "calls" not in walls:
        pytest.skip("seccomp is not to be had here")
    assert walls == ("calls",)
    assert refused == EVERYTHING - {"memory"} or refused == EVERYTHING  # as the machine has it


@posix
def test_limits_alone(tmp_path):
    walls, refused = attempt_all(tmp_path, alone("limits"))
    assert {"writing", "opening"} <= set(walls) and not {"paths", "calls"} & set(walls)
    assert refused >= ALONE["opening"]
    if "memory" in walls:
        assert "memory" in refused
    if "processes" in walls:
        assert {"fork", "thread"} <= refused


def test_a_child_without_any_wall_could_do_it(tmp_path):
    """That the attempts are real: nothing but the walls refuses them."""
    walls, refused = attempt_all(tmp_path, alone())
    assert walls == () and not refused & {"read", "list", "write", "remove", "local socket", "fork"}


def test_a_child_gets_two_pipes_and_no_variables_of_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with open(tmp_path / "a secret", "w+") as secret:
        os.set_inheritable(secret.fileno(), True)
        child = start_child(f"{BEGIN}\ninside.shut_in(settings); inside.answer(there)", MOST, {})
        variables, descriptors = json.loads(child.process.stdout.readline())
    child.end()
    assert set(variables) <= {*children._KEPT, *children._OURS, "LC_CTYPE"}  # Python's own
    assert len(descriptors) in (0, 4)  # the fourth is the folder that is listed
    assert not (tmp_path / "canary").exists()


# ---------------------------------------------------------------- watched from outside


@pytest.mark.parametrize(
    "does, most",
    [
        ("there = bytearray(1 << 28); time.sleep(60)", Most(1 << 27)),
        ("while True: pass", Most(1 << 31, 1)),
        ("time.sleep(60)", Most(1 << 31)),
    ],
    ids=["memory", "processor time", "the clock"],
)
def test_a_child_that_takes_too_much_is_ended_where_the_system_limits_nothing(does, most):
    program = f"{BEGIN}\n{WITHOUT['limits']}\ninside.shut_in(settings)\n{does}"
    start = time.monotonic()
    child = start_child(program, most, {})
    child.deadline = time.monotonic() + 1 if does == "time.sleep(60)" else math.inf
    assert child.hear_line(100) == b""
    assert child.process.wait(5) and time.monotonic() - start < 20
    child.end()


# ---------------------------------------------------------------- one that does not start


@pytest.fixture
def judged(tmp_path):
    tiny_network().save(tmp_path / "b.h5")
    packed = {"chunks": (4, 3, 14, 12), "compression": "gzip"}
    images = write_images(tmp_path / "images.h5", random_images(6), np.zeros(6), **packed)
    return images, images, tmp_path / "b.h5"


@pytest.mark.parametrize(
    "program, says",
    [
        ("import a_library_that_is_missing", "ModuleNotFoundError: No module named 'a_library"),
        ("raise SystemExit", "it ended at once"),
        ("print('\\x1b[2J')", "\\x1b[2J"),
        ("print('x' * 70000)", "it ended at once"),
        ("print('[]')", "[]"),
    ],
)
@pytest.mark.parametrize("which", [asking, unpacked], ids=["first", "second"])
def test_a_child_that_does_not_start_is_no_damaged_file(monkeypatch, judged, which, program, says):
    monkeypatch.setattr(which, "_CHILD", program)
    done = run_in_process("eval.py", *judged)
    check_refused(done, "did not start", says, "install what requirements.txt lists again")
    assert "damaged" not in done.stderr


@pytest.mark.skipif(not KNOWN_MACHINE, reason="the filter of system calls is for two machines")
@pytest.mark.parametrize(
    "lacks, says",
    [
        ("read", "it cannot work in its cage here: [Errno 38] Function not implemented"),
        ("mmap brk", "it cannot work in its cage here"),
        ("write", "it cannot work in its cage here"),
    ],
)
def test_a_child_that_cannot_work_in_its_cage_is_no_damaged_file(monkeypatch, judged, lacks, says):
    """As on a machine whose C library reads, asks for memory or writes by another call."""
    child = start_child(f"{BEGIN}\ninside.shut_in(settings)", MOST, {})
    child.end()
    if "calls" not in child.walls:
        pytest.skip("seccomp is not to be had here")
    code = "from goodnet.vetting import inspector, kernel; calls = kernel.CALLS[{!r}]; "
    code += "[calls.pop(name) for name in {!r}.split()]; inspector.main()"
    monkeypatch.setattr(asking, "_CHILD", code.format(os.uname().machine, lacks))
    done = run_in_process("eval.py", *judged)
    check_refused(done, "did not start", says, "nothing is known of the files")
    assert "damaged" not in done.stderr


@pytest.mark.skipif(not KNOWN_MACHINE, reason="the filter of system calls is for two machines")
def test_a_call_that_is_not_known_fails_and_ends_nobody(tmp_path):
    """As where there is no such call, so that C libraries do without."""
    program = f"{BEGIN}\ninside.shut_in(settings)\nsystem = ctypes.CDLL(None, use_errno=True)\n"
    program += "inside.answer([(system.syscall(n), ctypes.get_errno()) for n in settings['calls']])"
    unknown = [334, 439, 600, 0x40000000]  # rseq, faccessat2, none yet, another way to read
    child = start_child(program, MOST, {"calls": unknown})
    said = child.hear_line(1000)
    child.end()
    if "calls" not in child.walls:
        pytest.skip("seccomp is not to be had here")
    assert json.loads(said) == [[-1, errno.ENOSYS]] * len(unknown)


def test_a_system_that_starts_no_process_is_told(monkeypatch, judged):
    def refuse(*arguments, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    done = run_in_process("eval.py", *judged)
    check_refused(done, "did not start (Resource temporarily unavailable)")


def test_what_holds_here_can_be_asked():
    command = [sys.executable, "-m", "goodnet.vetting.cage"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(cage.WALLS)


def test_the_document_names_the_walls_and_how_many_calls_there_are():
    text = (ROOT / "docs/untrusted-files.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(cage.WALLS)
    assert {len(calls) for calls in kernel.CALLS.values()} == {27}
    assert "every system call but 27," in text
