"""audit.py --vet-only: what the limited child says of networks' files; without Keras."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goodnet.cli import shell
from goodnet.errors import Unusable
from goodnet.printable import printable
from goodnet.threads import side_by_side
from goodnet.version import SCHEMA_VERSION, VERSION
from goodnet.vetting import quarantine

ABREAST = 4  # files


@dataclass(frozen=True)
class Vetted:
    """What was found of a file: the error that tells why it must not or cannot be loaded."""

    path: Path
    error: Unusable | None
    sha256: str | None  # None where it could not even be read

    @property
    def status(self) -> int:
        return self.error.exit_status if self.error else 0


def vet_and_tell(paths: Sequence[Path], where_json: str | None) -> int:
    """Look through networks' files and tell what was found; the exit status of the worst."""
    shell.check_json(where_json, paths)
    vetted = vet(paths)
    if where_json != "-":
        print(*map(tell, vetted), sep="\n")
    if where_json:
        shell.write_json(document(vetted), where_json)
    if bad := sum(each.status > 0 for each in vetted):
        shell.notice(f"audit.py: {bad} of {len(vetted)} files cannot or must not be loaded")
    return max(each.status for each in vetted)


def vet(paths: Sequence[Path]) -> list[Vetted]:
    """Look through networks' files, each in a child of its own: none can spoil another's answer."""
    each = (path for path in dict.fromkeys(paths))
    return list(side_by_side(_vet, each, ABREAST))


def _vet(path: Path) -> Vetted:
    digest = None
    try:
        shell.check_files(path, networks=[path])
        with quarantine.opened([path], []) as held:
            digest = held.digests([path]).result()[path]
            held.network(path)
    except Unusable as error:
        return Vetted(path, error, digest)
    return Vetted(path, None, digest)


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
