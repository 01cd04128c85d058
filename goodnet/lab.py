"""Where a lab's files are: the network under suspicion and the four image sets."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.methods import METHODS, Method

NETWORKS = ("models/bd_net.h5", "models/bd_weights.h5")
LAYOUTS = (
    {
        "clean_valid": "data/cl/valid.h5",
        "clean_test": "data/cl/test.h5",
        "backdoored_test": "data/bd/bd_test.h5",
    },
    {
        "clean_valid": "data/valid.h5",
        "clean_test": "data/test.h5",
        "backdoored_test": "data/bd_test.h5",
    },
)


@dataclass(frozen=True)
class Lab:
    """The files of a lab; `clean_test` and `backdoored_test` are None where they are not there."""

    root: Path
    network: Path
    clean_valid: Path
    clean_test: Path | None
    backdoored_test: Path | None


def find_lab(folder: Path) -> Lab:
    """The lab in `folder`, in either layout of `data/`.

    Raises Unusable where it lacks the network or the clean validation set.
    """
    if missing := missing_files(folder):
        raise Unusable(f"is no lab, it lacks {' and '.join(missing)}", folder)
    network = next(folder / name for name in NETWORKS if (folder / name).is_file())
    files = _image_sets(folder)
    tests = {role: file if file.is_file() else None for role, file in files.items()}
    return Lab(folder, network, files["clean_valid"], tests["clean_test"], tests["backdoored_test"])


def missing_files(folder: Path) -> list[str]:
    """What `folder` lacks to be a lab: the network, the clean validation set, both or nothing."""
    missing = [] if any((folder / name).is_file() for name in NETWORKS) else [NETWORKS[0]]
    clean_valid = _image_sets(folder)["clean_valid"]
    return missing if clean_valid.is_file() else [*missing, str(clean_valid.relative_to(folder))]


def _image_sets(folder: Path) -> dict[str, Path]:
    """The image sets' paths in the layout of which more files are there."""
    layouts = [{role: folder / name for role, name in layout.items()} for layout in LAYOUTS]
    return max(layouts, key=lambda files: sum(file.is_file() for file in files.values()))


def other_layout(path: Path) -> Path | None:
    """Where an image set that is not there lies in the other layout of `data/`, if it does."""
    folder = path.parent
    flat = [folder.parent] if folder.name in ("cl", "bd") else []
    places = [place / path.name for place in (folder / "cl", folder / "bd", *flat)]
    return next((place for place in places if place.is_file()), None)


def repaired_path(network: Path, drop: Fraction, out: Path) -> Path:
    """Where the network that is repaired at a drop of X points is saved: B_pi_net_<X/100>."""
    return out / f"B_pi_net_{_share(drop)}{_suffix(network)}"


def tuned_path(network: Path, method: Method, out: Path) -> Path:
    """Where the network that `method` makes is saved."""
    return out / f"{method.stem}{_suffix(network)}"


@dataclass(frozen=True)
class TunedFiles:
    """Where a method that trains writes what it makes."""

    network: Path
    pictures: Path | None  # a folder

    @property
    def all(self) -> list[Path]:
        return [self.network]

    @property
    def folders(self) -> list[Path]:
        """Folders of its own that are there already."""
        there = self.pictures and (self.pictures.exists() or self.pictures.is_symlink())
        return [self.pictures] if self.pictures and there else []


def tuned_files(network: Path, method: Method, out: Path) -> TunedFiles:
    """Where `method` writes in the folder `out`."""
    pictures = out / method.pictures.folder if method.pictures else None
    return TunedFiles(tuned_path(network, method, out), pictures)


def goodnet_path(drop: Fraction, out: Path) -> Path:
    """Where the goodnet of B and the network repaired at a drop of X points is saved."""
    return out / f"G_{_share(drop)}.keras"


@dataclass(frozen=True)
class PrunedFiles:
    """Where pruning writes what it makes."""

    networks: dict[Fraction, Path]  # for each drop X
    goodnets: dict[Fraction, Path]
    curve: Path
    channels: Path

    @property
    def all(self) -> list[Path]:
        return [self.curve, self.channels, *self.networks.values(), *self.goodnets.values()]

    @property
    def folders(self) -> list[Path]:
        """Folders of its own that are there already: it has none."""
        return []


def pruned_files(
    network: Path, drops: Iterable[Fraction], goodnets: bool, out: Path
) -> PrunedFiles:
    """Where pruning at these drops writes in the folder `out`, with a goodnet for each or none."""
    return PrunedFiles(
        {drop: repaired_path(network, drop, out) for drop in drops},
        {drop: goodnet_path(drop, out) for drop in drops if goodnets},
        out / "pruning.csv",
        out / "channels.csv",
    )


@dataclass(frozen=True)
class AuditFiles:
    """Where an audit writes what it finds and makes."""

    network: Path
    goodnet: Path
    results: Path
    report: Path
    card: Path

    @property
    def all(self) -> list[Path]:
        return [self.network, self.goodnet, self.results, self.report, self.card]


def audit_files(network: Path, out: Path) -> AuditFiles:
    """Where an audit of this network writes in the folder `out`."""
    return AuditFiles(
        out / f"B_repaired{_suffix(network)}",
        out / "G.keras",
        out / "audit.json",
        out / "report.html",
        out / "MODEL_CARD.md",
    )


MOST_KEPT = 200  # networks in judged.json: more can neither be drawn nor read


@dataclass(frozen=True)
class KeptFiles:
    """Where Geval.py keeps what plot.py draws."""

    judged: Path
    samples: Path

    @property
    def all(self) -> list[Path]:
        return [self.judged, self.samples]


def kept_files(folder: Path) -> KeptFiles:
    """Where Geval.py keeps what plot.py draws, in this folder."""
    return KeptFiles(folder / "judged.json", folder / "samples.png")


def _share(drop: Fraction) -> str:
    return format(Decimal(drop.numerator) / drop.denominator / 100, "f")


def repaired_networks(network: Path) -> list[Path]:
    """The repaired networks beside B: the pruned ones by increasing X, then the trained ones."""
    found: dict[Path, float] = {}
    for path in network.parent.glob("B_pi_net_*"):
        match = re.fullmatch(r"B_pi_net_(\d+(?:\.\d+)?)(\.weights\.h5|\.[a-z]\w*)", path.name)
        if match:
            found[path] = float(match[1])
    trained = [tuned_path(network, method, network.parent) for method in METHODS.values()]
    return [*sorted(found, key=found.__getitem__), *(path for path in trained if path.is_file())]


def _suffix(network: Path) -> str:
    return ".weights.h5" if network.name.endswith(".weights.h5") else network.suffix
