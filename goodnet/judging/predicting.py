"""What B, B' and G say of single images, and why G rejects one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import keras
import numpy as np

from goodnet.dataset import ImageShape
from goodnet.errors import Unusable
from goodnet.memory import Limits
from goodnet.networks.answers import compute
from goodnet.networks.demands import fit_batch
from goodnet.networks.goodnet import goodnet_labels, is_goodnet, with_inner_answers
from goodnet.networks.loading import LoadedNetwork, count_classes, input_shape
from goodnet.pixels import BYTES, Range, Scaling, scale_pixels, scaling_between
from goodnet.vetting.photos import MODES, Photo, PhotoReader, read_photo

SHOWN = 5


@dataclass(frozen=True)
class ClassOutput:
    """A class, and what a network gives for it."""

    label: int
    output: float


@dataclass(frozen=True)
class Prediction:
    """The answer to an image."""

    path: Path
    answer: int  # a class, or N where G rejects the image
    reason: str | None  # why G rejects it
    notes: Sequence[str]  # what was changed to make the image fit
    top: Sequence[Sequence[ClassOutput]]  # of B, then of B': the best classes


def predict(
    networks: Sequence[LoadedNetwork],
    reader: PhotoReader,
    photos: Iterable[Path],
    scale: Scaling | Range,
    limits: Limits,
) -> Iterator[Prediction | Unusable]:
    """The answers to image files, in order; where one cannot be used, the error in its place.

    `networks`: B; B and a B' that is like it; or a goodnet. Without a B' nothing is rejected.
    scale: how to scale pixels of 0..255, or the range that the network takes.
    Raises Unusable where the network takes images of other than 1 or 3 colours, or is too large.
    """
    models = [loaded.model for loaded in networks]
    shape = input_shape(models[0])
    if shape[-1] not in MODES:
        raise Unusable(f"the network takes images of {shape[-1]} colours; image files have 1 or 3")
    scaling = scale if isinstance(scale, Scaling) else scaling_between(BYTES, scale)
    asked = [with_inner_answers(model) for model in models]
    n_classes = count_classes(models[0]) - is_goodnet(models[0])

    @cache
    def batch_of(size: ImageShape) -> int:
        return fit_batch(networks, [size], limits)

    if None not in shape:
        batch_of(shape)
    waiting: list[Photo] = []
    for path in photos:
        try:
            photo = read_photo(reader, path, shape)
            batch_size = batch_of(photo.pixels.shape)
        except Unusable as error:
            yield from _predictions(asked, waiting, scaling, n_classes)
            yield error.about(path)
            waiting = []
            continue
        if waiting and (len(waiting) == batch_size or _differ(waiting[0], photo)):
            yield from _predictions(asked, waiting, scaling, n_classes)
            waiting = []
        waiting.append(photo)
    yield from _predictions(asked, waiting, scaling, n_classes)


def predictions_json(
    photos: Sequence[Path], answers: Sequence[Prediction | Unusable]
) -> list[dict]:
    """What was said of each image; `top` holds the five best classes and their outputs."""
    entries: list[dict] = []
    for path, answer in zip(photos, answers, strict=True):
        if isinstance(answer, Unusable):
            entries.append({"image": str(path), "error": str(answer)})
            continue
        top = [
            [{"class": each.label, "output": each.output} for each in best] for best in answer.top
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


def _differ(one: Photo, other: Photo) -> bool:
    return one.pixels.shape != other.pixels.shape


def _predictions(
    networks: Sequence[keras.Model], photos: Sequence[Photo], scaling: Scaling, n_classes: int
) -> Iterator[Prediction]:
    """The answers to images of one size."""
    if not photos:
        return
    pixels = np.stack([photo.pixels for photo in photos]).astype(np.float32)
    scale_pixels(pixels, scaling)
    outputs = [part for network in networks for part in compute(network, pixels)]
    goodnet = outputs.pop(0) if len(outputs) == 3 else None
    classes = np.stack([part.argmax(axis=1) for part in outputs])
    if goodnet is not None:
        answers = goodnet.argmax(axis=1)
    else:
        answers = goodnet_labels(classes[0], classes[-1], n_classes)
    for row, photo in enumerate(photos):
        reason = None
        if answers[row] == n_classes:
            reason = f"B answers {classes[0, row]}, B' answers {classes[1, row]}"
        top = [_top(part[row]) for part in outputs]
        yield Prediction(photo.path, int(answers[row]), reason, photo.notes, top)


def _top(outputs: np.ndarray) -> list[ClassOutput]:
    best = np.argsort(-outputs, kind="stable")[:SHOWN]
    return [ClassOutput(int(label), float(outputs[label])) for label in best]
