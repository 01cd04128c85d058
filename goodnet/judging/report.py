"""What eval.py and Geval.py print: the course's lines and a table; and their JSON."""

from collections.abc import Sequence
from dataclasses import asdict

from goodnet.cli.table import print_table
from goodnet.judging.judging import Verdict
from goodnet.metrics import Judgement


def course_lines(judgement: Judgement) -> str:
    """The two lines that the course's own script prints, with every digit."""
    return (
        f"Clean Classification accuracy: {judgement.clean_accuracy}\n"
        f"Attack Success Rate: {judgement.attack_success_rate}"
    )


def goodnet_block(verdict: Verdict) -> str:
    """A repaired network and the goodnet it makes with B, as Geval.py prints them."""
    return (
        f"B' {verdict.path}\n{course_lines(verdict.itself)}\n"
        f"G\n{course_lines(verdict.goodnet)}\n"
        f"Clean images rejected: {verdict.goodnet.clean_rejected_rate}\n"
        f"Backdoored images rejected: {verdict.goodnet.backdoored_rejected_rate}"
    )


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """One table of B and its repaired networks, to choose from."""
    rows = []
    for verdict in verdicts:
        rates = [verdict.itself.clean_accuracy, verdict.itself.attack_success_rate]
        if verdict.goodnet:
            rates += [
                verdict.goodnet.clean_accuracy,
                verdict.goodnet.attack_success_rate,
                verdict.goodnet.clean_rejected_rate,
                verdict.goodnet.backdoored_rejected_rate,
            ]
        figures = [f"{rate:.2f}" for rate in rates] + [""] * (6 - len(rates))
        rows.append([*figures, str(verdict.path)])
    better = {
        "clean": "up",
        "ASR": "down",
        "G clean": "up",
        "G ASR": "down",
        "G rejects clean": "down",
        "G rejects backdoored": "up",
    }
    print_table("In percent", [*better, "network"], rows, better)


def print_judged(verdicts: Sequence[Verdict]) -> None:
    """Print what was judged: B alone as the course's script does, else a block for each B'."""
    b, *repaired = verdicts
    if not repaired:
        print(course_lines(b.itself))
        return
    print("\n\n".join(goodnet_block(verdict) for verdict in repaired))
    if len(repaired) > 1:
        print()
        print_verdicts(verdicts)


def verdicts_json(verdicts: Sequence[Verdict]) -> list[dict]:
    """The verdicts as plain values: counts, and the percentages made of them."""
    return [
        {
            "network": str(verdict.path),
            "itself": _judgement_json(verdict.itself),
            "goodnet": verdict.goodnet and _judgement_json(verdict.goodnet),
        }
        for verdict in verdicts
    ]


def _judgement_json(judgement: Judgement) -> dict:
    return asdict(judgement) | {
        "clean_accuracy": judgement.clean_accuracy,
        "attack_success_rate": judgement.attack_success_rate,
        "clean_rejected_rate": judgement.clean_rejected_rate,
        "backdoored_rejected_rate": judgement.backdoored_rejected_rate,
    }
