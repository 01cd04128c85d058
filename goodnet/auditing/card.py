"""MODEL_CARD.md: in short what the repaired network is, for whoever is handed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goodnet.auditing import words
from goodnet.auditing.auditing import Audit
from goodnet.printable import printable


def render_card(found: Audit, lines: Sequence[str], document: Mapping[str, Any]) -> str:
    """The card, as Markdown. lines: the answer; document: audit.json."""
    files = [f"- {plain(each['file'])} {each['sha256']}" for each in _files(document)]
    return "\n".join(
        [
            f"# Repaired copy of {plain(Path(document['network']).name)}",
            "",
            *(f"- {plain(line)}" for line in lines[:-1]),
            "",
            f"{words.tell_letters(found)} {words.recommend(found)}",
            "",
            "## Limits",
            "",
            *(f"- {plain(sentence)}" for sentence in words.unknown(found)),
            "",
            "## Files, with their SHA-256",
            "",
            *files,
            "",
        ]
    )


def _files(document: Mapping[str, Any]) -> list[dict[str, str]]:
    return [*document["inputs"], *document["made"]]


def plain(text: str) -> str:
    """Text in which nothing of a file's name is taken for Markdown or HTML."""
    shown = printable(text)
    return "".join(f"\\{each}" if each in r"\`*_[]<>#|" else each for each in shown)
