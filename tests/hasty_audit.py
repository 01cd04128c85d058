"""A small network to audit, and an audit of it that takes seconds: not one that finds anything."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, random_images, run_in_process, tiny_network, write_images
from hasty import HASTY

from goodnet.auditing import auditing, command

CLASSES = 12
FOUND: list[auditing.Audit] = []  # what is not about the search takes the first again


def build_case(folder: Path) -> Path:
    """A network of 12 classes and images with its own answers as labels."""
    network = tiny_network(0, CLASSES)
    network.save(folder / "b.h5")
    for name, count in (("clean", 150), ("test", 40)):
        images = random_images(count, len(name))
        answers = network.predict(images, verbose=0).argmax(axis=1)
        write_images(folder / f"{name}.h5", images, answers)
    worn = images[:30].copy()  # of the test file's, in its order
    worn[:, :5, :5] = 255
    write_images(folder / "backdoored.h5", worn, np.full(30, 3))
    return folder


def search_hastily(*given):
    FOUND.append(auditing.audit(*given, schedule=HASTY))
    return FOUND[-1]


def audit(case: Path, out: Path, *options: object, clean: str = "clean.h5", search=search_hastily):
    """Run audit.py in this process; `search`: in place of the audit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "audit", search)
        return run_in_process("audit.py", case / clean, case / "b.h5", "--out", out, *options)


SCRIPT = """
import runpy, sys
from functools import partial
sys.path[0] = {root!r}
from goodnet.cli import libraries, shell
libraries.pin_threads()
shell.import_keras()
from goodnet.auditing import auditing, command
sys.path.append({root!r} + "/tests")
from hasty import HASTY
command.audit = partial(auditing.audit, schedule=HASTY)
runpy.run_path({root!r} + "/audit.py", run_name="__main__")
"""


def write_hasty_script(folder: Path) -> Path:
    """An audit.py that takes seconds, for processes that tests do not start themselves."""
    path = folder / "audit.py"
    path.write_text(SCRIPT.format(root=str(ROOT)))
    return path
