"""What tuning needs of the backend: gradients, and a network's answers before its softmax.

The only place that calls TensorFlow rather than Keras.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from goodnet.errors import Unusable

BATCH = 256
TRIED = 32  # images, to see whether a network answers probabilities
SMALLEST = 1e-30  # of a probability, before its logarithm is taken


def differentiated(loss: Callable) -> Callable:
    """A compiled function (arrays, *inputs) -> (told, gradients with respect to `arrays`).

    `loss(arrays, *inputs)` answers a number to make small, and what else is to be told. Raises
    Unusable where Keras runs on another backend than TensorFlow.
    """
    check_backend()
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def compute(arrays: list, *inputs: object) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            total, told = loss(arrays, *inputs)
        return told, tape.gradient(total, arrays)

    return compute


def training_step(
    loss: Callable, variables: Sequence[keras.Variable], optimizer: keras.Optimizer
) -> Callable:
    """A compiled function of `loss`'s inputs that changes `variables` to make the loss smaller.

    Raises Unusable where Keras runs on another backend than TensorFlow.
    """
    check_backend()
    import tensorflow as tf

    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def step(*inputs: object) -> None:
        with tf.GradientTape() as tape:
            total = loss(*inputs)
        optimizer.apply(tape.gradient(total, [each.value for each in variables]), variables)

    return step


def check_backend() -> None:
    """Raise Unusable where gradients cannot be had."""
    if keras.backend.backend() != "tensorflow":
        raise Unusable(
            f"tuning needs Keras on TensorFlow, not on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow"
        )


def copy_with_logits(network: keras.Model, images: np.ndarray) -> tuple[keras.Model, Callable]:
    """A copy of `network` to train, and its logits: (m, height, width, colours) -> (m, classes).

    A softmax at its end is left out. Where it cannot be, the logarithms of the probabilities
    stand for the logits; what `images` are answered tells. Raises Unusable where Keras cannot
    copy the network.
    """
    try:
        copy = keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
    except Exception as error:
        raise Unusable(f"cannot be tuned: Keras cannot copy it ({str(error)[:200]})") from None
    last = copy
    while isinstance(last, keras.Model):
        last = last.outputs[0]._keras_history.operation
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear

    def outputs(pixels: object) -> object:
        return keras.tree.flatten(copy(pixels, training=False))[0]

    def logarithms(pixels: object) -> object:
        return keras.ops.log(keras.ops.maximum(outputs(pixels), SMALLEST))

    answered = np.asarray(outputs(images[:TRIED]))
    probabilities = (answered >= 0).all() and np.allclose(answered.sum(axis=1), 1, atol=1e-3)
    return copy, logarithms if probabilities else outputs


def answers(logits: Callable, images: np.ndarray) -> np.ndarray:
    """The class of each image (n, height, width, colours), (n,) int64."""
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(logits(part)).argmax(axis=1) for part in parts])
