"""Files under their final names: the old one or the whole new one, and nothing beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from goodnet import files
from goodnet.errors import Unusable


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
        assert str(os.getpid()) in temporary.name and not path.exists()
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


def test_only_leftovers_of_processes_that_are_gone_are_removed(tmp_path, dead_process):
    alive = f".tmp-{os.getppid()}-B_pi_net_0.1.h5"
    others = {alive, ".tmp-notes", f"tmp-{dead_process}-mine", f".tmp-{10**30}-far"}
    for name in (*others, f".tmp-{dead_process}-B_pi_net_0.1.h5"):
        (tmp_path / name).touch()
    folder = f".tmp-{dead_process}-folder"  # cannot be unlinked, and is no reason to fail
    (tmp_path / folder).mkdir()
    write(tmp_path / "pruning.csv", "whole")
    assert set(names(tmp_path)) == others | {folder, "pruning.csv"}


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


def test_names_that_are_too_long_are_refused(tmp_path):
    for length in (250, 300):  # the temporary name is longer than the final one
        with pytest.raises(Unusable, match="cannot be written"):
            write(tmp_path / ("x" * length), "new")
    assert names(tmp_path) == []


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
