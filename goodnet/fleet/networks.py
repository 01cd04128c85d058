"""Which networks are meant, and a folder for each: told by names and bytes, nothing is opened."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from goodnet.cli import shell
from goodnet.errors import Unusable
from goodnet.fleet.options import is_folder_of_networks
from goodnet.vetting.opening import digest_of, open_plain

SUFFIXES = (".h5", ".hdf5", ".keras")
LONGEST = 60  # characters of a network's name in that of its folder
DIGITS = (12, 64)  # of the SHA-256 in it: the first that tells all apart


@dataclass(frozen=True)
class Network:
    """A network that is to be audited: its bytes, or why they cannot be had."""

    path: Path
    sha256: str | None
    error: Unusable | None = None


def find_networks(models: Iterable[Path], inputs: Iterable[Path]) -> list[Path]:
    """The networks that are named, and those in folders that are named, each once.

    inputs: the image sets, which may lie in the same folder. Raises Unusable where there are none.
    """
    sets = set(map(os.path.realpath, inputs))
    found: dict[str, Path] = {}
    for model in models:
        listed = _list_folder(model, sets) if is_folder_of_networks(model) else [model]
        for path in listed:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _list_folder(folder: Path, sets: set[str]) -> list[Path]:
    """The networks in a folder, by name; what is passed over is told."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})", folder) from None
    kinds = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    found = [folder / name for name in names if name.lower().endswith(SUFFIXES)]
    networks = [path for path in found if os.path.realpath(path) not in sets]
    if not networks:
        raise Unusable(f"holds no networks, {kinds} files; its subfolders are not searched", folder)
    if others := len(names) - len(found):
        shell.notice(f"Passed over in {folder}: {others} that are no {kinds} files.")
    return networks


def read_networks(paths: Iterable[Path]) -> list[Network]:
    """The networks with the SHA-256 of each, or why it cannot be read."""
    return list(map(_read, paths))


def _read(path: Path) -> Network:
    try:
        shell.check_files(path, networks=[path])
        with open_plain(path) as file:
            return Network(path, digest_of(file))
    except OSError as error:
        return Network(path, None, Unusable(f"cannot be read ({error.strerror})", path))
    except Unusable as error:
        return Network(path, None, error)


def name_folders(networks: Sequence[Network]) -> list[str]:
    """A folder's name for each network: what its file is called, and the first digits of its bytes.

    So neither the place of a file nor what is audited beside it changes the name.
    """
    named = {(_stem(each.path), each.sha256 or "") for each in networks}
    short, whole = DIGITS
    digits = short if len({(stem, sha[:short]) for stem, sha in named}) == len(named) else whole
    return [f"{_stem(each.path)}-{(each.sha256 or '')[:digits]}" for each in networks]


def _stem(path: Path) -> str:
    """A file's name without its suffix, of letters, digits and signs that every system takes."""
    stem = re.sub(r"\.(weights\.)?\w+$", "", path.name)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:LONGEST].lstrip("-") or "_"
