"""Takes from this package what another system lacks, so that Linux shows how it does without.

    GOODNET_TESTS_SYSTEM=windows python3 -m pytest tests/test_quarantine.py …

Only modules of goodnet see it, whoever imports them: the tests, the scripts and their children.
Python and its libraries keep what they have. This is no Windows and no macOS: what these do
otherwise, beyond what is named here, it does not show.
"""

import atexit
import builtins
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

HERE = str(Path(__file__).resolve().parent)
# One of MISSING, or none: then all is there.
SYSTEM = os.environ.get("GOODNET_TESTS_SYSTEM", "")

# By module; None: the module itself.
MISSING = {
    "windows": {
        "fcntl": None,
        "resource": None,
        "pwd": None,
        "os": (
            *("fork", "forkpty", "pread", "preadv", "pwrite", "memfd_create", "mkfifo", "uname"),
            *("fchmod", "fchown", "chown", "geteuid", "getuid", "killpg", "kill", "setsid"),
            *("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "SEEK_HOLE", "SEEK_DATA"),
            *("sched_getaffinity", "sendfile", "statvfs", "register_at_fork"),
        ),
        "signal": ("SIGKILL", "SIGXCPU", "pthread_kill", "alarm", "sigwait"),
        "mmap": ("MAP_SHARED", "PROT_READ", "PROT_WRITE"),
        "select": ("poll", "epoll"),
    },
    "macos": {"os": ("memfd_create", "sched_getaffinity", "posix_fallocate", "O_TMPFILE")},
}


class Part:
    """A module without some of its names, and with others in place of some."""

    def __init__(self, module, missing=(), instead=None):
        self._module, self._missing, self._instead = module, missing, instead or {}

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"{self._module.__name__} has no {name} here")
        return self._instead.get(name) or getattr(self._module, name)


def _refuse_memory(resource):
    def setrlimit(kind, limits):
        if kind == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")
        resource.setrlimit(kind, limits)

    return setrlimit


def _as_windows_has_it(os):
    """It opens no folder, tells of no blocks, and gives no other name to a file that is open."""

    def open_file(path, flags, *mode):
        if os.path.isdir(path) and not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return os.open(path, flags, *mode)

    def fstat(descriptor):
        found = os.fstat(descriptor)
        names = [name for name in dir(found) if name.startswith("st_") and name != "st_blocks"]
        return SimpleNamespace(**{name: getattr(found, name) for name in names})

    def refuse_open(path):
        """In this process, at least."""
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                if os.path.samestat(os.stat(f"/proc/self/fd/{descriptor}"), os.lstat(path)):
                    raise PermissionError(13, "The process cannot access the file", str(path))
            except FileNotFoundError:
                continue

    def replace(source, target):
        refuse_open(source)
        os.replace(source, target)

    def rename(source, target):
        if os.path.lexists(target):
            raise FileExistsError(17, "File exists", str(target))
        replace(source, target)

    def unlink(path):
        refuse_open(path)
        os.unlink(path)

    ours = {"open": open_file, "fstat": fstat, "replace": replace, "rename": rename}
    return ours | {"unlink": unlink}


def install(system: str) -> None:
    """From now on, modules of goodnet that are imported lack what `system` lacks."""
    missing, real = MISSING[system], builtins.__import__

    def seen(module):
        name, instead = module.__name__, {}
        if name == "resource":
            instead["setrlimit"] = _refuse_memory(module)
        if name == "ctypes":  # neither Landlock nor seccomp
            instead["CDLL"] = _NoLibrary
        if name == "os" and system == "windows":
            instead |= _as_windows_has_it(module)
        names = missing.get(name, ())
        return Part(module, names, instead) if names or instead else module

    def import_part(name, globals=None, locals=None, fromlist=(), level=0):  # noqa: A002
        if not ((globals or {}).get("__name__") or "").startswith("goodnet"):
            return real(name, globals, locals, fromlist, level)
        if name in missing and missing[name] is None:
            raise ImportError(f"no {name} on this system")
        module = real(name, globals, locals, fromlist, level)
        if name == "goodnet.vetting.children":
            _pass_on(sys.modules[name], system)
        return module if name.partition(".")[0] == "goodnet" else seen(module)

    builtins.__import__ = import_part


class _NoLibrary:
    def __init__(self, name):
        raise OSError("no such library on this system")


def install_everywhere(system: str) -> None:
    """Here, and in every script that is started from here."""
    install(system)
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    Path(folder, "sitecustomize.py").write_text(start_of(system))
    os.environ["PYTHONPATH"] = folder


def start_of(system: str) -> str:
    """What a Python process must do first, to lack what a system lacks."""
    more = f"import sys; sys.path.insert(0, {HERE!r}); import portable; del sys.path[0]"
    return f"{more}; portable.install({system!r})"


def _pass_on(children, system: str) -> None:
    """Have the children lack the same."""
    more = start_of(system)
    if more not in children._BEGIN:
        children._BEGIN += f"; {more}"
