"""Gradients, and what a network answers before its softmax.

Keras has no gradients of its own: tuning calls TensorFlow for them, and does so here alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops

from goodnet.errors import Unusable
from goodnet.networks.features import with_features
from goodnet.networks.graph import Tensor, closing_layer, copy_network, every_layer
from goodnet.networks.two_classes import LOGITS, Form, logits_of_two, one_output, wrapped

BATCH = 256  # images answered at a time
ALL = 1 << 30  # images together: as many as there are
TRIED = 32  # images, to see whether a network answers probabilities
COARSE = "bfloat16"  # steps of 1 in 256; and Keras's optimizers take 0.999 for 1 in it
SMALLEST = 1e-30  # of a probability, before its logarithm is taken


class Logits(Protocol):
    """The logits (m, classes) of images (m, height, width, colours)."""

    def __call__(self, pixels: Tensor, /) -> Tensor: ...


class Seen(NamedTuple):
    """The logits (m, classes), and the features that they are made of; None: it cannot be told."""

    logits: Tensor
    features: Tensor | None


class See(Protocol):
    """What a network makes of images (m, height, width, colours)."""

    def __call__(self, pixels: Tensor, /) -> Seen: ...


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
    see: See
    see_in_training: See  # batch norm by the images that are given, and with dropout


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
    network, or its weights are too coarse to be changed a little.
    """
    if any(keras.backend.standardize_dtype(each.dtype) == COARSE for each in network.weights):
        raise Unusable(
            f"has weights of {COARSE}, which are too coarse to be trained; save it with the dtype "
            "policy float32 or a mixed one"
        )
    try:
        copy = copy_network(network)
    except Exception as error:
        raise Unusable(f"cannot be tuned: Keras cannot copy it ({str(error)[:200]})") from None
    for layer in (copy, *every_layer(copy)):
        layer.trainable = True  # one that was frozen may hold the backdoor
    if (one := wrapped(copy)) and (found := one_output(copy)):
        form = _end_linearly(one, found.form)
        return _copy(copy, one, lambda answer: logits_of_two(answer, form, SMALLEST))
    last = closing_layer(copy)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
    answered = answer_in_parts(lambda pixels: _outputs(copy, pixels)[0], images[:TRIED], together)
    if (answered >= 0).all() and np.allclose(answered.sum(axis=1), 1, atol=1e-3):
        return _copy(copy, copy, lambda answer: ops.log(ops.maximum(answer, SMALLEST)))
    return _copy(copy, copy, lambda answer: answer)


def _copy(copy: keras.Model, network: keras.Model, as_logits: Callable[[Tensor], Tensor]) -> Copy:
    """A copy, of which `network` gives the answers that `as_logits` makes logits of."""
    seeing = with_features(network)

    def see(pixels: Tensor, training: bool) -> Seen:
        answer, *features = _outputs(seeing, pixels, training)
        return Seen(as_logits(answer), features[0] if features else None)

    return Copy(
        network=copy,
        logits=lambda pixels: as_logits(_outputs(network, pixels)[0]),
        see=lambda pixels: see(pixels, False),
        see_in_training=lambda pixels: see(pixels, True),
    )


def _outputs(network: keras.Model, pixels: Tensor, training: bool = False) -> list[Tensor]:
    """What a network answers, (m, …) each, in float32 where it is of half precision."""
    found = keras.tree.flatten(network(pixels, training=training))
    return [ops.cast(x, "float32") if _is_half(x) else x for x in found]


def _is_half(tensor: Tensor) -> bool:
    return keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")


def _end_linearly(one: keras.Model, form: Form) -> Form:
    """Leave out the sigmoid at the end of a network of one output; the form of what it tells."""
    last = closing_layer(one)
    if getattr(last, "activation", None) is not keras.activations.sigmoid:
        return form
    last.activation = keras.activations.linear
    return LOGITS


def compile_logits(logits: Logits) -> Logits:
    """The same logits, sooner, of a network that is asked often and no longer changes."""
    import tensorflow as tf

    return tf.function(logits, reduce_retracing=True)


def answer_in_parts(logits: Logits, images: np.ndarray, together: int = ALL) -> np.ndarray:
    """The logits (n, classes) of images (n, height, width, colours), so many at a time."""
    starts = range(0, len(images), together)
    return np.concatenate([np.asarray(logits(images[at : at + together])) for at in starts])


def predict_classes(logits: Logits, images: np.ndarray, together: int = ALL) -> np.ndarray:
    """The class of each image (n, height, width, colours), (n,) int64; BATCH at a time at most."""
    return answer_in_parts(logits, images, min(BATCH, together)).argmax(axis=1)
