"""Which lab a script takes its files from where the command line names none."""

import subprocess
import sys
from pathlib import Path

from goodnet.cli import interrupts
from goodnet.cli.shell import notice
from goodnet.errors import Unusable
from goodnet.lab import Lab, find_lab, missing_files

ROOT = Path(__file__).resolve().parents[2]


def lab_folder() -> Path:
    """The folder of the lab that is taken where none is named.

    It is the repository itself where it holds the course's files, else the practice lab, with a
    word of what is missing. A folder below the one the user is in is named from there.
    """
    here = Path.cwd()
    root = ROOT.relative_to(here) if ROOT.is_relative_to(here) else ROOT
    missing = missing_files(root)
    if not missing:
        return root
    practice = root / "practice"
    notice(f"Taking the practice lab in {practice}/: {' and '.join(missing)} not found in {ROOT}.")
    return practice


def default_lab(folder: Path | None) -> Lab:
    """The lab in `folder`, else the one of `lab_folder`; the practice lab is built if need be.

    Raises Unusable where `folder` holds no lab.
    """
    if folder is not None:
        return find_lab(folder)
    folder = lab_folder()
    try:
        lab = find_lab(folder)
        complete = lab.clean_test is not None and lab.backdoored_test is not None
    except Unusable:
        complete = False
    if not complete:
        _build_practice_lab(folder)
    return find_lab(folder)


def _build_practice_lab(folder: Path) -> None:
    with interrupts.withheld():  # Ctrl-C is told once, here
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "practice.py"), "--out", str(folder)], stdout=2
        )
    try:
        status = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if status:
        raise Unusable(f"the practice lab was not built (practice.py ended with {status})")


def files_to_judge(folder: Path | None) -> list[Path]:
    """The lab's clean and backdoored test files and its B, in this order.

    Raises Unusable, naming what is missing, where the lab lacks one.
    """
    lab = default_lab(folder)
    if lab.clean_test and lab.backdoored_test:
        return [lab.clean_test, lab.backdoored_test, lab.network]
    name = "backdoored" if lab.clean_test else "clean"
    raise Unusable(f"the lab has no {name} test file; name the files to judge", lab.root)
