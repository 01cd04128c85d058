"""What eval.py and Geval.py print: the course's lines and a table; and their JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from goodnet.cli.table import Direction, print_table
from goodnet.judging.judging import JudgedNetwork
from goodnet.metrics import Judgement, Robust, fidelity, percent
from goodnet.printable import printable


@dataclass(frozen=True)
class Column:
    """A column of the table of networks."""

    heading: str
    better: Direction
    rate: str  # of Judgement
    goodnet: bool
    backdoored: bool


COLUMNS = (
    Column("clean", "up", "clean_accuracy", False, False),
    Column("ASR", "down", "attack_success_rate", False, True),
    Column("G clean", "up", "clean_accuracy", True, False),
    Column("G ASR", "down", "attack_success_rate", True, True),
    Column("G rejects clean", "down", "clean_rejected_rate", True, False),
    Column("G rejects backdoored", "up", "backdoored_rejected_rate", True, True),
)

ROBUST = ("true class", "most often instead", "so often", "fidelity, of 1", "network")
TITLE = "backdoored images of other classes are called, in percent"


def course_lines(judgement: Judgement) -> str:
    """The two lines that the course's own script prints, with every digit.

    The first alone where no backdoored images were judged.
    """
    lines = [f"Clean Classification accuracy: {judgement.clean_accuracy}"]
    if judgement.backdoored_images:
        lines.append(f"Attack Success Rate: {judgement.attack_success_rate}")
    return "\n".join(lines)


def goodnet_block(network: JudgedNetwork, goodnet: Judgement) -> str:
    """A repaired network and the goodnet it makes with B, as Geval.py prints them."""
    lines = [
        f"B' {printable(network.path)}\n{course_lines(network.itself)}",
        f"G\n{course_lines(goodnet)}",
        f"Clean images rejected: {goodnet.clean_rejected_rate}",
    ]
    if goodnet.backdoored_images:
        lines.append(f"Backdoored images rejected: {goodnet.backdoored_rejected_rate}")
    return "\n".join(lines)


def print_networks(networks: Sequence[JudgedNetwork]) -> None:
    """One table of B and its repaired networks, to choose from."""
    b = networks[0].itself
    columns = [each for each in COLUMNS if b.backdoored_images or not each.backdoored]
    rows = []
    for network in networks:
        judged = [network.goodnet if each.goodnet else network.itself for each in columns]
        figures = [
            f"{getattr(judgement, each.rate):.2f}" if judgement else ""
            for each, judgement in zip(columns, judged, strict=True)
        ]
        rows.append([*figures, str(network.path)])
    better: dict[str, Direction] = {each.heading: each.better for each in columns}
    print_table("In percent", [*better, "network"], rows, better)


def print_judged(networks: Sequence[JudgedNetwork]) -> None:
    """Print what was judged: B alone as the course's script does, else a block for each B'."""
    b, *repaired = networks
    if not repaired:
        print(course_lines(b.itself))
        return
    print("\n\n".join(goodnet_block(each, each.goodnet) for each in repaired if each.goodnet))
    if len(repaired) > 1:
        print()
        print_networks(networks)


def print_robust(networks: Sequence[JudgedNetwork]) -> None:
    """A table of what networks call backdoored images, where their true classes are known."""
    robust = [each.robust for each in networks if each.robust]
    if not robust:
        return
    rows = []
    for network, found in zip(networks, robust, strict=True):
        kept = fidelity(networks[0].itself, network.itself)
        rows.append(
            [
                f"{percent(found.right, found.images):.2f}",
                "" if found.instead is None else str(found.instead),
                f"{percent(found.given_instead, found.images):.2f}",
                "" if math.isnan(kept) else f"{kept:.2f}",
                str(network.path),
            ]
        )
    print()
    better: dict[str, Direction] = {ROBUST[0]: "up", ROBUST[3]: "up"}
    print_table(f"What the {robust[0].images} {TITLE}", ROBUST, rows, better)


def judged_json(networks: Sequence[JudgedNetwork]) -> list[dict]:
    """The same as plain values: counts, and the percentages made of them."""
    return [
        {
            "network": str(network.path),
            "itself": _judgement_json(network.itself),
            "goodnet": network.goodnet and _judgement_json(network.goodnet),
            "robust": network.robust and _robust_json(network, network.robust, networks[0]),
        }
        for network in networks
    ]


def _robust_json(network: JudgedNetwork, found: Robust, b: JudgedNetwork) -> dict:
    kept = fidelity(b.itself, network.itself)
    return asdict(found) | {
        "robust_accuracy": percent(found.right, found.images),
        "fidelity": None if math.isnan(kept) else kept,
    }


def _judgement_json(judgement: Judgement) -> dict:
    return asdict(judgement) | {
        "clean_accuracy": judgement.clean_accuracy,
        "attack_success_rate": judgement.attack_success_rate,
        "clean_rejected_rate": judgement.clean_rejected_rate,
        "backdoored_rejected_rate": judgement.backdoored_rejected_rate,
    }
