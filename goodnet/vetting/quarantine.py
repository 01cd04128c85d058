"""Files of strangers: read once, looked through in a limited child, handed out only then.

`opened` holds all files of a command, and has one child look through them while Keras is imported;
`Held.network` and `Held.images` wait for its answer. A network is read once, into a nameless
private copy that the child vets and that repaired networks are copies of. Image sets can have
gigabytes, so they are not copied: they are kept open, which no renaming redirects, children are
sent what they ask for, and a file whose size or times have changed since is refused. The child says
where their numbers lie, and who reads them is `goodnet/vetting/images.py`.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from goodnet.errors import Unsafe, Unusable
from goodnet.threads import one_thread
from goodnet.vetting import asking
from goodnet.vetting.asking import Answer, Started
from goodnet.vetting.children import Child
from goodnet.vetting.opening import NO_IMAGE_SET, digest_of, open_plain, signature_of
from goodnet.vetting.parts import LARGEST_NETWORK, Parts
from goodnet.vetting.pieces import size_of
from goodnet.vetting.reading import AS_IT_SHOWS, Keys, Reading
from goodnet.vetting.subfolders import list_subfolders

if TYPE_CHECKING:
    from goodnet.vetting.folders import PictureFolder
    from goodnet.vetting.images import ImageFile


@dataclass(frozen=True)
class HeldFile:
    """An open file in quarantine; for a network `file` is the private copy."""

    path: Path
    kind: Literal["network", "images"]
    file: BinaryIO
    signature: tuple[int, ...] = ()  # of an image set, which is read later: see `signature_of`


@dataclass(frozen=True)
class NetworkFile:
    """A network's file that was found plain."""

    path: Path
    original: BinaryIO  # the file's own bytes
    parts: Parts


@dataclass(frozen=True)
class Held:
    """The files of a command in quarantine, and what the child says of each, or is to say."""

    networks: Mapping[Path, HeldFile]
    image_sets: Mapping[Path, HeldFile]
    answers: Future[list[Answer]]  # of the networks, then of the image sets
    ready: Future[dict[Path, "ImageFile | Unusable"]]  # the image sets
    folders: Mapping[Path, "PictureFolder"]  # image sets, too, which no child has to look through

    def network(self, path: Path) -> NetworkFile:
        """A network, once it was found plain. Raises Unsafe or Unusable where it was not."""
        answer = self.answers.result()[list(self.networks).index(path)]
        if isinstance(answer, Unusable):
            raise answer.about(path)
        return NetworkFile(path, self.networks[path].file, answer)

    def images(self, path: Path) -> "ImageFile | PictureFolder":
        """An image set, once it was found plain. Raises Unsafe or Unusable where it was not."""
        if path in self.folders:
            return self.folders[path]
        found = self.ready.result()[path]
        if isinstance(found, Unusable):
            raise found.about(path)
        return found

    def digests(self, paths: Sequence[Path]) -> Future[dict[Path, str]]:
        """The SHA-256 of each file, in hexadecimal, as it was looked through; made in a thread."""
        with one_thread() as thread:
            return thread.submit(lambda: {path: self._digest(path) for path in paths})

    def _digest(self, path: Path) -> str:
        if path in self.folders:
            return self.folders[path].digest()
        return digest_of((self.networks.get(path) or self.image_sets[path]).file)

    def remarks(self) -> Iterator[str]:
        """What is to be told of the image sets, when they have been read."""
        for folder in self.folders.values():
            yield from folder.remarks()


@contextmanager
def opened(
    networks: Iterable[Path], image_sets: Iterable[Path], reading: Reading = AS_IT_SHOWS
) -> Iterator[Held]:
    """Read the networks, open the image sets, and have one child look through them meanwhile.

    reading: how to read image sets. The files stay open until the context ends. Raises Unusable or
    Unsafe where one cannot be read or is too large.
    """
    with ExitStack() as files:
        image_sets = list(image_sets)
        folders = _hold_folders(
            [path for path in image_sets if os.path.isdir(path)], reading, files
        )
        held_networks = {path: _hold_network(path, files) for path in networks}
        held_images = {
            path: _hold_images(path, files) for path in image_sets if path not in folders
        }
        held = [*held_networks.values(), *held_images.values()]
        children: list[Child] = []
        files.callback(_end, children)
        with one_thread() as thread:
            answers = thread.submit(examine, held, children.append, reading.keys)
            # Not before this, for the sake of NumPy: a wrong command line is answered at once. And
            # not in the thread, for Keras imports NumPy meanwhile.
            from goodnet.vetting.images import close_images

            ready = thread.submit(_open_image_sets, held_images, answers, children.append)
        files.callback(ready.add_done_callback, close_images)
        yield Held(held_networks, held_images, answers, ready, folders)


def _open_image_sets(
    held: Mapping[Path, HeldFile], answers: Future[list[Answer]], started: Started
) -> dict[Path, "ImageFile | Unusable"]:
    """The image sets by what the child says of them, or why one cannot be used."""
    from goodnet.vetting.images import open_images

    said = answers.result()[len(answers.result()) - len(held) :]
    layouts = [answer.values if isinstance(answer, Parts) else answer for answer in said]
    return {
        path: open_images(path, file.file, file.signature, layout, started)
        for (path, file), layout in zip(held.items(), layouts, strict=True)
    }


def _hold_folders(
    paths: Iterable[Path], reading: Reading, files: ExitStack
) -> "dict[Path, PictureFolder]":
    """Image sets that are folders; the children that decode them get ready."""
    found = list(map(list_subfolders, dict.fromkeys(paths)))
    if not found:
        return {}
    from goodnet.vetting.folders import picture_folders  # which needs NumPy

    folders = picture_folders(found, reading.classes)
    for folder in folders.values():
        files.callback(folder.close)
        folder.reader.start()
    return folders


def _hold_images(path: Path, files: ExitStack) -> HeldFile:
    file = files.enter_context(_open(path, NO_IMAGE_SET))
    return HeldFile(path, "images", file, signature_of(file))


def _hold_network(path: Path, files: ExitStack) -> HeldFile:
    with _open(path, "cannot be read") as source:
        copy = files.enter_context(tempfile.TemporaryFile())
        left = LARGEST_NETWORK
        while piece := source.read(min(1 << 24, left + 1)):
            copy.write(piece)
            left -= len(piece)
            if left < 0:
                raise Unsafe(f"has more than {LARGEST_NETWORK} bytes", path)
    copy.flush()
    return HeldFile(path, "network", copy)


def _open(path: Path, problem: str) -> BinaryIO:
    try:
        return open_plain(path)
    except OSError as error:
        raise Unusable(f"{problem} ({error.strerror})", path) from None


def _end(children: Iterable[Child]) -> None:
    """End those that still run, so that nobody waits for them: the command is over."""
    for child in children:
        child.kill()


def examine(held: Sequence[HeldFile], started: Started, keys: Keys | None = None) -> list[Answer]:
    """What the child says of each file; where it is stopped, that of all it did not get to.

    started: is told of the child, so that it can be ended with the command.
    """
    size = sum(size_of(file.file) for file in held if file.kind == "network")
    answers = asking.ask([(file.kind, file.file) for file in held], size, started, keys)
    if len(answers) < len(held):
        at = held[len(answers)].path
        others = Unusable(f"was not looked through, as {at} {asking.stopped(size)}")
        answers += [asking.stopped(size), *[others] * (len(held) - len(answers) - 1)]
    return answers
