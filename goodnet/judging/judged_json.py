"""`judged.json`, the file that carries a Record from Geval.py to plot.py.

It is read with suspicion: it may come from strangers.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.judging.record import (
    AnswerRecord,
    Counts,
    FileRecord,
    NetworkRecord,
    Record,
    rates_of,
)
from goodnet.lab import MOST_KEPT
from goodnet.metrics import Judgement, Robust, percent, wilson_interval
from goodnet.printable import printable


def write_record(path: Path, record: Record) -> None:
    """Write `judged.json`, with rates in percent and their 95 % Wilson intervals added.

    Raises Unusable where that cannot be done.
    """
    content = {
        "n_classes": record.n_classes,
        "clean": asdict(record.clean),
        "backdoored": record.backdoored and asdict(record.backdoored),
        "targets": record.targets,
        "networks": [
            {
                "file": asdict(network.file),
                "itself": _answers_json(network.itself),
                "goodnet": network.goodnet and _answers_json(network.goodnet),
                "robust": network.robust and asdict(network.robust),
            }
            for network in record.networks
        ],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def _answers_json(answers: AnswerRecord) -> dict:
    rates: dict[str, float | tuple[float, float]] = {}
    for name, rate in rates_of(answers.judgement).items():
        rates[name] = percent(rate.count, rate.images)
        rates[f"{name}_interval"] = wilson_interval(rate.count, rate.images)
    return {
        **asdict(answers.judgement),
        **rates,
        "clean_answers": answers.clean_answers,
        "backdoored_answers": answers.backdoored_answers,
    }


def read_record(path: Path) -> Record:
    """Read `judged.json`. Raises Unusable, which names the entry, where it is none.

    Rates and intervals are not read but made anew from the counts.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(f"cannot be read ({reason})", path) from None
    except (ValueError, RecursionError) as error:
        raise Unusable(f"is not JSON ({str(error) or 'too deep'})", path) from None
    try:
        networks = _get(content, "networks", list)
        if len(networks) > MOST_KEPT:
            raise ValueError(
                f"it holds {len(networks)} networks, and {MOST_KEPT} at most are drawn"
            )
        n_classes = _count(content, "n_classes")
        backdoored = _get(content, "backdoored", (dict, type(None)))
        record = Record(
            n_classes,
            _file(_get(content, "clean", dict)),
            None if backdoored is None else _file(backdoored),
            _counts(content, "targets", n_classes),
            tuple(_network(network, n_classes) for network in networks),
        )
        _check(record)
    except ValueError as error:
        raise Unusable(f"is no judged.json that Geval.py wrote: {error}", path) from None
    return record


def _network(network: object, n_classes: int) -> NetworkRecord:
    goodnet = _get(network, "goodnet", (dict, type(None)))
    return NetworkRecord(
        _file(_get(network, "file", dict)),
        _answers(_get(network, "itself", dict), n_classes),
        _answers(goodnet, n_classes) if goodnet else None,
        _robust(network, n_classes),
    )


def _robust(network: object, n_classes: int) -> Robust | None:
    """None in files of earlier versions, too."""
    if not isinstance(network, dict) or network.get("robust") is None:
        return None
    content = _get(network, "robust", dict)
    images, right, given = (_count(content, name) for name in ("images", "right", "given_instead"))
    instead = None if content.get("instead") is None else _count(content, "instead")
    fits = (instead is None) == (given == 0) and (instead or 0) < n_classes
    if not fits or not images or right + given > images:
        raise ValueError("its counts of robust images do not add up")
    return Robust(images, right, instead, given)


def _answers(content: dict, n_classes: int) -> AnswerRecord:
    names = Judgement.__dataclass_fields__
    judgement = Judgement(**{name: _count(content, name) for name in names})
    record = AnswerRecord(
        judgement,
        _counts(content, "clean_answers", n_classes),
        _counts(content, "backdoored_answers", n_classes),
    )
    by_class = {"clean": record.clean_answers, "backdoored": record.backdoored_answers}
    for kind, answers in by_class.items():
        images, hits, rejected = (
            getattr(judgement, f"{kind}_{name}") for name in ("images", "hits", "rejected")
        )
        if sum(answers.values()) != images or hits + rejected > images:
            raise ValueError(f"its counts of {kind} images do not add up")
        if answers.get(n_classes, 0) != rejected:
            raise ValueError(f"its rejected {kind} images are not the answers {n_classes}")
    return record


def _check(record: Record) -> None:
    if not record.networks:
        raise ValueError("it holds no network")
    b, *repaired = record.networks
    if b.goodnet or not all(network.goodnet for network in repaired):
        raise ValueError("every network but the first must have a goodnet")
    sets = {
        (answers.judgement.clean_images, answers.judgement.backdoored_images)
        for network in record.networks
        for answers in (network.itself, network.goodnet)
        if answers
    }
    clean, backdoored = next(iter(sets))
    if len(sets) != 1 or sum(record.targets.values()) != backdoored:
        raise ValueError("its networks were not judged on the same images")
    if not clean or bool(backdoored) != bool(record.backdoored):
        raise ValueError("its counts are of no images")


def _file(content: dict) -> FileRecord:
    digest = _get(content, "sha256", str)
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError(f"sha256 is {digest[:80]!r}, not 64 hexadecimal digits")
    return FileRecord(printable(_get(content, "name", str)), _count(content, "bytes"), digest)


def _counts(content: object, name: str, n_classes: int) -> Counts:
    raw = _get(content, name, dict)
    for key in raw:
        if not (key.isdecimal() and len(key) < 10 and int(key) <= n_classes):
            raise ValueError(f"{name} must count the classes 0..{n_classes}, not {key[:80]!r}")
    return {int(key): _count(raw, key) for key in raw}


def _count(content: object, name: str) -> int:
    value = _get(content, name, int)
    if isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{name} is {value!r}, not a count")
    return value


def _get(content: object, name: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(content, dict) or name not in content:
        raise ValueError(f"it has no {name}")
    if not isinstance(content[name], kind):
        raise ValueError(f"{name} is not what it should be")
    return content[name]
