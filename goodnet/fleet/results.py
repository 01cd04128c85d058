"""What audits left in their folders: whether it is whole and as wanted, and a row of it."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from goodnet.cli.libraries import BACKEND
from goodnet.errors import Unusable
from goodnet.fleet.networks import Network
from goodnet.lab import AuditFiles
from goodnet.version import SCHEMA_VERSION, VERSION
from goodnet.vetting.opening import digest_of, open_plain

NO_MATTER = ("fail_on", "classes")  # settings: what ends with status 1; where the list lies
RATES = {  # of a row: where audit.json has it
    "b_accuracy": ("clean_accuracy", "b"),
    "repaired_accuracy": ("clean_accuracy", "repaired"),
    "goodnet_accuracy": ("clean_accuracy", "goodnet"),
    "goodnet_rejects": ("clean_rejected", "goodnet"),
}
TRIGGERS = {"trigger_b": "b", "trigger_repaired": "repaired", "trigger_goodnet": "goodnet"}
REFUSED = {2: "unusable", 3: "unsafe"}  # exit statuses of an audit; FAILED for all others
FAILED = "failed"


@dataclass(frozen=True)
class Wanted:
    """What an audit is to be made of, its network aside."""

    image_sets: Sequence[str]  # the SHA-256 of CLEAN and of the sets that are judged on besides
    judged_on: frozenset[str]  # of clean_test and backdoored, those that are given
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Row:
    """What is told of a network."""

    network: Path
    sha256: str | None
    answer: str  # the verdict; else unusable, unsafe or failed
    status: int  # 0 where it was audited, else 2 or 3
    reason: str
    classes: Sequence[int] = ()
    rates: Mapping[str, dict | None] = field(default_factory=dict)  # of RATES and TRIGGERS
    report: Path | None = None


def refused(network: Network, error: Unusable) -> Row:
    """The row of a network that must not or cannot be audited."""
    reason = error.reason if error.path == network.path else str(error)
    answer = REFUSED[error.exit_status]
    return Row(network.path, network.sha256, answer, error.exit_status, reason)


def read_row(network: Network, made: AuditFiles, wanted: Wanted, ours: bool = True) -> Row | None:
    """The row of an audit that is there, whole and as wanted; else None.

    ours: whether it must be of the versions that are installed here.
    """
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        told = json.loads(made.results.read_bytes())
        if _is_wanted(told, network, wanted) and _is_whole(told, made):
            if not ours or _is_ours(told["versions"]):
                return _row(network, made, told)
    return None


def _is_wanted(told: dict[str, Any], network: Network, wanted: Wanted) -> bool:
    clean, *others = wanted.image_sets
    digests = [each["sha256"] for each in told["inputs"]]
    judged_on = {
        name for name in ("clean_test", "backdoored") if f"{name}_rejected" in told["measures"]
    }
    return (
        told["schema_version"] == SCHEMA_VERSION
        and digests == [clean, network.sha256, *others]
        and judged_on == wanted.judged_on
        and _that_matter(told["settings"]) == _that_matter(wanted.settings)
    )


def _that_matter(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in NO_MATTER}


def _is_whole(told: dict[str, Any], made: AuditFiles) -> bool:
    """Whether all files are there, and the networks those that were made: audit.json came last."""
    digests = []
    for path in (made.network, made.goodnet):
        with open_plain(path) as file:
            digests.append(digest_of(file))
    return (
        digests == [each["sha256"] for each in told["made"]]
        and made.report.is_file()
        and made.card.is_file()
    )


def _is_ours(versions: dict[str, str]) -> bool:
    backend = os.environ.get(BACKEND, "tensorflow")
    return (
        all(versions[name] == version for name, version in _versions().items())
        and versions["backend"] == backend
        and versions[backend] in _backend_versions(backend)
    )


@cache
def _versions() -> dict[str, str]:
    """What an audit here would say of versions, without importing what it tells of."""
    packages = {name: metadata.version(name) for name in ("keras", "numpy", "h5py")}
    return {"goodnet": VERSION, "python": platform.python_version(), **packages}


@cache
def _backend_versions(backend: str) -> set[str]:
    """Its package may have another name: tensorflow-cpu, tf-nightly."""
    names = metadata.packages_distributions().get(backend, [])
    return {metadata.version(name) for name in names}


def _row(network: Network, made: AuditFiles, told: dict[str, Any]) -> Row:
    verdict, named = told["verdict"], _named(told)
    rates = {name: told["measures"][what][which] for name, (what, which) in RATES.items()}
    for name, which in TRIGGERS.items():  # of several classes the highest
        rates[name] = max((each[which] for each in named), key=_percent, default=None)
    nothing = verdict["answer"] == "nothing found"
    reason = verdict["measured"] if nothing else "; ".join(verdict["reasons"])
    return Row(
        *(network.path, network.sha256, verdict["answer"], 0, reason),
        *(tuple(verdict["classes"]), rates, made.report),
    )


def _named(told: dict[str, Any]) -> list[dict[str, Any]]:
    """How often the triggers work that the verdict names."""
    if told["traces"] is None:
        found = [each for each in told["suspects"] if each["class"] in told["verdict"]["classes"]]
    else:
        found = [each for each in told["traces"] if each["stands_out"]]
    return [each["trigger"] for each in found if each["trigger"]["images"]]


def _percent(rate: dict[str, Any]) -> float:
    return rate["percent"]


def row_after(network: Network, made: AuditFiles, wanted: Wanted, status: int, said: str) -> Row:
    """The row of an audit that has just ended so. said: its last line on stderr."""
    if status in (0, 1) and (row := read_row(network, made, wanted, ours=False)):
        return row
    if status in REFUSED:
        return Row(network.path, network.sha256, REFUSED[status], status, said)
    why = said or "it said nothing"
    if status in (0, 1):
        why = "what it wrote is not whole, or a file was changed meanwhile"
    elif status < -1:
        why = f"it was ended by signal {-status}, as where memory is short; the last it said: {why}"
    return Row(network.path, network.sha256, FAILED, 2, why)
