"""audit.py --vet-only: what the limited child says of networks' files; without Keras."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.printable import printable
from goodnet.version import SCHEMA_VERSION, VERSION
from goodnet.vetting import quarantine


@dataclass(frozen=True)
class Vetted:
    """What was found of a file: the error that tells why it must not or cannot be loaded."""

    path: Path
    error: Unusable | None
    sha256: str

    @property
    def status(self) -> int:
        return self.error.exit_status if self.error else 0


def vet(paths: Sequence[Path]) -> list[Vetted]:
    """Look through networks' files, each once. Raises Unusable where one cannot be read."""
    paths = list(dict.fromkeys(paths))
    with quarantine.opened(paths, []) as held:
        hashing: Future[dict[Path, str]] = held.digests(paths)
        errors = [_error(held, path) for path in paths]
        digests = hashing.result()
    return [Vetted(*each, digests[each[0]]) for each in zip(paths, errors, strict=True)]


def _error(held: quarantine.Held, path: Path) -> Unusable | None:
    try:
        held.network(path)
    except Unusable as error:
        return error
    return None


def tell(each: Vetted) -> str:
    """The line that says it; a file that passes is not called harmless."""
    if each.error:
        return str(each.error)
    return f"{printable(each.path)}: plain layers and numbers, which Keras may load"


def document(vetted: Sequence[Vetted]) -> dict:
    """The same as plain values, for JSON."""
    words = {0: "plain", 2: "unusable", 3: "unsafe"}
    files = [
        {
            "file": str(each.path),
            "sha256": each.sha256,
            "answer": words[each.status],
            "reason": each.error.reason if each.error else None,
        }
        for each in vetted
    ]
    return {"schema_version": SCHEMA_VERSION, "goodnet": VERSION, "files": files}
