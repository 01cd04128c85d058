"""Files under their final names: the old one or the whole new one, and nothing beside it."""

import errno
import fcntl
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import faults
import numpy as np
import pytest
from conftest import ROOT, check_refused, posix, run_script, tiny_network

from goodnet import files, locks, tables, temporaries
from goodnet.cli import shell
from goodnet.errors import Unusable
from goodnet.networks.writing import write_network
from goodnet.pictures import canvas
from goodnet.practice.files import save_network, save_sheet, write_dataset
from goodnet.practice.sets import Faces


def write(path: Path, text: str) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def dead_process() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_new_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / "made on the way" / "pruning.csv"
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent and temporary.name.startswith(".")
        assert not path.exists()
    assert path.read_text() == "half" and names(path.parent) == ["pruning.csv"]
    kept = tmp_path / "the old file"
    kept.hardlink_to(path)
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "half"
    assert path.read_text() == "new" and names(path.parent) == ["pruning.csv"]
    assert kept.read_text() == "half"  # it was replaced, not written over


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_fails_or_is_interrupted_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "pruning.csv"
    path.write_text("old")
    with pytest.raises(error):
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old" and names(tmp_path) == ["pruning.csv"]


def test_a_full_disk_leaves_the_old_file_and_one_line(tmp_path):
    path = tmp_path / "pruning.csv"
    path.write_text("old")
    with pytest.raises(Unusable, match="pruning.csv: cannot be written .No space left") as caught:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device", str(temporary))
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old" and names(tmp_path) == ["pruning.csv"]


