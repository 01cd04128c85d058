"""An audit as plain values, for audit.json; docs/json-schema.json has its JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from goodnet.auditing.auditing import Audit, Traced
from goodnet.auditing.rates import NETWORKS, Measure
from goodnet.auditing.triggers import Trigger
from goodnet.lab import AuditFiles
from goodnet.metrics import percent, wilson_interval
from goodnet.tuning.naming import LIKELY, LIKELY_TOGETHER, POSSIBLE, Limits
from goodnet.tuning.report import list_trace
from goodnet.tuning.suspects import Sighting, Sounding, likely, possible


def list_audit(found: Audit, made: AuditFiles, network: Path, command: Sequence[str]) -> dict:
    """All that was found; rates in percent with their 95 % Wilson intervals.

    command: what to type for it to be done again.
    """
    return {
        "network": str(network),
        "command": list(command),
        "verdict": {
            "answer": found.verdict.answer,
            "classes": found.verdict.classes,
            "reasons": found.verdict.reasons,
            "measured": found.measured,
            "probability": found.probability,
        },
        "limits": {
            "likely": _finite(LIKELY),
            "likely_together": _finite(LIKELY_TOGETHER),
            "possible": _finite(POSSIBLE),
        },
        "method": found.repair.method,
        "goodnet_aimed_at": found.aimed_at,
        "traces": None if found.traced is None else list(map(_trace, found.traced)),
        "images": {"worked_on": found.worked_on, "judged_on": found.judged_on},
        "searches": [_search(each) for each in found.soundings],
        "together": [_sighting(each) for each in found.together],
        "ordinary_patch": found.repair.ordinary * 100,
        "unfinished": found.repair.unfinished,
        "cycles": found.repair.cycles,
        "suspects": [
            {
                "class": suspect.label,
                "patch": suspect.size * 100,
                "patch_at_last": suspect.size_at_last * 100,
                "trigger": _trigger(trigger),
            }
            for suspect, trigger in zip(found.repair.suspects, found.triggers, strict=True)
        ],
        "measures": {each.name: _measure(each) for each in found.measures},
        "files": {
            "repaired": str(made.network),
            "goodnet": str(made.goodnet),
            "report": str(made.report),
            "model_card": str(made.card),
        },
    }


def _trace(each: Traced) -> dict:
    found = {"stands_out": each.trace.possible, "trigger": _trigger(each.trigger)}
    return list_trace(each.trace) | found


def _search(sounding: Sounding) -> dict:
    return {
        "likely": likely(sounding),
        "possible": possible(sounding),
        "suspects": [_sighting(each) for each in sounding],
    }


def _sighting(each: Sighting) -> dict:
    return {
        "class": each.label,
        "score": each.score,
        "lead": each.lead,
        "resistance": each.resistance,
    }


def _finite(limits: Limits) -> dict:
    return {name: value for name, value in asdict(limits).items() if value != float("inf")}


def _measure(each: Measure) -> dict:
    return {"images": each.images} | {
        name: rate(getattr(each, name), each.images) for name in NETWORKS
    }


def _trigger(each: Trigger) -> dict:
    counts = {name: rate(getattr(each, name), each.images) for name in NETWORKS}
    return {"images": each.images, **counts, "rejected": rate(each.rejected, each.images)}


def rate(count: int | None, images: int) -> dict | None:
    """A count of images, in percent too, with its interval; None where it has no meaning."""
    if count is None or not images:
        return None
    return {
        "count": count,
        "percent": percent(count, images),
        "interval": list(wilson_interval(count, images)),
    }
