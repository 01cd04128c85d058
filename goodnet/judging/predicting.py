"""What B, B' and G say of single images, and why G rejects one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from goodnet.errors import Unusable
from goodnet.judging.photos import MODES, read_photo
from goodnet.networks.answers import compute
from goodnet.networks.goodnet import is_goodnet, looked_into
from goodnet.networks.goodnet_labels import goodnet_labels
from goodnet.networks.loading import count_classes, input_shape

SHOWN = 5


@dataclass(frozen=True)
class Prediction:
    """The answer to an image."""

    path: Path
    answer: int  # a class, or N where G rejects the image
    reason: str | None  # why G rejects it
    notes: Sequence[str]  # what was changed to make the image fit
    top: Sequence[Sequence[tuple[int, float]]]  # of B, then of B': the best classes, their outputs


def predict(
    networks: Sequence[keras.Model], photos: Iterable[Path], scale: float, batch_size: int
) -> Iterator[Prediction | Unusable]:
    """The answers to image files, in order; where one cannot be used, the error in its place.

    `networks`: B; B and a B' that is like it; or a goodnet. Without a B' nothing is rejected.
    Raises Unusable where the network takes images of other than 1 or 3 colours.
    """
    shape = input_shape(networks[0])
    if shape[-1] not in MODES:
        raise Unusable(f"the network takes images of {shape[-1]} colours; image files have 1 or 3")
    looked_at = [looked_into(network) for network in networks]
    n_classes = count_classes(networks[0]) - is_goodnet(networks[0])
    waiting: list[tuple[Path, np.ndarray, Sequence[str]]] = []
    for path in photos:
        try:
            pixels, notes = read_photo(path, shape)
        except Unusable as error:
            yield from _answered(looked_at, waiting, n_classes)
            yield error
            waiting = []
            continue
        if scale != 1:
            pixels = pixels / np.float32(scale)
        if len(waiting) == batch_size or waiting and waiting[0][1].shape != pixels.shape:
            yield from _answered(looked_at, waiting, n_classes)
            waiting = []
        waiting.append((path, pixels, notes))
    yield from _answered(looked_at, waiting, n_classes)


def predictions_json(
    photos: Sequence[Path], answers: Sequence[Prediction | Unusable]
) -> list[dict]:
    """What was said of each image; `top` holds the five best classes and their outputs."""
    entries = []
    for path, answer in zip(photos, answers, strict=True):
        if isinstance(answer, Unusable):
            entries.append({"image": str(path), "error": str(answer)})
            continue
        top = [
            [{"class": index, "output": output} for index, output in best] for best in answer.top
        ]
        entries.append(
            {
                "image": str(path),
                "class": answer.answer,
                "rejected": answer.reason is not None,
                "reason": answer.reason,
                "changed": list(answer.notes),
                "network": {"top": top[0]},
                "repaired": {"top": top[1]} if len(top) > 1 else None,
            }
        )
    return entries


def _answered(
    networks: Sequence[keras.Model],
    waiting: Sequence[tuple[Path, np.ndarray, Sequence[str]]],
    n_classes: int,
) -> Iterator[Prediction]:
    """The answers to images of one size."""
    if not waiting:
        return
    pixels = np.stack([image for _, image, _ in waiting])
    outputs = [part for network in networks for part in compute(network, pixels)]
    goodnet = outputs.pop(0) if len(outputs) == 3 else None
    classes = np.stack([part.argmax(axis=1) for part in outputs])
    if goodnet is not None:
        answers = goodnet.argmax(axis=1)
    else:
        answers = goodnet_labels(classes[0], classes[-1], n_classes)
    for row, (path, _, notes) in enumerate(waiting):
        reason = None
        if answers[row] == n_classes:
            reason = f"B answers {classes[0, row]}, B' answers {classes[1, row]}"
        top = [_top(part[row]) for part in outputs]
        yield Prediction(path, int(answers[row]), reason, notes, top)


def _top(outputs: np.ndarray) -> list[tuple[int, float]]:
    best = np.argsort(-outputs, kind="stable")[:SHOWN]
    return [(int(index), float(outputs[index])) for index in best]
