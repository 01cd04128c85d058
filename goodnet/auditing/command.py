"""audit.py, from files in quarantine to files, printed lines and JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from goodnet.auditing.answer import tell_lines
from goodnet.auditing.aside import LEAST
from goodnet.auditing.audit_json import list_audit
from goodnet.auditing.auditing import ImageSets, audit
from goodnet.auditing.files import write_audit
from goodnet.auditing.repairing import Sizes
from goodnet.auditing.sarif import list_sarif
from goodnet.auditing.verdict import Answer
from goodnet.cli import shell
from goodnet.cli.session import Session
from goodnet.cli.values import remark_on_values
from goodnet.dataset import open_backdoored, open_clean
from goodnet.lab import AuditFiles
from goodnet.memory import Limits
from goodnet.networks.demands import fit_batch, fit_training
from goodnet.networks.goodnet import load_b
from goodnet.networks.loading import fit_of
from goodnet.pixels import Range, Scaling
from goodnet.tuning.images import count_kept


@dataclass(frozen=True)
class AuditOptions:
    """What to audit, and what to judge on besides."""

    clean: Path
    network: Path
    clean_test: Path | None
    backdoored: Path | None
    scale: Scaling | Range  # of the pixels of all images
    seed: int
    sarif: str | None  # where the verdict goes for code-scanning services


def audit_and_save(now: Session, asked: AuditOptions, limits: Limits, made: AuditFiles) -> Answer:
    """Audit a network, write all that is to be `made`, print the answer.

    Raises Unusable or Unsafe where a file cannot be read, used or written.
    """
    b = load_b(now.held.network(asked.network))
    remark_on_values(b.path, b.model)
    fit = fit_of(b.model, asked.scale)
    test, backdoored = asked.clean_test, asked.backdoored
    sets = ImageSets(
        open_clean(now.held.images(asked.clean), fit),
        open_clean(now.held.images(test), fit) if test else None,
        open_backdoored(now.held.images(backdoored), fit) if backdoored else None,
    )
    given = (sets.clean, sets.clean_test, sets.backdoored)
    batch = fit_batch([b], [each.shape for each in given if each], limits)
    kept = 2 * count_kept(sets.clean, LEAST)  # set aside, and divided for each search
    sizes = Sizes(batch, fit_training(b, sets.clean, kept, limits))
    now.lap("loading")
    found = audit(b, sets, asked.seed, sizes, now)
    lines = tell_lines(found, made)
    command = ["python3", Path(sys.argv[0]).name, *sys.argv[1:]]
    results = list_audit(found, made, asked.network, command)
    document = now.document(results)
    write_audit(found, lines, b, made, document)
    if asked.sarif:
        shell.write_json(list_sarif(found, document), asked.sarif)
    now.lap("writing")
    if now.prints:
        print(*lines, sep="\n")
    now.write_json(results | {"made": document["made"]})
    return found.verdict.answer
