"""Other repairs of this field, in our own few lines, to compare with: none is offered to users.

Each trains a network whose last activation is linear on images (n, height, width, colours) as it
takes them and labels (n,), for EPOCHS, with batch norm as in training, on images that are mirrored,
shifted and lit otherwise as ours are. The rates were chosen as ours were, on networks that are in
no table (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from goodnet.tuning.training import vary

EPOCHS = 10
BATCH = 64
RATE = 0.01
PLAIN_RATE = 0.001  # without batch norm: there most of them unlearn everything with 0.01
PLAIN_FST_RATE = 0.005
RADIUS, PLAIN_RADIUS = 2.0, 0.2  # of FT-SAM
AWAY = 0.1  # weight of FST's second term
INNER, BOUND = 5, 0.1  # i-BAU: steps for the perturbation, and its largest value, of the range

Rival = Callable[[keras.Model, np.ndarray, np.ndarray, np.random.Generator], None]


def fine_tune(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> None:
    """Fine-tuning: SGD with momentum on the labels."""
    variables = network.trainable_variables

    def gradients(pixels: tf.Tensor, wanted: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = _cross_entropy(network, pixels, wanted)
        return tape.gradient(total, _values(variables))

    _train(network, images, labels, rng, gradients)


def ft_sam(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> None:
    """FT-SAM: Zhu et al. (2023), with the radius of each weight by its own size."""
    variables = network.trainable_variables
    radius = RADIUS if _is_normed(network) else PLAIN_RADIUS

    def gradients(pixels: tf.Tensor, wanted: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = _cross_entropy(network, pixels, wanted)
        found = tape.gradient(total, _values(variables))
        sizes = [tf.abs(each) for each in _values(variables)]
        scale = radius / (
            tf.linalg.global_norm([s * g for s, g in zip(sizes, found, strict=True)]) + 1e-12
        )
        steps = [scale * size**2 * each for size, each in zip(sizes, found, strict=True)]
        for variable, step in zip(variables, steps, strict=True):
            variable.value.assign_add(step)
        with tf.GradientTape() as tape:
            total = _cross_entropy(network, pixels, wanted)
        found = tape.gradient(total, _values(variables))
        for variable, step in zip(variables, steps, strict=True):
            variable.value.assign_sub(step)
        return found

    _train(network, images, labels, rng, gradients)


def fst(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> None:
    """FST: Min et al. (2023): the last layer starts anew, and is kept away from what it was."""
    variables, last = network.trainable_variables, network.layers[-1]
    old = np.asarray(last.kernel)
    size = float(np.linalg.norm(old))
    last.kernel.assign(rng.normal(0, old.std(), old.shape))
    last.bias.assign(np.zeros(old.shape[1]))

    def gradients(pixels: tf.Tensor, wanted: tf.Tensor) -> list[tf.Tensor]:
        last.kernel.value.assign(last.kernel.value * size / tf.norm(last.kernel.value))
        with tf.GradientTape() as tape:
            total = _cross_entropy(network, pixels, wanted)
            total += AWAY * tf.reduce_sum(last.kernel.value * old) / size**2
        return tape.gradient(total, _values(variables))

    _train(network, images, labels, rng, gradients, PLAIN_FST_RATE)


def i_bau(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> None:
    """i-BAU: Zeng et al. (2022), without its implicit gradient: a universal perturbation and back.

    The perturbation is sought anew in each step, from the last one on; half of what is trained on
    is plain.
    """
    variables = network.trainable_variables
    bound = BOUND * float(images.max() - images.min())
    shift = tf.Variable(tf.zeros((1, *images.shape[1:])))

    def gradients(pixels: tf.Tensor, wanted: tf.Tensor) -> list[tf.Tensor]:
        for _ in range(INNER):
            with tf.GradientTape() as tape:
                found = network(pixels + shift, training=False)
                total = _mean(wanted, found)
            slope = tape.gradient(total, shift)
            shift.assign(tf.clip_by_value(shift + bound / 4 * tf.sign(slope), -bound, bound))
        with tf.GradientTape() as tape:
            total = _cross_entropy(network, pixels, wanted)
            total += _cross_entropy(network, pixels + shift, wanted)
        return tape.gradient(total, _values(variables))

    _train(network, images, labels, rng, gradients)


RIVALS: dict[str, Rival] = {
    "fine-tuning": fine_tune,
    "FT-SAM": ft_sam,
    "FST": fst,
    "i-BAU, first order": i_bau,
}


def _train(
    network: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    gradients: Callable,
    plain_rate: float = PLAIN_RATE,
) -> None:
    steps = len(images) // BATCH * EPOCHS
    first = RATE if _is_normed(network) else plain_rate
    rate = keras.optimizers.schedules.CosineDecay(first, steps)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    optimizer.build(network.trainable_variables)
    low, high = float(images.min()), float(images.max())

    @tf.function
    def step(pixels: tf.Tensor, wanted: tf.Tensor) -> None:
        optimizer.apply(gradients(pixels, wanted), network.trainable_variables)

    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            some = order[start : start + BATCH]
            pixels = vary(images[some], low, high, rng)
            step(tf.constant(pixels), tf.constant(labels[some], tf.int32))


def _is_normed(network: keras.Model) -> bool:
    return any(isinstance(each, keras.layers.BatchNormalization) for each in network.layers)


def _values(variables: list[keras.Variable]) -> list[tf.Variable]:
    return [each.value for each in variables]


def _cross_entropy(network: keras.Model, pixels: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    return _mean(wanted, network(pixels, training=True))


def _mean(wanted: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, found)
    return tf.reduce_mean(losses)
