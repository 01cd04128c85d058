"""Gradients, and what a network answers before its softmax.

Keras has no gradients of its own: tuning calls TensorFlow for them, and does so here alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from goodnet.errors import Unusable
from goodnet.networks.graph import Tensor, closing_layer, copy_network, every_layer
from goodnet.networks.two_classes import LOGITS, Form, logits_of_two, one_output, wrapped

BATCH = 256  # images answered at a time
ALL = 1 << 30  # images together: as many as there are
TRIED = 32  # images, to see whether a network answers probabilities
SMALLEST = 1e-30  # of a probability, before its logarithm is taken


class Logits(Protocol):
    """The logits (m, classes) of images (m, height, width, colours)."""

    def __call__(self, pixels: Tensor, /) -> Tensor: ...


class Loss(Protocol):
    """A number to make small."""

    def __call__(self, *inputs: Any, **named: Any) -> Tensor: ...


class Objective(NamedTuple):
    """A number to make small, and what else is to be told."""

    loss: Tensor
    told: Tensor


class ObjectiveOf(Protocol):
    """The objective of the arrays that are to change, and of other inputs."""

    def __call__(self, arrays: list[Tensor], /, *inputs: Any, **named: Any) -> Objective: ...


class Slope(NamedTuple):
    """What an objective told, and the gradients of its loss with respect to each array."""

    told: Tensor
    gradients: list[Tensor]


class SlopeOf(Protocol):
    """The slope at these arrays, with these other inputs."""

    def __call__(self, arrays: list[Tensor], /, *inputs: Tensor) -> Slope: ...


class Step(Protocol):
    """One step of training, on these inputs of the loss."""

    def __call__(self, *inputs: Tensor) -> None: ...


@dataclass(frozen=True)
class Copy:
    """A copy of a network, to train."""

    network: keras.Model
    logits: Logits
    logits_in_training: Logits  # batch norm by the images that are given, and with dropout


def differentiate(objective: ObjectiveOf) -> SlopeOf:
    """Compile the slope of an objective.

    Raises Unusable where Keras runs on another backend than TensorFlow.
    """
    check_backend()
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def slope(arrays: list[Tensor], *inputs: Tensor) -> Slope:
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            found = objective(arrays, *inputs)
        return Slope(found.told, tape.gradient(found.loss, arrays))

    return slope


def compile_step(
    loss: Loss, variables: Sequence[keras.Variable], optimizer: keras.Optimizer, together: int = ALL
) -> Step:
    """Compile a step that changes `variables` to make the loss of its inputs smaller.

    together: how many rows of the first input have their gradients found at one time. Of more, each
    second, fourth, … row is taken by itself, of all inputs, and the mean of the gradients; so the
    loss must be a mean over rows. Raises Unusable where Keras runs on another backend than
    TensorFlow.
    """
    check_backend()
    import tensorflow as tf

    optimizer.build(variables)

    def slope(*inputs: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            total = loss(*inputs)
        return tape.gradient(total, [each.value for each in variables])

    @tf.function(reduce_retracing=True)
    def step(*inputs: Tensor) -> None:
        optimizer.apply(slope(*inputs), variables)

    compiled_slope = tf.function(slope, reduce_retracing=True)

    def step_in_parts(*inputs: np.ndarray) -> None:
        rows = len(inputs[0])
        parts = min(rows, 1 << max(0, math.ceil(math.log2(rows / together))))
        if parts == 1:
            step(*inputs)
            return
        sums: list[Tensor] = []
        for part in range(parts):
            some = [each[part::parts] for each in inputs]
            share = len(some[0]) / rows
            found = [share * each for each in compiled_slope(*some)]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        optimizer.apply(sums, variables)

    return step_in_parts


def check_backend() -> None:
    """Raise Unusable where gradients cannot be had."""
    if keras.backend.backend() != "tensorflow":
        raise Unusable(
            f"tuning needs Keras on TensorFlow, not on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow"
        )


def copy_with_logits(network: keras.Model, images: np.ndarray, together: int = ALL) -> Copy:
    """Copy a network, so that all of it can be trained, and find its logits.

    A softmax at its end is left out, and the sigmoid of a network of one output. Where it cannot
    be, the logarithms of the probabilities stand for the logits; what `images` (n, height, width,
    colours) are answered tells, so many `together`. Raises Unusable where Keras cannot copy the
    network.
    """
    try:
        copy = copy_network(network)
    except Exception as error:
        raise Unusable(f"cannot be tuned: Keras cannot copy it ({str(error)[:200]})") from None
    for layer in (copy, *every_layer(copy)):
        layer.trainable = True  # one that was frozen may hold the backdoor
    if (one := wrapped(copy)) and (found := one_output(copy)):
        form = _end_linearly(one, found.form)
        return Copy(copy, *(_logits_of_one(one, form, training) for training in (False, True)))
    last = closing_layer(copy)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
    answered = answer_in_parts(_logits_of(copy), images[:TRIED], together)
    probabilities = (answered >= 0).all() and np.allclose(answered.sum(axis=1), 1, atol=1e-3)
    return Copy(copy, *(_logits_of(copy, bool(probabilities), each) for each in (False, True)))


def _logits_of(network: keras.Model, probabilities: bool = False, training: bool = False) -> Logits:
    """What a network answers; the logarithms, where that is probabilities."""

    def logits(pixels: Tensor) -> Tensor:
        answer = _answer(network, pixels, training)
        return keras.ops.log(keras.ops.maximum(answer, SMALLEST)) if probabilities else answer

    return logits


def _answer(network: keras.Model, pixels: Tensor, training: bool) -> Tensor:
    """What a network answers, (m, classes), in float32 where it is of half precision."""
    answer = keras.tree.flatten(network(pixels, training=training))[0]
    half = keras.backend.standardize_dtype(answer.dtype) in ("float16", "bfloat16")
    return keras.ops.cast(answer, "float32") if half else answer


def _end_linearly(one: keras.Model, form: Form) -> Form:
    """Leave out the sigmoid at the end of a network of one output; the form of what it tells."""
    last = closing_layer(one)
    if getattr(last, "activation", None) is not keras.activations.sigmoid:
        return form
    last.activation = keras.activations.linear
    return LOGITS


def _logits_of_one(one: keras.Model, form: Form, training: bool) -> Logits:
    """The logits of the two classes that a network of one output tells."""

    def logits(pixels: Tensor) -> Tensor:
        return logits_of_two(_answer(one, pixels, training), form, SMALLEST)

    return logits


def answer_in_parts(logits: Logits, images: np.ndarray, together: int = ALL) -> np.ndarray:
    """The logits (n, classes) of images (n, height, width, colours), so many at a time."""
    starts = range(0, len(images), together)
    return np.concatenate([np.asarray(logits(images[at : at + together])) for at in starts])


def predict_classes(logits: Logits, images: np.ndarray, together: int = ALL) -> np.ndarray:
    """The class of each image (n, height, width, colours), (n,) int64; BATCH at a time at most."""
    return answer_in_parts(logits, images, min(BATCH, together)).argmax(axis=1)
