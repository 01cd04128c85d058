"""Files that people take for a network or an image set: told by their first bytes, and named.

What to do about each stands in one table. Nothing is unpacked here, and no more than the first 520
bytes are looked at: what is none of these is looked through by the limited child.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from goodnet.errors import Unusable

NEEDED = "needed is a Keras network (.h5 or .keras)"
SAVE = f"{NEEDED}: load it where it was made and save it with model.save('b.keras')"
PLAIN_FOLDER = "is a folder, not a file"
CONVERT = f"{NEEDED}, which others can only be converted to"
TORCH_ENTRIES = ("data.pkl", "constants.pkl", "version", ".format_version", "byteorder")
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True)
class Foreign:
    """A kind of file that is no network of Keras, and often no image set either."""

    is_it: Callable[[bytes, str], bool]  # of its first bytes and its name
    what: str  # "is …; and what would be right"
    ever: bool = False  # whether it is no image set either


def _starts(*starts: bytes) -> Callable[[bytes, str], bool]:
    return lambda start, name: start.startswith(starts)


def _first_entry(start: bytes) -> str:
    """The name of the first entry of a zip archive, or nothing."""
    length = int.from_bytes(start[26:28], "little") if start.startswith(b"PK\x03\x04") else 0
    return start[30 : 30 + length].decode("utf-8", "replace")


def _holds(*ends: str) -> Callable[[bytes, str], bool]:
    return lambda start, name: _first_entry(start).endswith(ends)


def _is_torch(start: bytes, name: str) -> bool:
    folder, _, entry = _first_entry(start).rpartition("/")
    return bool(folder) and (entry in TORCH_ENTRIES or folder.endswith("/data"))


def _is_page(start: bytes, name: str) -> bool:
    return start.lstrip().lower().startswith((b"<!doctype", b"<html"))


def _protobuf(*suffixes: str) -> Callable[[bytes, str], bool]:
    """Messages of protobuf have no mark of their own, so that the suffix has to tell them apart."""
    return lambda start, name: start[0] in b"\x08\x0a" and name.lower().endswith(suffixes)


FOREIGN = (
    Foreign(
        _starts(b"version https://git-lfs"),
        "only stands for the file; fetch that with git lfs pull",
        ever=True,
    ),
    Foreign(_is_page, "is a web page, not the file; download the file itself", ever=True),
    Foreign(
        _starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf'\x1c", b"Rar!"),
        "is packed; unpack it first",
        ever=True,
    ),
    Foreign(
        _holds(".h5", ".hdf5", ".keras"),
        "is a zip archive with the file in it; unpack it first",
        ever=True,
    ),
    Foreign(_is_torch, f"is a PyTorch file; {CONVERT}"),
    Foreign(_starts(OLD_TORCH), f"is a PyTorch file; {CONVERT}"),
    Foreign(_holds(".npy"), f"is a NumPy archive; {NEEDED}"),
    Foreign(_starts(b"\x93NUMPY"), f"is a NumPy array; {NEEDED}"),
    Foreign(lambda start, name: start[4:8] == b"TFL3", f"is a TensorFlow Lite file; {CONVERT}"),
    Foreign(lambda start, name: start[8:10] == b'{"', f"is a safetensors file; {CONVERT}"),
    Foreign(_protobuf(".onnx"), f"is an ONNX file; {CONVERT}"),
    Foreign(_protobuf(".pb"), f"is a graph of TensorFlow, as in a SavedModel folder; {SAVE}"),
    Foreign(
        _starts(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        f"is a Python pickle, which may run anything when it is read; {SAVE}",
    ),
    Foreign(_starts(b"model_checkpoint_path"), f"is of a TensorFlow checkpoint; {SAVE}"),
    Foreign(
        lambda start, name: start.lstrip().startswith((b"{", b"[")),
        f"is JSON, a network's plan at best, without its weights; {SAVE}",
    ),
    Foreign(_starts(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM"), f"is a picture; {NEEDED}"),
)


def refuse_foreign(path: Path, start: bytes, network: bool) -> None:
    """Raise Unusable, which says what to do, where a file's first bytes are of another program.

    network: whether it is to be a network; else it is to be an image set.
    """
    if start[512:] == b"\x89HDF\r\n\x1a\n":  # HDF5, behind a block of the user's own
        return
    for kind in FOREIGN:
        if (network or kind.ever) and kind.is_it(start, path.name):
            raise Unusable(kind.what, path)


def describe_folder(path: Path) -> str:
    """What is wrong with a folder in a file's place."""
    if (path / "saved_model.pb").is_file():
        return f"is a SavedModel folder, not a file; {SAVE}"
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        return "is an unpacked .keras file; name the .keras file itself"
    return PLAIN_FOLDER
