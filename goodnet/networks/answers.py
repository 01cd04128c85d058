"""The class that a network answers to an image, the same in every batch and every split.

What is too close to call is decided by the plain computation: Keras's `predict` of the whole
network, with its default batches, on the 32 images the image is among.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from goodnet import dataset
from goodnet.dataset import ImageShape
from goodnet.networks.closeness import Closeness, allowing, of_outputs, of_scores, top_classes
from goodnet.networks.goodnet import is_goodnet, with_inner_answers
from goodnet.networks.graph import call_making, flatten, is_softmax, producer, unroll
from goodnet.networks.silenced import find_silenced
from goodnet.networks.split import overflown
from goodnet.networks.two_classes import (
    LOGITS,
    PROBABILITIES,
    apply_form,
    one_output,
    predict_plainly,
    wrapped,
)
from goodnet.progress import Advance

PLAIN_BATCH = 32  # Keras's default


def whole_blocks(rows: int) -> int:
    """`rows` rounded up to whole batches of Keras's default: fewer may be computed otherwise."""
    return -(-rows // PLAIN_BATCH) * PLAIN_BATCH


def compute(network: keras.Model, given: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """The network's outputs for n images, computed in whole blocks.

    given: the images (n, height, width, colours), or what a head takes in their place.
    """
    count = len(keras.tree.flatten(given)[0])

    def fill_up(values: np.ndarray) -> np.ndarray:
        missing = whole_blocks(count) - count
        return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])

    if whole_blocks(count) > count:
        given = keras.tree.map_structure(fill_up, given)
    outputs = keras.tree.flatten(network.predict_on_batch(given))
    return [_in_numpys_own_dtype(part[:count]) for part in outputs]


def _in_numpys_own_dtype(values: np.ndarray) -> np.ndarray:
    """NumPy neither sums nor saves bfloat16, of which float32 loses nothing."""
    return values if values.dtype.kind == "f" else values.astype(np.float32)


@dataclass(frozen=True)
class Scorer:
    """A network whose largest score is its class, and what is too close among its scores."""

    network: keras.Model
    closeness: Closeness


def scorer_of(network: keras.Model) -> Scorer:
    """The network up to a closing softmax, or to one output's sigmoid, sharing its weights.

    A softmax that closes a network nested in it is left in place.
    """
    closing = network.outputs[0].dtype
    if found := one_output(network):
        one = wrapped(network) or keras.Model(network.inputs, found.tensor)
        if found.form == PROBABILITIES and (scores := _before(one, keras.activations.sigmoid)):
            one = scores
        elif found.form == PROBABILITIES:
            return Scorer(network, of_outputs(closing))
        logits = apply_form(one.outputs[0], LOGITS, f"{network.name}.scores")
        return Scorer(keras.Model(one.inputs, logits), of_scores(logits.dtype, closing))
    if is_softmax(producer(network.outputs[0])):
        scores = _before(network, keras.activations.softmax)
        if scores:
            return Scorer(scores, of_scores(scores.outputs[0].dtype, closing))
    return Scorer(network, of_outputs(closing))


def _before(network: keras.Model, activation: Callable) -> keras.Model | None:
    """The network without the activation that closes it; None where it cannot be taken off."""
    node = call_making(network.outputs[0])
    layer = node.operation
    closes = getattr(layer, "activation", None) is activation
    if isinstance(layer, layers.Softmax):
        closes = activation is keras.activations.softmax
    if closes and isinstance(layer, layers.Softmax | layers.Activation):
        return keras.Model(network.inputs, node.input_tensors[0])
    if type(layer) is not layers.Dense or not closes:
        return None
    linear = layers.Dense.from_config(
        layer.get_config() | {"activation": None, "name": f"{layer.name}.scores"}
    )
    scores = keras.Model(network.inputs, linear(node.input_tensors[0]))
    linear.set_weights(layer.get_weights())
    return scores


