"""What eval.py and Geval.py print: the course's lines and a table; and their JSON."""

from collections.abc import Sequence
from dataclasses import asdict

from goodnet.cli.table import Direction, print_table
from goodnet.judging.judging import JudgedNetwork
from goodnet.metrics import Judgement
from goodnet.printable import printable


def course_lines(judgement: Judgement) -> str:
    """The two lines that the course's own script prints, with every digit."""
    return (
        f"Clean Classification accuracy: {judgement.clean_accuracy}\n"
        f"Attack Success Rate: {judgement.attack_success_rate}"
    )


def goodnet_block(network: JudgedNetwork, goodnet: Judgement) -> str:
    """A repaired network and the goodnet it makes with B, as Geval.py prints them."""
    return (
        f"B' {printable(network.path)}\n{course_lines(network.itself)}\n"
        f"G\n{course_lines(goodnet)}\n"
        f"Clean images rejected: {goodnet.clean_rejected_rate}\n"
        f"Backdoored images rejected: {goodnet.backdoored_rejected_rate}"
    )


def print_networks(networks: Sequence[JudgedNetwork]) -> None:
    """One table of B and its repaired networks, to choose from."""
    rows = []
    for network in networks:
        rates = [network.itself.clean_accuracy, network.itself.attack_success_rate]
        if network.goodnet:
            rates += [
                network.goodnet.clean_accuracy,
                network.goodnet.attack_success_rate,
                network.goodnet.clean_rejected_rate,
                network.goodnet.backdoored_rejected_rate,
            ]
        figures = [f"{rate:.2f}" for rate in rates] + [""] * (6 - len(rates))
        rows.append([*figures, str(network.path)])
    better: dict[str, Direction] = {
        "clean": "up",
        "ASR": "down",
        "G clean": "up",
        "G ASR": "down",
        "G rejects clean": "down",
        "G rejects backdoored": "up",
    }
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


def judged_json(networks: Sequence[JudgedNetwork]) -> list[dict]:
    """The same as plain values: counts, and the percentages made of them."""
    return [
        {
            "network": str(network.path),
            "itself": _judgement_json(network.itself),
            "goodnet": network.goodnet and _judgement_json(network.goodnet),
        }
        for network in networks
    ]


def _judgement_json(judgement: Judgement) -> dict:
    return asdict(judgement) | {
        "clean_accuracy": judgement.clean_accuracy,
        "attack_success_rate": judgement.attack_success_rate,
        "clean_rejected_rate": judgement.clean_rejected_rate,
        "backdoored_rejected_rate": judgement.backdoored_rejected_rate,
    }
