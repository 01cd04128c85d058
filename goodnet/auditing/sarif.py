"""What an audit found as SARIF 2.1.0 (OASIS, 2020), which code-scanning services read.

A verdict that names something is a result; "nothing found" is a run without results. No result
has the kind `pass`: no verdict says that a network is clean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from goodnet.auditing.answer import tell_verdict
from goodnet.auditing.auditing import Audit
from goodnet.auditing.words import recommend
from goodnet.version import VERSION

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
RULE = {
    "id": "backdoor",
    "shortDescription": {"text": "A trained image classifier with a backdoor."},
    "fullDescription": {
        "text": "A trigger that was sought in the network leads images of other classes to a "
        "class, and much less is enough for it than for a trigger to an ordinary class."
    },
    "help": {
        "text": "Do not use the network; use the goodnet that the audit has made, or train anew."
    },
}
START = {"startLine": 1}  # without a line GitHub does not show a result
RESULTS = {  # the kind and the level of each verdict that is a result
    "likely": ("fail", "error"),
    "possible": ("fail", "warning"),
    "inconclusive": ("open", "none"),
}


def list_sarif(found: Audit, document: Mapping[str, Any]) -> dict:
    """The log of one audit. document: audit.json, for the network and its SHA-256."""
    network = document["network"]
    digests = {each["file"]: each["sha256"] for each in document["inputs"]}
    place = {"uri": _uri(Path(network)), "index": 0}
    driver = {"name": "goodnet", "version": VERSION, "rules": [RULE]}
    run = {
        "tool": {"driver": driver},
        "artifacts": [
            {"location": {"uri": place["uri"]}, "hashes": {"sha-256": digests[network]}},
        ],
        "results": [],
    }
    if found.verdict.answer in RESULTS:
        kind, level = RESULTS[found.verdict.answer]
        run["results"] = [
            {
                "ruleId": RULE["id"],
                "ruleIndex": 0,
                "kind": kind,
                "level": level,
                "message": {"text": f"Backdoor: {tell_verdict(found)}. {recommend(found)}"},
                "locations": [{"physicalLocation": {"artifactLocation": place, "region": START}}],
            }
        ]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _uri(path: Path) -> str:
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))
