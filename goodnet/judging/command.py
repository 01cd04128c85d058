"""What eval.py and Geval.py do, from files in quarantine to printed lines."""

from collections.abc import Sequence
from pathlib import Path

from goodnet.cli.session import Session
from goodnet.cli.shell import notice
from goodnet.judging.judging import Judged, judge_networks
from goodnet.judging.report import print_judged, print_robust
from goodnet.memory import Limits
from goodnet.pixels import Range, Scaling


def judge_and_print(
    now: Session,
    clean: Path,
    backdoored: Path | None,
    networks: Sequence[Path],
    scale: Scaling | Range,
    limits: Limits,
) -> Judged:
    """Judge B and the repaired networks that follow it, and print what they are worth.

    Raises Unusable where a file cannot be used or a B' does not fit B.
    """
    judged = judge_networks(now.held, clean, backdoored, networks, scale, limits, now)
    if now.prints:
        print_judged(judged.networks)
        print_robust(judged.networks)
    labels = set(judged.clean.labels.tolist())
    if len(labels) == 1 and judged.n_classes > 1 and len(judged.clean) > 1:
        notice(
            f"{clean}: all {len(judged.clean)} labels are class {labels.pop()}, as in backdoored "
            "files; CLEAN comes first."
        )
    return judged
