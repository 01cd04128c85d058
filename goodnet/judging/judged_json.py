"""`judged.json`: what Geval.py found, for plot.py: counts, intervals, answers by class, SHA-256.

It is read with suspicion: it may come from strangers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.metrics import Judgement, wilson_interval

if TYPE_CHECKING:  # it imports Keras, which plot.py does without
    from goodnet.judging.judging import Answers, Judged

RATES = {
    "clean_accuracy": ("clean_hits", "clean_images"),
    "attack_success_rate": ("backdoored_hits", "backdoored_images"),
    "clean_rejected_rate": ("clean_rejected", "clean_images"),
    "backdoored_rejected_rate": ("backdoored_rejected", "backdoored_images"),
}
Counts = dict[int, int]  # class -> images


@dataclass(frozen=True)
class InputFile:
    """A file that was judged, or judged on."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Answered:
    """What a network, or a goodnet, answered: counts of images, in all and by class."""

    judgement: Judgement
    clean_answers: Counts
    backdoored_answers: Counts


@dataclass(frozen=True)
class JudgedNetwork:
    """B or a repaired network, and the goodnet that the latter makes with B."""

    file: InputFile
    itself: Answered
    goodnet: Answered | None


@dataclass(frozen=True)
class JudgedFiles:
    """The content of `judged.json`."""

    n_classes: int
    clean: InputFile
    backdoored: InputFile
    targets: Counts  # the labels of the backdoored images
    networks: tuple[JudgedNetwork, ...]  # B first


def judged_files(judged: "Judged", digests: Mapping[Path, str]) -> JudgedFiles:
    """What `judged.json` holds of what was judged. `digests`: the SHA-256 of each file."""

    def entry(path: Path) -> InputFile:
        return InputFile(str(path), path.stat().st_size, digests[path])

    return JudgedFiles(
        judged.n_classes,
        entry(judged.clean.path),
        entry(judged.backdoored.path),
        counts(judged.backdoored.labels),
        tuple(
            JudgedNetwork(
                entry(network.path),
                _counted(network.itself, network.answers),
                _counted(network.goodnet, network.goodnet_answers)
                if network.goodnet and network.goodnet_answers
                else None,
            )
            for network in judged.networks
        ),
    )


def _counted(judgement: Judgement, answers: "Answers") -> Answered:
    return Answered(judgement, counts(answers.clean), counts(answers.backdoored))


def counts(answers: np.ndarray) -> Counts:
    """How many images were given each class, by class; classes that none was given are absent."""
    classes, images = np.unique(answers, return_counts=True)
    return dict(zip(classes.tolist(), images.tolist(), strict=True))


def write_judged(path: Path, judged: JudgedFiles) -> None:
    """Write `judged.json`, with rates in percent and their 95 % Wilson intervals added.

    Raises Unusable where that cannot be done.
    """
    content = {
        "n_classes": judged.n_classes,
        "clean": asdict(judged.clean),
        "backdoored": asdict(judged.backdoored),
        "targets": judged.targets,
        "networks": [
            {
                "file": asdict(network.file),
                "itself": _answered_json(network.itself),
                "goodnet": network.goodnet and _answered_json(network.goodnet),
            }
            for network in judged.networks
        ],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def _answered_json(answered: Answered) -> dict:
    judgement = answered.judgement
    rates = {}
    for name, (count, images) in RATES.items():
        rates[name] = getattr(judgement, name)
        interval = wilson_interval(getattr(judgement, count), getattr(judgement, images))
        rates[f"{name}_interval"] = interval
    return {
        **asdict(judgement),
        **rates,
        "clean_answers": answered.clean_answers,
        "backdoored_answers": answered.backdoored_answers,
    }


def read_judged(path: Path) -> JudgedFiles:
    """Read `judged.json`. Raises Unusable, which names the entry, where it is none.

    Rates and intervals are not read but made anew from the counts.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unusable(
            f"{path}: cannot be read ({(error.strerror or str(error)).lower()})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{path}: is not JSON ({str(error) or 'too deep'})") from None
    try:
        networks = _get(content, "networks", list)
        n_classes = _count(content, "n_classes")
        judged = JudgedFiles(
            n_classes,
            _input_file(_get(content, "clean", dict)),
            _input_file(_get(content, "backdoored", dict)),
            _counts(content, "targets", n_classes),
            tuple(_network(network, n_classes) for network in networks),
        )
        _check(judged)
    except ValueError as error:
        raise Unusable(f"{path}: is no judged.json that Geval.py wrote: {error}") from None
    return judged


def _network(network: object, n_classes: int) -> JudgedNetwork:
    goodnet = _get(network, "goodnet", dict | None)
    return JudgedNetwork(
        _input_file(_get(network, "file", dict)),
        _answered(_get(network, "itself", dict), n_classes),
        goodnet and _answered(goodnet, n_classes),
    )


def _answered(content: dict, n_classes: int) -> Answered:
    names = Judgement.__dataclass_fields__
    judgement = Judgement(**{name: _count(content, name) for name in names})
    answered = Answered(
        judgement,
        _counts(content, "clean_answers", n_classes),
        _counts(content, "backdoored_answers", n_classes),
    )
    for kind, answers in (
        ("clean", answered.clean_answers),
        ("backdoored", answered.backdoored_answers),
    ):
        images, hits, rejected = (
            getattr(judgement, f"{kind}_{name}") for name in ("images", "hits", "rejected")
        )
        if not images or sum(answers.values()) != images or hits + rejected > images:
            raise ValueError(f"its counts of {kind} images do not add up")
        if answers.get(n_classes, 0) != rejected:
            raise ValueError(f"its rejected {kind} images are not the answers {n_classes}")
    return answered


def _check(judged: JudgedFiles) -> None:
    if not judged.networks:
        raise ValueError("it holds no network")
    b, *repaired = judged.networks
    if b.goodnet or not all(network.goodnet for network in repaired):
        raise ValueError("every network but the first must have a goodnet")
    sets = {
        (answered.judgement.clean_images, answered.judgement.backdoored_images)
        for network in judged.networks
        for answered in (network.itself, network.goodnet)
        if answered
    }
    if len(sets) != 1 or sum(judged.targets.values()) != next(iter(sets))[1]:
        raise ValueError("its networks were not judged on the same images")


def _input_file(content: dict) -> InputFile:
    digest = _get(content, "sha256", str)
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError(f"sha256 is {digest[:80]!r}, not 64 hexadecimal digits")
    return InputFile(_visible(_get(content, "name", str)), _count(content, "bytes"), digest)


def _visible(name: str) -> str:
    """The name with what does not print, or would turn what follows it around, written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


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


def _get(content: object, name: str, kind: type):
    if not isinstance(content, dict) or name not in content:
        raise ValueError(f"it has no {name}")
    if not isinstance(content[name], kind):
        raise ValueError(f"{name} is not what it should be")
    return content[name]
