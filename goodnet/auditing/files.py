"""What an audit leaves in files, all of one run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from goodnet.auditing.auditing import Audit
from goodnet.auditing.card import render_card
from goodnet.auditing.report import render_report
from goodnet.cli import shell
from goodnet.files import alone_in, replacing
from goodnet.lab import AuditFiles
from goodnet.networks.loading import LoadedNetwork
from goodnet.networks.wrappers import arrays_with_wrappers
from goodnet.networks.writing import write_network, write_weights


def write_audit(
    found: Audit, lines: list[str], b: LoadedNetwork, made: AuditFiles, document: dict[str, Any]
) -> None:
    """Write the repaired network, the goodnet, `document` as JSON, the report and the model card.

    lines: the answer; `document` gets the SHA-256 of both networks, as `made`. Raises Unusable
    where a file cannot be written.
    """
    with alone_in(made.network.parent):  # so that all are of one run
        arrays = arrays_with_wrappers(b.in_file, b.model, found.repair.arrays)
        write_weights(b, made.network, arrays)
        write_network(found.goodnet, made.goodnet)
        document["made"] = [_fingerprint(path) for path in (made.network, made.goodnet)]
        _write(made.report, render_report(found, lines, document))
        _write(made.card, render_card(found, lines, document))
        shell.write_json(document, str(made.results))  # the last: where it is, all of it is


def _fingerprint(path: Path) -> dict[str, str]:
    with open(path, "rb") as file:
        return {"file": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