def plain_classes(
    network: keras.Model, images: dataset.ImageSet, indices: np.ndarray
) -> np.ndarray:
    """The classes that `network.predict` gives for some images of a set, by their indices."""
    classes = np.empty(len(indices), dtype=np.int64)
    for block in np.unique(indices // PLAIN_BATCH):
        # `predict` cuts the set into these blocks too, and has more to do around each.
        start = block * PLAIN_BATCH
        pixels = dataset.read(images, start, min(start + PLAIN_BATCH, len(images)))
        here = indices // PLAIN_BATCH == block
        answers = predict_plainly(network, pixels)
        classes[here] = answers.argmax(axis=1)[indices[here] - start]
    return classes


@dataclass
class _Watched:
    """What tells a network's class, and when each of the outputs to be watched is too close."""

    network: keras.Model  # it is asked: the whole, or a head
    whole: keras.Model
    closeness: list[Closeness]
    kept: np.ndarray | None = None  # (channels,) bool: what a head is given; None: it takes images

    def answer(self, pixels: np.ndarray, features: list[np.ndarray]) -> list[np.ndarray]:
        """All its outputs for some images. features: what `Split.watched` makes of them."""
        if self.kept is None:
            return compute(self.network, pixels)
        measured, *past, _ = features
        return compute(self.network, [np.where(self.kept, measured, 0), *past])

    def too_close(self, outputs: list[np.ndarray], features: list[np.ndarray]) -> np.ndarray:
        """Which of the images (n,) the plain computation has to decide."""
        pairs = zip(self._parts(outputs), self.closeness, strict=True)
        found = np.any([top_classes(*each).too_close for each in pairs], axis=0)
        return found if self.kept is None else found | overflown(features[-1])

    def allow_for_rounding(self, pixels: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Watch more closely what differs from the plain computation on a few images."""
        few = pixels[:PLAIN_BATCH]
        plain = unroll(self.whole, [few])
        pairs = zip(self.closeness, self._parts(outputs), self._parts(plain), strict=True)
        self.closeness = [
            allowing(closeness, ours[: len(few)], keras.ops.convert_to_numpy(theirs))
            for closeness, ours, theirs in pairs
        ]

    def _parts(self, outputs: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs to be watched, of all the network's outputs."""
        return outputs[-len(self.closeness) :]


def _watched(network: keras.Model) -> _Watched:
    """G's own outputs are never too close; what B and B' answer inside it may be."""
    if is_goodnet(network):
        inner = with_inner_answers(network)
        return _Watched(inner, inner, [of_outputs(each.dtype) for each in inner.outputs[-2:]])
    scorer = scorer_of(network)
    return _Watched(scorer.network, scorer.network, [scorer.closeness])


def _watch_all(
    networks: Sequence[keras.Model], image: ImageShape
) -> tuple[list[_Watched], keras.Model | None]:
    """What watches each network; and the trunk of the first and its pruned copies, if there are.

    image: (height, width, colours).
    """
    kept: dict[int, np.ndarray] = {}
    split = None
    for row, network in enumerate(networks[1:], 1):
        found = find_silenced(networks[0], network, image, split)
        if found and (split is None or split is found.split):
            split, kept[row] = found.split, found.kept
    if split is None:
        return [_watched(network) for network in networks], None
    kept[0] = np.ones(split.channels, bool)
    watched = [_watched(flatten(x) if row in kept else x) for row, x in enumerate(networks)]
    head = scorer_of(split.head).network
    for row, channels in kept.items():
        watched[row].network, watched[row].kept = head, channels
    return watched, split.watched


def classify(
    networks: Sequence[keras.Model],
    images: dataset.ImageSet,
    batch_size: int,
    advance: Advance,
) -> np.ndarray:
    """Each network's class for every image of a set, (networks, n) int64, in one reading.

    Where others are the first with channels silenced, what stands before these is computed once for
    all. `advance` is told the number of images done. The size of the batches changes no answer.
    """
    watched, trunk = _watch_all(networks, images.shape)
    answers = np.empty((len(networks), len(images)), dtype=np.int64)
    close = np.zeros(answers.shape, dtype=bool)
    start = 0
    for pixels in dataset.batches(images, whole_blocks(batch_size)):
        batch = slice(start, start + len(pixels))
        features = compute(trunk, pixels) if trunk else []
        for row, each in enumerate(watched):
            outputs = each.answer(pixels, features)
            if start == 0:
                each.allow_for_rounding(pixels, outputs)
            answers[row, batch] = outputs[0].argmax(axis=1)
            close[row, batch] = each.too_close(outputs, features)
        start = batch.stop
        advance(len(pixels))
    for row, network in enumerate(networks):
        indices = np.flatnonzero(close[row])
        answers[row, indices] = plain_classes(network, images, indices)
    return answers
