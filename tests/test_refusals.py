"""Every refusal with status 3 that vetting has in its code is met by a file that the tests make.

Most are met by hostile files (hostile.py). Here are those that only odd files meet, and files with
too much of a thing; so that these stay small, the limit is lowered.
"""

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import h5py
import hostile
import numpy as np
import pytest
import test_archives
from conftest import ROOT, hold, load_network, tiny_network
from greedy import GREEDY

from goodnet.errors import Unsafe
from goodnet.vetting import configuration, demands, inspector, listing, quarantine, taking_apart

# Of the parent, which reads a network into its copy (tested in this file) and lists folders
# (test_folders.py), and of the child that decodes images (test_predict.py).
NOT_OF_THE_CHILD = {"quarantine.py", "subfolders.py", "developing.py"}


@pytest.fixture(autouse=True, scope="module")
def bases(tmp_path_factory):
    hostile.make_bases(tmp_path_factory.mktemp("bases"))


@dataclass(frozen=True)
class Odd:
    """A file that is refused, and what the refusal says."""

    says: str
    make: Callable[[Path], Path]
    lowered: tuple[ModuleType, str, int] | None = None  # the limit, and what it is here


def attribute(name: str, value: object, group: str = "/") -> Callable[[Path], Path]:
    """A network in which an attribute is another."""

    def edit(file: h5py.File) -> None:
        file[group].attrs[name] = value

    return lambda folder: hostile.edit_h5(folder, "plain", edit)


def plain(folder: Path) -> Path:
    return hostile.edit_h5(folder, "plain", lambda file: None)


def long_text(folder: Path) -> Path:
    return attribute("model_config", np.bytes_(tiny_network().to_json()))(folder)


def two_of_one_name(folder: Path) -> Path:
    node = [["image", 0, 0, {}]]
    flat = {"class_name": "Flatten", "config": {}, "name": "flat", "inbound_nodes": [node]}
    return hostile.graph_h5(folder, "plain", flat, flat, last="flat")


def two_names(folder: Path) -> Path:
    def edit(layers: list) -> None:
        layers[1]["name"] = "another"

    return hostile.edit_layers(folder, "plain", ".h5", edit)


def grouped(folder: Path) -> Path:
    payload = {"class_name": "DepthwiseConv2D", "config": {"kernel_size": 3, "groups": 2}}
    return hostile.layer(folder, "plain", ".h5", payload)


def deep(folder: Path) -> Path:
    return hostile.edit_h5(folder, "plain", lambda file: file.create_group("a/" * 40 + "a"))


def words(folder: Path) -> Path:
    def edit(file: h5py.File) -> None:
        file["model_weights/it"] = np.array([b"word"])

    return hostile.edit_h5(folder, "plain", edit)


def falsely_declared(folder: Path) -> Path:
    """A zip entry that says to be a byte longer than it is."""
    path = hostile.edit_keras(folder, "plain", lambda entries: None)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"config.json") - 46  # of the entry in the list at the end
    assert content[at:].startswith(b"PK\1\2")
    size = int.from_bytes(content[at + 24 : at + 28], "little")
    content[at + 24 : at + 28] = (size + 1).to_bytes(4, "little")
    path.write_bytes(content)
    return path


NAMES = "model_weights"
ODD = {
    "text in numbers": Odd("model_config: is not a text", attribute("model_config", 5)),
    "long text": Odd(
        "model_config: has more than 99 bytes",
        long_text,
        (listing, "LONGEST_CONFIGURATION", 99),
    ),
    "long configuration": Odd(
        "bytes, more than 99", plain, (configuration, "LONGEST_CONFIGURATION", 99)
    ),
    "names in rows": Odd(
        "layer_names: is not a list of names", attribute("layer_names", np.zeros((2, 2)), NAMES)
    ),
    "names in numbers": Odd(
        "layer_names: is not a list of names", attribute("layer_names", np.zeros(2), NAMES)
    ),
    "two layers of one name": Odd("'flat' does not name one layer", two_of_one_name),
    "two names of one layer": Odd("as well", two_names),
    "many layers": Odd("layers, more than 3", plain, (configuration, "MOST_LAYERS", 3)),
    "many steps": Odd("would take more than 3 steps", plain, (demands, "MOST_STEPS", 3)),
    "groups of a depthwise layer": Odd("'groups' of a DepthwiseConv2D", grouped),
    "deep groups": Odd("there are too many groups and arrays", deep),
    "words as an array": Odd("'model_weights/it': holds |S4, not numbers", words),
    "large arrays": Odd("bytes, more than 99", plain, (taking_apart, "LARGEST_NETWORK", 99)),
    "entry of another size": Odd("'config.json': unpacks to", falsely_declared),
}


def check_refused(odd: Odd, folder: Path, patch: pytest.MonkeyPatch) -> None:
    if odd.lowered:
        patch.setattr(*odd.lowered)
    with pytest.raises(Unsafe) as caught:
        load_network(odd.make(folder))
    assert odd.says in str(caught.value) and caught.value.exit_status == 3


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_files_are_refused_with_status_3(tmp_path, monkeypatch, odd):
    check_refused(odd, tmp_path, monkeypatch)


def test_a_network_of_too_many_bytes_is_not_read(tmp_path, monkeypatch):
    path = plain(tmp_path)
    monkeypatch.setattr(quarantine, "LARGEST_NETWORK", 999)
    with pytest.raises(Unsafe, match="bd_net.h5: has more than 999 bytes"):
        hold([path], [])


def refusals() -> set[tuple[str, int]]:
    """Module and line of each place in vetting that makes an Unsafe."""
    return {
        (path.name, node.lineno)
        for path in (ROOT / "goodnet/vetting").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Unsafe"
        if path.name not in NOT_OF_THE_CHILD
    }


def test_every_refusal_is_met_by_a_file(tmp_path, monkeypatch):
    met = set()
    make = Unsafe.__init__

    def note(self, *arguments):
        code = sys._getframe(1)
        met.add((Path(code.f_code.co_filename).name, code.f_lineno))
        make(self, *arguments)

    monkeypatch.setattr(Unsafe, "__init__", note)
    for kinds, what in ((hostile.NETWORKS, "network"), (hostile.IMAGES, "images")):
        for index, maker in enumerate(kinds.values()):
            (folder := tmp_path / f"{what} {index}").mkdir()
            with open(maker(folder, "plain"), "rb") as file:
                inspector.answer(what, file)
    for make_archive, *_ in test_archives.MAKERS.values():
        with open(make_archive(tmp_path / "a.npz"), "rb") as file:
            inspector.answer("images", file)
    for index, maker in enumerate(GREEDY.values()):
        (folder := tmp_path / f"greedy {index}").mkdir()
        with open(maker(folder, "other"), "rb") as file:
            inspector.answer("network", file)
    for index, odd in enumerate(ODD.values()):
        (folder := tmp_path / str(index)).mkdir()
        with pytest.MonkeyPatch.context() as patch:
            check_refused(odd, folder, patch)
    assert len(met) > 20 and refusals() - met == set()