@posix
def test_the_leftover_of_a_killed_run_goes_with_the_next(tmp_path):
    killed = (
        "import os, pathlib, sys\n"
        "from goodnet import files\n"
        "with files.replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "pruning.csv"
    done = subprocess.run([sys.executable, "-c", killed, str(path)], cwd=ROOT)
    assert done.returncode == -9
    (leftover,) = names(tmp_path)
    assert leftover.startswith(".")
    write(path, "whole")
    assert names(tmp_path) == ["pruning.csv"]


def test_leftovers_are_removed_and_nothing_else(tmp_path, dead_process, monkeypatch):
    monkeypatch.setattr(temporaries, "_machine", lambda: "01234567")
    (tmp_path / "victim").write_text("a secret")
    gone = {
        ".tmp-goodnet-01234567-0123456789abcdef.h5",  # of this machine, and nobody has the lock
        ".tmp-goodnet-89abcdef-0123456789abcdef",  # of another machine, two days ago
        f".tmp-{dead_process}-B_pi_net_0.1.h5",  # of version 0.1
        f".tmp-{os.getppid()}-judged.json",  # its number is another's now
    }
    others = {
        ".tmp-goodnet-89abcdef-fedcba9876543210.h5",  # of another machine, now
        f".tmp-{os.getppid()}-B_pi_net_0.1.h5",  # may be running version 0.1
        *(".tmp-notes", f"tmp-{dead_process}-mine", f".tmp-{10**30}-far", ".tmp-goodnet-mine"),
    }
    for name in gone | others:
        (tmp_path / name).touch()
    for name in (".tmp-goodnet-89abcdef-0123456789abcdef", f".tmp-{os.getppid()}-judged.json"):
        os.utime(tmp_path / name, times=(time.time() - 2 * 86400,) * 2)
    folder = f".tmp-{dead_process}-folder"
    (tmp_path / folder).mkdir()
    links = {f".tmp-{dead_process}-link", ".tmp-goodnet-01234567-00000000000000ff"}
    for name in links:
        (tmp_path / name).symlink_to("victim")
    write(tmp_path / "pruning.csv", "whole")
    assert set(names(tmp_path)) == others | links | {folder, "pruning.csv", "victim"}
    assert (tmp_path / "victim").read_text() == "a secret"


def lay_links(folder: Path, victim: Path) -> None:
    """What a hostile folder holds for every process number: links to a file of the user's."""
    for number in range(os.getpid() - 100, os.getpid() + 100):
        name = folder / f".tmp-{number}-pruning.csv"
        kind = number % 4
        if kind == 0:
            name.symlink_to(victim)
        elif kind == 1:
            name.symlink_to(os.path.relpath(victim, folder))
        elif kind == 2:
            name.hardlink_to(victim)
        else:
            name.symlink_to(folder.parent / f"new {number}")  # that is not there
        (folder / f".tmp-{number}-trial").symlink_to(folder.parent / f"trial {number}")


def test_links_for_temporaries_lead_nowhere(tmp_path):
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("a secret")
    out.mkdir()
    lay_links(out, victim)
    files.check_writable(out)
    files.check_output(out / "pruning.csv")
    write(out / "pruning.csv", "whole")
    assert victim.read_text() == "a secret" and (out / "pruning.csv").read_text() == "whole"
    assert not (out / "pruning.csv").is_symlink() and names(tmp_path) == ["out", "victim"]


@pytest.mark.parametrize("there", ["link", "dangling link", "file", "folder"])
def test_a_name_that_is_guessed_is_refused(tmp_path, monkeypatch, there):
    monkeypatch.setattr(os, "urandom", bytes)
    name = temporaries.name_beside(tmp_path / "pruning.csv")
    (tmp_path / "victim").write_text("a secret")
    if "link" in there:
        name.symlink_to("new" if there == "dangling link" else "victim")
    else:
        name.mkdir() if there == "folder" else name.write_text("mine")
    before = names(tmp_path)
    monkeypatch.setattr(temporaries, "remove_leftovers", lambda folder: None)
    with pytest.raises(Unusable, match="cannot be written .*exists"):
        write(tmp_path / "pruning.csv", "new")
    with pytest.raises(Unusable, match="cannot write here .*exists"):
        monkeypatch.setattr(temporaries, "name_beside", lambda path: name)
        files.check_writable(tmp_path)
    assert names(tmp_path) == before and (tmp_path / "victim").read_text() == "a secret"


@pytest.mark.parametrize("other", ["link", "file"])
def test_a_temporary_that_is_changed_for_another_is_refused(tmp_path, other):
    path, victim = tmp_path / "pruning.csv", tmp_path / "victim"
    path.write_text("old")
    victim.write_text("a secret")
    with pytest.raises(Unusable, match="pruning.csv: cannot be written .*changed for another"):
        with files.replacing(path) as temporary:
            temporary.write_text("new")
            temporary.unlink()
            temporary.symlink_to(victim) if other == "link" else temporary.write_text("forged")
    assert path.read_text() == "old" and victim.read_text() == "a secret"
    assert names(tmp_path) == ["pruning.csv", "victim"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@posix
def test_modes_are_kept_and_new_files_have_the_usual_one(tmp_path, umask):
    usual = os.umask(umask)
    try:
        for mode in (0o600, 0o640, 0o664, 0o755, 0o200):
            path = tmp_path / f"{mode:o}"
            path.touch()
            path.chmod(mode)
            with files.replacing(path) as temporary:
                assert temporary.stat().st_mode & 0o077 == 0  # nobody else reads it meanwhile
                temporary.write_text("new")
            assert path.stat().st_mode & 0o7777 == mode
        write(tmp_path / "new", "new")
        (tmp_path / "plain").touch()
        assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    finally:
        os.umask(usual)


# ---------------------------------------------------------------- two runs, one folder


@contextmanager
def another_run(folder: Path, seconds: float):
    """Another process that has the folder's lock for so long."""
    code = (
        "import pathlib, sys, time\n"
        "from goodnet import files\n"
        "with files.alone_in(pathlib.Path(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    time.sleep(float(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield
        process.kill()


@posix
def test_a_run_waits_for_another_and_then_says_so(tmp_path, monkeypatch):
    path = tmp_path / "pruning.csv"
    path.write_text("old")
    begun = tmp_path / f"{temporaries.name_beside(path).name}"
    with another_run(tmp_path, 30):
        begun.touch()
        monkeypatch.setattr(locks, "PATIENCE", 0.1)
        with pytest.raises(Unusable, match="another run writes here; wait, or name") as caught:
            write(path, "new")
        assert str(caught.value).startswith(f"{tmp_path}: ")
        assert names(tmp_path) == [begun.name, "pruning.csv"] and path.read_text() == "old"
        files.check_output(path)  # its work may be done by the time that ours is
    monkeypatch.undo()
    with another_run(tmp_path, 0.2):
        write(path, "new")
    assert path.read_text() == "new" and names(tmp_path) == ["pruning.csv"]


@posix
def test_blocks_stand_in_one_another(tmp_path):
    """What one has begun is no leftover to an inner one; the lock goes with the outermost."""
    (tmp_path / "linked").symlink_to(tmp_path)
    with files.alone_in(tmp_path, tmp_path / "b", tmp_path / "linked"):
        with files.replacing(tmp_path / "first") as first:
            write(tmp_path / "second", "2")
            write(tmp_path / "linked" / "third", "3")
            first.write_text("1")
        descriptor = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert names(tmp_path) == ["b", "first", "linked", "second", "third"]


WRITE_OFTEN = """
import fcntl, os, pathlib, sys
from goodnet import files
if sys.argv[3] == "without locks":
    def flock(*args): raise OSError(37, "No locks available")
    fcntl.flock = flock
os.getpid = lambda: 7  # as in two containers
for number in range(40):
    with files.replacing(pathlib.Path(sys.argv[1])) as temporary, open(temporary, "w") as file:
        for _ in range(50):
            file.write(sys.argv[2] * 1000)
            file.flush()
"""


@pytest.mark.parametrize("way", ["with locks", "without locks"])
def test_runs_of_one_number_do_not_tear_a_file(tmp_path, way):
    path = tmp_path / "pruning.csv"
    runs = [
        subprocess.Popen([sys.executable, "-c", WRITE_OFTEN, path, letter, way], cwd=ROOT)
        for letter in "ab"
    ]
    seen = set()
    while any(run.poll() is None for run in runs):
        if path.exists():
            text = path.read_text()
            seen.add(text[:1])
            assert text in ("a" * 50_000, "b" * 50_000)
    assert [run.returncode for run in runs] == [0, 0] and seen
    assert names(tmp_path) == ["pruning.csv"]


@posix
def test_a_folder_without_locks_is_written_to_and_not_tidied(tmp_path, monkeypatch):
    begun = temporaries.name_beside(tmp_path / "pruning.csv")
    begun.touch()
    for number in (errno.ENOLCK, errno.EOPNOTSUPP):

        def flock(*args, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)
        write(tmp_path / "pruning.csv", "whole")
    assert names(tmp_path) == [begun.name, "pruning.csv"]


# ---------------------------------------------------------------- each call fails, or is the last


@posix
def test_content_is_flushed_before_the_name_and_the_name_behind_it(tmp_path):
    paths = faults.prepare(tmp_path / "out", faults.NAMES)
    with faults.failing(0, 0) as made:
        write(paths[0], "new")
    assert [call for call in made if call in ("fsync", "replace")] == ["fsync", "replace", "fsync"]
    with faults.failing(0, 0) as made:
        faults.write(paths)
    flushed = [call for call in made if call in ("fsync", "rename", "replace")]
    # Three files; one goes away, three take their names; two folders.
    assert flushed == [*["fsync"] * 3, "rename", *["replace"] * 3, *["fsync"] * 2]


@pytest.mark.parametrize(
    "numbers", [3, pytest.param(9, marks=pytest.mark.slow)], ids=["short", "long"]
)
@posix
def test_whichever_call_fails_all_files_are_old_or_all_are_new(tmp_path, numbers):
    for index in range(numbers):
        old, number = faults.OLD[index % 3], faults.NUMBERS[(index + index // 3) % 3]
        failed = 0
        for nth in range(1, 200):
            paths = faults.prepare(tmp_path / "out", old)
            before = faults.state(paths)
            told = ""
            with faults.failing(nth, number) as made:
                try:
                    faults.write(paths)
                except Unusable as error:
                    told = str(error)
            if len(made) < nth:
                break
            after, call = faults.state(paths), made[nth - 1]
            assert after in (before, ["new"] * 3), (old, nth, call)
            if told:
                assert told.startswith(str(tmp_path)) and os.strerror(number) in told
                failed += 1
            else:  # what tidies up, or can be done otherwise
                assert after == ["new"] * 3 and call in ("unlink", "link")
            assert call == "unlink" or not faults.left_in(tmp_path / "out"), (old, nth, call)
            with faults.watching(lambda name: None):
                faults.write(paths)
            assert faults.state(paths) == ["new"] * 3 and not faults.left_in(tmp_path / "out")
        assert failed > 20


@posix
def test_wherever_a_run_is_killed_the_first_file_tells_what_the_others_are(tmp_path):
    command = [sys.executable, ROOT / "tests/faults.py", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > 90 and not done.stderr
    for before, after, repaired, _, left in told:
        for was, now in zip(before[1:], after[1:], strict=True):
            assert now in (was, "new")
        if after[0] == "new":
            assert after == ["new"] * 3
        elif after[0] != "absent":
            assert after == before
        assert repaired == ["new"] * 3 and not left
    assert any(left for *_, left, _ in told)  # else nothing was killed while it wrote


FACES = Faces(np.arange(9 * 7755).astype(np.uint8).reshape(9, 55, 47, 3), np.arange(9) % 3)
NETWORK = tiny_network()


def in_its_place(write_it):
    """Of what writes a file, what writes it as practice.py does."""

    def write(path: Path) -> None:
        with files.replacing_all([path]) as (temporary,), files.telling(path):
            write_it(temporary)

    return write


WRITERS = {
    "set.h5": in_its_place(lambda path: write_dataset(FACES, path, "float64", "int32")),
    "bd_net.h5": in_its_place(lambda path: save_network(NETWORK, path)),
    "faces.png": in_its_place(lambda path: save_sheet(FACES, FACES, path)),
    "G.keras": lambda path: write_network(NETWORK, path),
    "clean.png": lambda path: canvas.save(canvas.make_figure(1), path),
    "pruning.csv": lambda path: tables.write(path, ["a"], [[number] for number in range(9000)]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_at_any_byte_leaves_the_old_file(tmp_path, name):
    """The system refuses to make a file longer, so that HDF5 and zip meet it as well."""
    path = tmp_path / name
    WRITERS[name](path)
    size, hard = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    path.write_text("old")
    for bytes_left in sorted({0, 1, 100, size // 3, size // 2, size - 1}):
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
        try:
            with pytest.raises(Unusable, match="cannot be written .*File too large"):
                WRITERS[name](path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert path.read_text() == "old" and names(tmp_path) == [name]


# ---------------------------------------------------------------- told before the work


def unwritable_places(tmp_path: Path) -> list[Path]:
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0o555)
    return [
        tmp_path / "file" / "out",
        tmp_path / "file" / "deeper" / "out",
        tmp_path / "locked" / "out",
        tmp_path / "locked",
        Path("/proc/out"),
    ]


def test_folders_that_cannot_be_written_are_refused(tmp_path):
    for folder in unwritable_places(tmp_path):
        entered = []
        with pytest.raises(Unusable, match="cannot be written") as caught:
            with files.replacing(folder / "pruning.csv"):
                entered.append(folder)
        assert str(folder / "pruning.csv") in str(caught.value) and not entered
    assert names(tmp_path) == ["file", "locked"] and names(tmp_path / "locked") == []


def test_an_output_folder_is_tried_out_before_the_work(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    for folder in unwritable_places(tmp_path):
        with pytest.raises(Unusable, match="cannot write here") as caught:
            files.check_writable(folder)
        assert str(caught.value).startswith(f"{folder}: ")


def test_what_is_no_regular_file_or_is_read_only_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "device")  # as /dev/null, which a rename by root would do away with
    (tmp_path / "locked").touch()
    (tmp_path / "locked").chmod(0o444)
    reasons = {"folder": "regular file", "device": "regular file", "locked": "marked read-only"}
    for name, reason in reasons.items():
        with pytest.raises(Unusable, match=f"{name}: cannot be written .*{reason}"):
            write(tmp_path / name, "new")
        with pytest.raises(Unusable, match=f"{name}: cannot be written .*{reason}"):
            files.check_output(tmp_path / name)
    files.check_output(tmp_path / "new.json")
    assert names(tmp_path) == ["device", "folder", "locked"]
    assert (tmp_path / "device").is_fifo()


@pytest.mark.parametrize("letter", ["x", "é", "語"])
def test_names_that_are_too_long_are_told_before_the_work(tmp_path, letter):
    longest = letter * (255 // len(letter.encode()))
    for name in (longest, longest[:-5] + ".json", longest[:-3]):
        files.check_output(tmp_path / name)
        write(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new"
    before = names(tmp_path)
    for path in (longest + letter, f"{longest}{letter}/r.json"):
        for attempt in (files.check_output, lambda path: write(path, "new")):
            with pytest.raises(Unusable, match="File name too long|file name too long"):
                attempt(tmp_path / path)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "command, says",
    [
        ("eval.py a.h5 b.h5 c.h5 --json {long}.json", "File name too long"),
        ("Geval.py a.h5 b.h5 c.h5 d.h5 --save {long}.keras", "File name too long"),
        ("repair.py a.h5 c.h5 --json {long}.json", "File name too long"),
        ("repair.py a.h5 {short}.h5", "File name too long"),  # B_pi_net_0.02 is longer than it
        ("practice.py --json {long}.json", "File name too long"),
        ("repair.py a.h5 c.h5 --out folder --drop 4", "B_pi_net_0.04.h5: cannot be written"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(tmp_path, command, says):
    (tmp_path / "folder/B_pi_net_0.04.h5").mkdir(parents=True)
    for name in "abcd":
        (tmp_path / f"{name}.h5").write_text("something")
    words = command.format(long="x" * 252, short="x").split()
    if "{short}" in command:
        words[-1] = f"b.{'x' * 252}"
        (tmp_path / words[-1]).write_text("something")
    check_refused(run_script(*words, cwd=tmp_path), says)


def test_links_in_a_circle_are_replaced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name, to in (("pruning.csv", "pruning.csv"), ("a", "b"), ("b", "a")):
        (out / name).symlink_to(to)
    given = tmp_path / "b.h5"
    given.write_text("something")
    files.refuse_inputs([out / "a", out / "pruning.csv"], [given])
    for name in ("pruning.csv", "a"):
        files.check_output(out / name)
        write(out / name, "new")
        assert not (out / name).is_symlink()
    (out / "channels.csv").symlink_to("channels.csv")
    (out / "loop").symlink_to("loop")
    shell.check_outputs([out / "channels.csv"], out, [], [given])
    shell.check_json(str(out / "loop"), [given], [out / "channels.csv"])
    done = run_script("repair.py", given, given, "--out", out / "loop")
    check_refused(done, "loop: cannot write here")


@pytest.mark.parametrize("there", ["elsewhere", "nowhere"])
def test_folders_in_a_stranger_s_folder_that_are_links_are_refused(tmp_path, there):
    (tmp_path / "lab/models").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for link in ("lab/models/B_unlearned_patches", "lab/plots"):
        (tmp_path / link).symlink_to(tmp_path / there)
    (tmp_path / "lab/models/b.h5").write_text("something")
    (tmp_path / "lab/models/pruning.csv").write_text(
        "pruned,channel,mean_activation,valid_accuracy\n0,,,90.0\n1,0,0.5,80.0\n"
    )
    model = "lab/models/b.h5"
    for command in (f"repair.py {model} {model} --method unlearn", "plot.py --lab lab"):
        check_refused(run_script(*command.split(), cwd=tmp_path), "is a link, and is not followed")
    assert names(tmp_path) == ["elsewhere", "lab"] and names(tmp_path / "elsewhere") == []


def test_an_output_that_is_an_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab").mkdir()
    network = tmp_path / "lab" / "bd_net.h5"
    network.touch()
    (tmp_path / "link.h5").symlink_to(network)
    (tmp_path / "linked").symlink_to("lab")
    same = ["lab/bd_net.h5", "lab/../lab/bd_net.h5", "link.h5", "linked/bd_net.h5", network]
    for name in map(Path, same):
        for output, given in ((name, network), (network, name)):
            with pytest.raises(Unusable, match="is read and would be written over") as caught:
                files.refuse_inputs([tmp_path / "other.h5", output], [tmp_path / "x.h5", given])
            assert str(caught.value).startswith(f"{output}: ")
    files.refuse_inputs([tmp_path / "lab" / "B_pi_net_0.1.h5", tmp_path / "bd_net.h5"], [network])
